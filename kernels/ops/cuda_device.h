// CUDA as a device: each step's kernels are noted in the lane of the pair, nothing runs yet and nothing is allocated.
//
// Planes and scalars are in the memory of the GPU; the host handles their addresses and never reads them. A lane's
// kernels run in the order in which they were noted, so memory that the tape frees may be handed out again at once: the
// next writer comes later.
//
// A kernel is a struct of its arguments, copied as bytes:
//
//   struct AddKernel {
//     static constexpr int kThreads = 256;   // of a block, along x
//     PlanesView a, b, out;
//     __device__ void operator()(const Block& block) const;   // block.x of block.grid.x, block.y of block.grid.y
//   };
//   device.Launch(AddKernel{a, b, out}, Grid{...});
//
// It computes the same whatever rides along, for it sees nothing but its own entry of the launch.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/base/target.h"
#include "kernels/base/vec.h"
#include "kernels/cuda/launches.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/tape.h"

LIKENESS_BEGIN_TARGET

// Where a block is in its entry's grid.
struct Block {
  int x;
  int y;
  Grid grid;
};

template <class Kernel>
struct Entry {
  Kernel kernel;
  Grid grid;
};

// How many of its blocks a kernel wants on a multiprocessor at a time, which bounds its registers. 0: as ptxas sees
// fit, which is another thing than 1.
template <class Kernel>
constexpr int BlocksWanted() {
  if constexpr (requires { Kernel::kBlocksWanted; }) {
    return Kernel::kBlocksWanted;
  } else {
    return 0;
  }
}

#if defined(__CUDACC__)
#define LIKENESS_LAUNCH_BOUNDS(Kernel) __launch_bounds__(Kernel::kThreads, BlocksWanted<Kernel>())
#else
#define LIKENESS_LAUNCH_BOUNDS(Kernel)
#endif

// One launch over the entries of a batch: finds the entry that the block belongs to.
template <class Kernel>
__global__ void LIKENESS_LAUNCH_BOUNDS(Kernel)
    RaggedKernel(const Entry<Kernel>* entries, const int* first_blocks, int count) {
  const int block = static_cast<int>(blockIdx.x);
  // Right at once where all entries have as many blocks; else the search goes on from there.
  int entry = static_cast<int>(std::int64_t{block} * count / gridDim.x);
  int low = 0, high = count;
  while (block < first_blocks[entry] || block >= first_blocks[entry + 1]) {
    if (block < first_blocks[entry]) {
      high = entry;
    } else {
      low = entry + 1;
    }
    entry = (low + high) / 2;
  }
  // A copy: what the kernel writes cannot change it.
  const Entry<Kernel> mine = entries[entry];
  const int place = block - first_blocks[entry];
  mine.kernel(Block{place % mine.grid.x, place / mine.grid.x, mine.grid});
}

template <class Kernel>
Failure LaunchRagged(const Entries& entries, cudaStream_t stream) {
  const auto* table = reinterpret_cast<const Entry<Kernel>*>(entries.device);
#if defined(__CUDACC__)
  RaggedKernel<Kernel>
      <<<entries.block_count, Kernel::kThreads, 0, stream>>>(table, entries.first_blocks, entries.count);
#else
  EmulateLaunch(stream, RaggedKernel<Kernel>, entries.block_count, Kernel::kThreads, table, entries.first_blocks,
                entries.count);  // tests/emulator
#endif
  return Check(cudaGetLastError(), __PRETTY_FUNCTION__, __FILE__, __LINE__);  // names the kernel
}

template <class Kernel>
const LaunchKind& KindOf() {
  static constexpr LaunchKind kKind{sizeof(Entry<Kernel>), &LaunchRagged<Kernel>};
  return kKind;
}

// Of a library's calls, which `launch` reads on the host: what differs in them differs in a graph.
template <class Call>
constexpr LaunchKind CallKind(Failure (*launch)(const Entries& entries, cudaStream_t stream)) {
  return {sizeof(Call), launch, [](const std::byte* a, const std::byte* b) {
            return *reinterpret_cast<const Call*>(a) == *reinterpret_cast<const Call*>(b);
          }};
}

class FftPlans;
class DeviceBanks;
class ConvPlans;
class DeviceTrunks;

// What steps keep from batch to batch, and where they enqueue what fills it. A pointer may be null where no program has
// such steps.
struct Caches {
  FftPlans* fft_plans = nullptr;
  DeviceBanks* banks = nullptr;
  ConvPlans* conv_plans = nullptr;
  const DeviceTrunks* trunks = nullptr;
  cudaStream_t stream = nullptr;  // that the batch will run on
};

class Cuda {
 public:
  // For one reduction at a time: its partial results in the first half, what is made of them in the other. A wide
  // image's columns may become as many channels, of which each leaves one result at least.
  static constexpr int kPartialCount = 1 << 14;
  static constexpr int kScratchCount = 2 * kPartialCount;

  // `scratch`: kScratchCount doubles of device memory, of this lane alone. Nothing is owned.
  Cuda(Launches& launches, double* scratch, const Caches& caches = {})
      : launches_(launches), scratch_(scratch), caches_(caches) {}

  int bytes_per_sample() const { return static_cast<int>(sizeof(Real)); }
  FeatureLayout feature_layout() const { return FeatureLayout::kPixels; }
  double* scratch() const { return scratch_; }
  const Caches& caches() const { return caches_; }

  // After a failure the rest of a program is skipped: its results would mean nothing.
  template <class Kernel>
  void Run(const Cost&, Kernel&& kernel) {
    if (!failure_.failed()) kernel(*this);
  }

  template <class Kernel>
  void Launch(const Kernel& kernel, const Grid& grid) {
    Note(kernel, grid, false);
  }
  // A step that needs nothing of the one before it and shares its launch, if that is of the same kernel.
  template <class Kernel>
  void LaunchBeside(const Kernel& kernel, const Grid& grid) {
    Note(kernel, grid, true);
  }

  // Two runs of steps of which neither needs what the other makes nor takes memory that it frees: equal ones of both
  // share launches.
  bool takes_turns() const { return true; }
  template <class First, class Second>
  void Beside(First& first, Second& second) {
    const std::size_t first_step = launches_.next_step();
    first();
    const std::size_t second_step = launches_.next_step();
    second();
    launches_.Interleave(first_step, second_step);
  }

  // What is no kernel of ours: a library's call. `kind` is by CallKind.
  template <class Call>
  void Add(const LaunchKind& kind, const Call& call) {
    static_assert(std::is_trivially_copyable_v<Call>);
    launches_.Add(kind, Grid{}, &call);
  }

  // Copies a table that kernels read; the result is in the memory of the GPU. Null when there is no more room, which
  // the batch finds out by itself.
  template <class T>
  const T* Table(const T* from, std::int64_t count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= Launches::kAlignment);
    const Launches::Data data = launches_.AddData(count * std::int64_t{sizeof(T)});
    if (data.host == nullptr) return nullptr;
    std::memcpy(data.host, from, static_cast<std::size_t>(count) * sizeof(T));
    return reinterpret_cast<const T*>(data.device);
  }

  void Fill(double* values, int count, double value);

  // Where kernels write 1 when a number has left the range of its type; null: nobody asks. For programs that are fast.
  double* non_finite() const { return non_finite_; }
  void set_non_finite(double* flag) { non_finite_ = flag; }

  // Values whose memory is not the lane's: null, or it must outlive the lane.
  void set_kept(const std::vector<void*>* kept) { kept_ = kept; }
  bool IsKept(const void* data) const {
    return kept_ != nullptr && std::find(kept_->begin(), kept_->end(), data) != kept_->end();
  }

  // Keeps the first failure.
  void Report(const Failure& failure) {
    if (!failure_.failed()) failure_ = failure;
  }
  const Failure& failure() const { return failure_; }

 private:
  template <class Kernel>
  void Note(const Kernel& kernel, const Grid& grid, bool beside) {
    static_assert(std::is_trivially_copyable_v<Kernel> && std::is_trivially_copyable_v<Entry<Kernel>>);
    static_assert(alignof(Entry<Kernel>) <= Launches::kAlignment);
    const Entry<Kernel> entry{kernel, grid};
    launches_.Add(KindOf<Kernel>(), grid, &entry, beside);
  }

  Launches& launches_;
  double* scratch_;
  Caches caches_;
  double* non_finite_ = nullptr;
  const std::vector<void*>* kept_ = nullptr;
  Failure failure_;
};

LIKENESS_HD Real* Row(const PlanesView& planes, int channel, int y) {
  return static_cast<Real*>(planes.data) + (std::int64_t{channel} * planes.shape.height + y) * planes.stride();
}

// Writes a gradient's sample or adds to it.
LIKENESS_HD void StoreGradient(const GradientView& gradient, int channel, int y, int x, Vec value) {
  Real* to = Row(gradient.planes, channel, y) + x;
  Store(gradient.accumulate ? Load(to) + value : value, to);
}

LIKENESS_END_TARGET
