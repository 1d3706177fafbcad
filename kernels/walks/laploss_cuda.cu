// A launch for each level, and one for all of 64 samples a side and less (laploss_deep_cuda.cuh). A block makes a tile:
//
//   1. Errors, or the level that the last launch left, go to shared memory with a border of two. Four pixels are read
//      at a time.
//   2. A thread filters four columns of eight rows, adds up the bands' magnitudes, and writes the filtered samples' 2x2
//      means, which are the next level, and, for a gradient, the bands' signs, two bits each.
//
// The last launch adds up what the blocks left. For a gradient each level takes one more: laploss_gradient_cuda.cuh.
// For the map the levels leave their bands as well, and one more launch enlarges them.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 2.7 of levels: 1.3 written and as many read. The program
// moves 50 bytes a sample in 37 launches. A gradient adds 4 bytes a sample, 2.7 of levels' gradients and 0.7 of signs;
// the program moves 113 in 67. nvcc 13.0 for sm_90: 80 registers, up to thirteen words spilled (118 and 128 registers
// and none where the images lie in different orders), 79 for the gradient; 32 KiB of shared memory, 45 for the deep
// levels.
#include <algorithm>
#include <utility>

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/ops/resample/blend_cuda.cuh"
#include "kernels/walks/laploss_cuda.h"
#include "kernels/walks/laploss_deep_cuda.cuh"
#include "kernels/walks/laploss_gradient_cuda.cuh"
#include "kernels/walks/laploss_tile_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kLevels = kLapLossLevels;
constexpr std::int64_t kAlignment = 256;

// Sources: what a tile is made of, the edges' samples repeated beyond them.

// distorted - reference. flat: as PairSamples has it.
template <bool interleaved, bool flat>
struct ErrorsSource {
  static constexpr int kBlocksWanted = flat ? 4 : 2;  // images of two layouts are rare, and nothing is spilled
  PairSamples pair;
  bool whole;  // four pixels that begin at a multiple of four, in a row, may be read at once

  ErrorsSource(const PairSamples& pair, const ImageView& image)
      : pair(pair), whole(pair.even() && image.width % 4 == 0) {}

  __device__ __forceinline__ void Fill(const LapLevel& level, const LapPlace& at, float* tile) const {
    constexpr int kStep = interleaved ? 3 : 1;  // samples from a pixel to the next, and channels that come together
    const int lines = at.lines_used(level), groups = at.groups_used(level);
    const int planes = interleaved ? 1 : level.channels;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < planes * lines * kLapGroups; i += kLapThreads) {
      const int group = i % kLapGroups, line = i / kLapGroups % lines, plane = i / kLapGroups / lines;
      if (group >= groups) continue;
      const int x = at.x0 + 4 * (group - 1), y = LapInside(at.y0 - kLapReach + line, level.height);
      const std::int64_t row = (std::int64_t{plane} * level.height + y) * level.width * kStep;
      float e[4 * kStep];
      if (whole && x >= 0 && x + 4 <= level.width) {
        pair.EvenErrors<kStep>(row + x * kStep, 4, e);
      } else {
#pragma unroll
        for (int k = 0; k < 4 * kStep; ++k) {
          float r, d;
          pair.Read<flat>(row + LapInside(x + k / kStep, level.width) * kStep + k % kStep, &r, &d);
          e[k] = d - r;
        }
      }
#pragma unroll
      for (int c = 0; c < kStep; ++c) {
        LapPut(tile + at.RowAt(plane + c, line), group, e[c], e[kStep + c], e[2 * kStep + c], e[3 * kStep + c]);
      }
    }
  }
};

struct LevelSource {
  static constexpr int kBlocksWanted = 4;
  const float* planes;

  __device__ __forceinline__ void Fill(const LapLevel& level, const LapPlace& at, float* tile) const {
    LapFill<kLapThreads>(planes, level, at, tile);
  }
};

// Null: not asked for.
struct LevelOutputs {
  float* next;
  std::uint32_t* signs;
  float* bands;
  float* residual;  // its magnitudes
  double* partials;
};

// Of one thread.
struct LevelSink {
  const LevelOutputs& to;
  const LapLevel& level;
  int channel;
  bool wants_signs;
  bool wants_bands;

  __device__ __forceinline__ void PutSigns(int y, int x, std::uint32_t word) const {
    to.signs[level.SignsAt(channel, y / 4, x / 4)] = word;
  }
  __device__ __forceinline__ void PutBands(int y, int x, const float (&sizes)[4]) const {
    LapPutFour(to.bands, level, channel, y, x, sizes);
  }
  __device__ __forceinline__ void PutResidual(int y, int x, const float (&sizes)[2]) const {
    LapPutTwo(to.residual, level.Coarser(), channel, y, x, sizes);
  }
  __device__ __forceinline__ void PutNext(int y, int x, const float (&v)[2]) const {
    if (to.next != nullptr) LapPutTwo(to.next, level.Coarser(), channel, y, x, v);
  }
};

template <class Source>
struct LapLossLevelKernel {
  static constexpr int kThreads = kLapThreads;
  static constexpr int kBlocksWanted = Source::kBlocksWanted;

  Source source;
  LapLevel level;
  LapTaps taps;
  LapWeights weights;
  bool next_is_residual;
  LapWeights residual_weights;
  LevelOutputs to;

  struct Shared {
    alignas(16) float tile[kLapTileSamples];
    float by_column[kLapColumns], by_row[kLapMostRows];
    float residual_by_column[kLapColumns / 2], residual_by_row[kLapMostRows / 2];
    double sums[kThreads];
    // Registers are few.
    LevelOutputs to;
    double factor, residual_factor;
  };

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const LapPlace at(block, level);
    source.Fill(level, at, shared.tile);
    weights.Fill<kThreads>(at.y0, at.x0, shared.by_column, shared.by_row);
    if (next_is_residual) {
      residual_weights.Fill<kThreads>(at.y0 / 2, at.x0 / 2, shared.residual_by_column, shared.residual_by_row);
    }
    const int id = static_cast<int>(threadIdx.x);
    if (id == 0) {
      shared.to = to;
      shared.factor = weights.factor;
      shared.residual_factor = residual_weights.factor;
    }
    __syncthreads();
    double* sums = shared.sums;
    sums[id] = 0.0;
    if (at.inside(level)) {
      const LapCounts counts{shared.by_column + 4 * at.quad, shared.by_row + at.line,
                             shared.residual_by_column + 2 * at.quad,
                             next_is_residual ? shared.residual_by_row + at.line / 2 : nullptr};
      const LevelSink sink{shared.to, level, at.channel, to.signs != nullptr, to.bands != nullptr};
      const float* from = shared.tile + at.RowAt(at.channel, at.line) + 4 * at.quad;
      const LapSums sum = LapBands<kLapRun / 4>(from, taps, level, at.y(), at.x(), counts, sink);
      sums[id] =
          shared.factor * static_cast<double>(sum.bands) + shared.residual_factor * static_cast<double>(sum.residual);
    }
    constexpr int kLast = 3;
    static_assert(kThreads % kLast == 0 && ((kThreads / kLast) & (kThreads / kLast - 1)) == 0);
    for (int half = kThreads / 2; half >= kLast; half /= 2) {
      __syncthreads();
      if (id < half) sums[id] += sums[id + half];
    }
    __syncthreads();
    if (id == 0) shared.to.partials[PartialAt(block)] = (sums[0] + sums[1]) + sums[2];
  }
};

// What the map is the sum of, from the finest level on: bands, and the residual's magnitudes.
template <class Number>
struct LapLossMapKernel {
  static constexpr int kThreads = kRowThreads;
  LapLevel levels[kLevels + 1];
  const float* bands[kLevels + 1];
  SampleSteps steps;
  TensorPlace map;

  __device__ void operator()(const Block& block) const {
    const Shape image{levels[0].width, levels[0].height, levels[0].channels};
    ForEachSample(block, image, [&](int channel, int y, int x) {
      Vec sum(bands[0][levels[0].RowAt(channel, y) + x]);
#pragma unroll
      for (int l = 1; l <= kLevels; ++l) {
        const BlendAt<Number> row(y, levels[l].height, image.height, Lattice::kCentres);
        const BlendAt<Number> column(x, levels[l].width, image.width, Lattice::kCentres);
        const auto along = [&](int at) {
          const float* from = bands[l] + levels[l].RowAt(channel, at);
          return Vec(from[column.low]) * Vec(1.0f - column.weight) + Vec(from[column.high]) * Vec(column.weight);
        };
        const Vec enlarged = along(row.low) * Vec(1.0f - row.weight) + along(row.high) * Vec(row.weight);
        sum = AddScaled{LapLossWeight(l)}(sum, enlarged);
      }
      StoreSample(map, steps.At(channel, y, x), Bare(sum));
    });
  }
};

// What lies where in the workspace. Levels are numbered from the image's, 0, to the residual.
struct Workplace {
  LapLevel levels[kLevels + 1];
  // The first of those that one launch does together; the residual if none is small enough.
  int deep = 1;
  // As the walk goes on, and then of their gradients as it comes back; those beyond the first deep one never leave a
  // block.
  float* planes[kLevels + 1] = {};
  std::uint32_t* signs[kLevels] = {};
  float* bands[kLevels + 1] = {};
  double* partials[kLevels + 1] = {};
  std::int64_t partial_count = 0;
  std::int64_t bytes = 0;
  // What the launches read and write here, but for partial sums.
  std::int64_t moved_bytes = 0;

  Workplace(const ImageView& image, bool want_map, bool want_gradient, std::byte* base) {
    levels[0] = {image.width, image.height, image.channels};
    for (int l = 1; l <= kLevels; ++l) levels[l] = levels[l - 1].Coarser();
    while (deep < kLevels && !LapLossDeepKernel::Holds(levels[deep])) ++deep;
    const auto take = [&]<class T>(T*& to, std::int64_t count, int times) {
      to = reinterpret_cast<T*>(base + bytes);
      bytes += (count * std::int64_t{sizeof(T)} + kAlignment - 1) / kAlignment * kAlignment;
      moved_bytes += times * count * std::int64_t{sizeof(T)};
    };
    for (int l = 1; l <= deep; ++l) {
      // The residual is there for its signs alone, and has no gradient of its own.
      if (l < kLevels) {
        take(planes[l], levels[l].count(), want_gradient ? 4 : 2);
      } else if (want_gradient) {
        take(planes[l], levels[l].count(), 2);
      }
    }
    if (want_gradient) {
      for (int l = 0; l < deep; ++l) take(signs[l], levels[l].sign_count(), 2);
    }
    if (want_map) {
      for (int l = 0; l <= kLevels; ++l) take(bands[l], levels[l].count(), 2);
    }
    for (int l = 0; l < deep; ++l) partial_count += levels[l].tiles().count();
    if (deep < kLevels) partial_count += image.channels;
    take(partials[0], partial_count, 0);
    for (int l = 1; l <= deep; ++l) partials[l] = partials[l - 1] + levels[l - 1].tiles().count();
  }
};

LapWeights WeightsOf(const LapLossWalk& walk, const LapLevel* levels, int l) {
  const auto count = [](const LapLevel& level) {
    return static_cast<double>(level.width) * level.height * level.channels;
  };
  const LapLevel &level = levels[l], &image = levels[0];
  const bool alike = l == 0 || !walk.enlarged;
  const double weight = l < kLevels || walk.residual ? LapLossWeight(l) : 0.0;
  return {weight / count(alike ? level : image), LapShares(level.width, alike ? 0 : image.width),
          LapShares(level.height, alike ? 0 : image.height)};
}

// note(source), of the errors of a pair.
template <class Note>
void WithErrors(const PairSamples& pair, const ImageView& image, Note note) {
  const bool interleaved = image.layout == Layout::kHwc && image.channels == 3;
  const auto by_order = [&]<bool flat>(std::bool_constant<flat>) {
    interleaved ? note(ErrorsSource<true, flat>(pair, image)) : note(ErrorsSource<false, flat>(pair, image));
  };
  pair.flat() ? by_order(std::true_type()) : by_order(std::false_type());
}

}  // namespace

std::int64_t LapLossWorkspaceBytes(const ImageView& distorted, bool want_map, bool want_gradient) {
  return Workplace(distorted, want_map, want_gradient, nullptr).bytes;
}

std::int64_t LapLossMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_map, bool want_gradient) {
  return pair_bytes + Workplace(distorted, want_map, want_gradient, nullptr).moved_bytes;
}

void NoteLapLoss(Cuda& device, const PairSamples& pair, const ImageView& distorted, const LapLossWalk& walk,
                 const ProgramOutput& to, std::byte* workspace) {
  const bool want_map = static_cast<bool>(to.map), want_gradient = static_cast<bool>(to.gradient);
  const Workplace at(distorted, want_map, want_gradient, workspace);
  const Taps taps = GaussianTaps(kLapLossTaps, kLapLossSigma);
  LapTaps rounded;
  std::copy(taps.begin(), taps.begin() + kLapReach + 1, rounded.v);
  rounded.second_by_first = static_cast<float>(taps[1] / taps[0]);
  LapWeights weights[kLevels + 1];
  for (int l = 0; l <= kLevels; ++l) weights[l] = WeightsOf(walk, at.levels, l);

  const auto note = [&](const auto& source, int l) {
    const bool last = l + 1 == kLevels;
    device.Launch(
        LapLossLevelKernel<std::remove_cvref_t<decltype(source)>>{
            source, at.levels[l], rounded, weights[l], last, weights[kLevels], at.planes[l + 1], at.signs[l],
            at.bands[l], last ? at.bands[l + 1] : nullptr, at.partials[l]},
        at.levels[l].tiles());
  };
  WithErrors(pair, distorted, [&](const auto& source) { note(source, 0); });
  for (int l = 1; l < at.deep; ++l) note(LevelSource{at.planes[l]}, l);
  if (at.deep < kLevels) {
    LapLossDeepKernel kernel{at.deep, at.levels[at.deep],  rounded, {}, at.planes[at.deep], {},
                             nullptr, at.partials[at.deep]};
    std::copy(std::begin(weights), std::end(weights), kernel.weights);
    std::copy(std::begin(at.bands), std::end(at.bands), kernel.bands);
    if (want_gradient) kernel.gradient = at.planes[at.deep];
    device.Launch(kernel, {1, distorted.channels});
  }
  device.Launch(CombinePartialsKernel<AddUp, AsIs>{at.partials[0], at.partial_count, AddUp{}, AsIs{}, false, to.score},
                {});

  if (want_map) {
    const auto note_map = [&]<class Number>(Number) {
      LapLossMapKernel<Number> kernel{{}, {}, SampleSteps(distorted), to.map};
      std::copy(std::begin(at.levels), std::end(at.levels), kernel.levels);
      std::copy(std::begin(at.bands), std::end(at.bands), kernel.bands);
      device.Launch(kernel, RowGrid({distorted.width, distorted.height, distorted.channels}));
    };
    std::max(distorted.width, distorted.height) < kNarrowSide ? note_map(int{}) : note_map(std::int64_t{});
  }

  if (!want_gradient) return;
  const auto note_gradient = [&](const auto& out, int l) {
    device.Launch(
        LapLossGradientKernel<std::remove_cvref_t<decltype(out)>>{
            at.levels[l], rounded, weights[l], at.signs[l], at.planes[l + 1], l + 1 == kLevels, weights[kLevels], out},
        at.levels[l].tiles());
  };
  for (int l = at.deep - 1; l > 0; --l) note_gradient(LapPlanesOut{at.planes[l]}, l);
  if (distorted.layout == Layout::kHwc && distorted.channels == 3) {
    note_gradient(LapTensorOut<true>{to.gradient}, 0);
  } else {
    note_gradient(LapTensorOut<false>{to.gradient}, 0);
  }
}

LIKENESS_END_TARGET
