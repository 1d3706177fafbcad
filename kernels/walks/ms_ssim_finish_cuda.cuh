// How MS-SSIM's score follows in the launch of its windows: the block that writes the last of a pair's partial sums
// goes on with all of them.
//
// A counter in the pair's workspace, 0 before the launch, counts the sums that are written. A block writes its own, and
// a fence puts them before its count; the block that makes the count whole has what all others wrote behind another
// fence. Chance decides which block that is, but nothing of what it computes: a sum over 256 numbers in a fixed order
// for each scale and channel, however many threads a block has.
#pragma once

#include "kernels/metrics/ms_ssim/ms_ssim_score.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

// The partial sums of a scale, and how many windows of a channel they are of.
struct ScaleSums {
  const double* partials = nullptr;
  std::int64_t count = 0;  // of a channel
  double windows = 1.0;
};

// Of a pair.
struct MsSsimFinish {
  ScaleSums sums[kMsSsimScales] = {};
  unsigned partials = 0;  // of all scales and channels
  int channels = 1;
  double scale = 1.0, offset = 0.0;
  unsigned* written = nullptr;  // the counter
  double* score = nullptr;
  MsSsimMeans* slopes = nullptr;  // null: not asked for

  static constexpr int kLanes = 16;  // threads for one sum
  static constexpr int kNumbersEach = 16;
  struct Shared {
    double sums[kMsSsimScales * 3][kLanes];
    MsSsimMeans means;
    bool last;
  };

  // By all threads of a block, when they have written `own` partial sums.
  template <int threads>
  __device__ void After(unsigned own, Shared* shared) const {
    static_assert(threads % kLanes == 0 && threads >= kMsSsimScales * 3);
    __syncthreads();
    const int id = static_cast<int>(threadIdx.x);
    if (id == 0) {
      __threadfence();
      shared->last = atomicAdd(written, own) + own == partials;
      __threadfence();
    }
    __syncthreads();
    if (!shared->last) return;

    // Number i of a sum adds up partials i, i + 256, ...
    for (int i = id / kLanes; i < kMsSsimScales * channels; i += threads / kLanes) {
      const ScaleSums& scale_sums = sums[i / channels];
      const double* from = scale_sums.partials + i % channels * scale_sums.count;
      double numbers[kNumbersEach] = {};
      for (std::int64_t first = id % kLanes; first < scale_sums.count; first += kNumbersEach * kLanes) {
#pragma unroll
        for (int k = 0; k < kNumbersEach; ++k) {
          const std::int64_t at = first + k * kLanes;
          if (at < scale_sums.count) numbers[k] += __ldcg(from + at);
        }
      }
      shared->sums[i][id % kLanes] = Halved(numbers);
    }
    __syncthreads();
    if (id < kMsSsimScales * channels) {
      const int s = id / channels;
      shared->means.of[s][id % channels] = Halved(shared->sums[id]) / sums[s].windows;
    }
    __syncthreads();
    if (id == 0) *score = MsSsimScore(shared->means, channels, scale, offset, slopes);
  }

 private:
  // The sum: the second half joins the first until one is left.
  template <int count>
  static __device__ __forceinline__ double Halved(double (&numbers)[count]) {
    if constexpr (count == 1) {
      return numbers[0];
    } else {
      double half[count / 2];
#pragma unroll
      for (int k = 0; k < count / 2; ++k) half[k] = numbers[k] + numbers[k + count / 2];
      return Halved(half);
    }
  }
};

LIKENESS_END_TARGET
