// A block marches down a strip of 64 columns, three rows at a step:
//
//   1. A thread makes the opponent colours of one pixel of both images, into shared memory. Rows and columns beyond the
//      image are its nearest ones.
//   2. A thread filters one column of one image, by the colours' filters or by those of features: along the rows, and
//      at once down the column, whose unfinished sums wait in registers. All threads of a warp do the same.
//   3. A thread compares one pixel of both images: the error, which joins its sum.
//
// The gradient takes one launch more, a march back: flip_gradient_cuda.cuh. The walk leaves it how the score changes
// with each of the seven filtered channels.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 4 a pixel for a map. The arithmetic, some 1600 instructions
// a pixel of which filters are half, takes longer than that. A gradient adds 56 bytes a pixel between launches, and 5 a
// sample. The program moves 220 bytes a pixel in 10 launches, 426 in 16 with the gradient. nvcc 13.0 for sm_90: 128
// registers and 13 words spilled (254 and none where the images lie in different orders), 26 KiB of shared memory; of
// the march back 128, 4 and 16.
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/flip_cuda.h"
#include "kernels/walks/flip_gradient_cuda.cuh"
#include "kernels/walks/flip_march_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kStrip = 64;
constexpr int kLines = 3;
constexpr int kAcross = kStrip + 2 * kFlipReach;
constexpr int kColors = kFlipColors;
constexpr int kChannels = kFlipChannels;
constexpr int kMostBlocks = 264;

// Opponent colours of red, green and blue, or of gray.
template <class V>
__device__ __forceinline__ Pack<V, kColors> Opponent(const V* rgb, int channels) {
  return channels == 1 ? FlipOpponent{}(rgb[0], rgb[0], rgb[0]) : FlipOpponent{}(rgb[0], rgb[1], rgb[2]);
}

template <bool gradient, bool flat>
struct FlipKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = flat ? 2 : 1;
  static_assert(kThreads == 4 * kStrip && kLines * kAcross <= kThreads && kLines * kStrip <= kThreads);

  PairSamples pair;
  Shape shape;
  SampleSteps steps;
  MarchGrid grid;
  const FlipTaps* taps;
  float slope_scale;
  PlanesView slopes;  // of the score by each filtered channel of the distorted image
  TensorPlace map;
  double* partials;

  using Opponents = float[kColors][kLines][kAcross];

  // Channels of one image.
  template <int reach>
  using Lines = FlipLines<reach, kLines, kStrip>;
  struct Seen {
    Lines<kFlipColorReach> colors[2];
    Lines<kFlipReach> blue_yellow;
    Lines<kFlipFeatureReach> features[4];

    __device__ __forceinline__ Vec At(int channel, int line, int column) const {
      return Vec(channel < 2   ? colors[channel].at[line][column]
                 : channel < 3 ? blue_yellow.at[line][column]
                               : features[channel - kColors].at[line][column]);
    }
  };
  struct Shared {
    FlipTaps taps;
    Opponents opponent[2];
    Seen seen[2];
    double sums[kThreads];
  };

  // A pixel of both images.
  struct Fetched {
    float r[3] = {0.0f, 0.0f, 0.0f};
    float d[3] = {0.0f, 0.0f, 0.0f};
  };

  __device__ __forceinline__ static int Inside(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

  __device__ __forceinline__ Fetched Fetch(int id, int x0, int y) const {
    Fetched pixel;
    if (id >= kLines * kAcross) return pixel;
    const int row = Inside(y + id / kAcross, shape.height);
    const int column = Inside(x0 - kFlipReach + id % kAcross, shape.width);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      if (c < shape.channels) pair.Read<flat>(steps.At(c, row, column), &pixel.r[c], &pixel.d[c]);
    }
    return pixel;
  }

  __device__ __forceinline__ void PutOpponent(const float* rgb, int id, Opponents& to) const {
    const Vec in[3] = {Vec(rgb[0]), Vec(rgb[1]), Vec(rgb[2])};
    const Pack<Vec, kColors> colors = Opponent(in, shape.channels);
#pragma unroll
    for (int c = 0; c < kColors; ++c) to[c][id / kAcross][id % kAcross] = Bare(colors.v[c]);
  }

  __device__ __forceinline__ static void FilterColors(const Opponents& from, const FlipTaps& taps, int column,
                                                      Vec* pending, Seen& to) {
    constexpr int kSecond = 2 * kFlipColorReach, kThird = 4 * kFlipColorReach;
    const int middle = kFlipReach + column;
    const auto color = [&](int c, const FlipSides& sides, Vec* waiting) {
      to.colors[c].Advance(column);
#pragma unroll
      for (int i = 0; i < kLines; ++i) {
        const Vec x = EvenSum<kFlipColorReach>(&from[c][i][middle], sides.horizontal);
        to.colors[c].Put(i, column, NextDown<kFlipColorReach>(waiting, Even{x, sides.vertical}));
      }
    };
    color(0, taps.achromatic, pending);
    color(1, taps.red_green, pending + kSecond);
    const FlipSides(&sides)[2] = taps.blue_yellow;
#pragma unroll
    for (int i = 0; i < kLines; ++i) {
      const float* x = &from[2][i][middle];
      const Vec x1 = EvenSum<kFlipReach>(x, sides[0].horizontal), x2 = EvenSum<kFlipReach>(x, sides[1].horizontal);
      to.blue_yellow.Put(
          i, column, NextDown<kFlipReach>(pending + kThird, Even{x1, sides[0].vertical}, Even{x2, sides[1].vertical}));
    }
  }

  __device__ __forceinline__ static void FilterFeatures(const Opponents& from, const FlipTaps& taps, int column,
                                                        Vec* pending, Seen& to) {
    constexpr int kWaiting = 2 * kFlipFeatureReach;
    const int middle = kFlipReach + column;
#pragma unroll
    for (auto& lines : to.features) lines.Advance(column);
#pragma unroll
    for (int i = 0; i < kLines; ++i) {
      const float* x = &from[0][i][middle];
      const auto put = [&](int k, Vec value) { to.features[k].Put(i, column, value); };
      const Vec across = EvenSum<kFlipFeatureReach>(x, taps.across);
      put(1, NextDown<kFlipFeatureReach>(pending + kWaiting, Odd{across, taps.edge}));
      put(3, NextDown<kFlipFeatureReach>(pending + 3 * kWaiting, Even{across, taps.point}));
      const Vec edge = OddSum<kFlipFeatureReach>(x, taps.edge);
      put(0, NextDown<kFlipFeatureReach>(pending, Even{edge, taps.across}));
      const Vec point = EvenSum<kFlipFeatureReach>(x, taps.point);
      put(2, NextDown<kFlipFeatureReach>(pending + 2 * kWaiting, Even{point, taps.across}));
    }
  }

  // The error of a pixel; where the gradient is wanted, its derivatives by the distorted image's channels.
  __device__ __forceinline__ Vec Compare(const Seen (&seen)[2], int line, int column, int y, int x) const {
    Pack<Vec, kChannels> r, d;
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
      r.v[k] = seen[0].At(k, line, column);
      d.v[k] = seen[1].At(k, line, column);
    }
    if constexpr (!gradient) {
      return FlipError{}(r, d);
    } else {
      Pack<Dual<Vec, kChannels>, kChannels> variables;
#pragma unroll
      for (int k = 0; k < kChannels; ++k) variables.v[k] = Dual<Vec, kChannels>::Variable(d.v[k], k);
      const Dual<Vec, kChannels> error = FlipError{}(r, variables);
#pragma unroll
      for (int k = 0; k < kChannels; ++k) Store(error.d[k] * Vec(slope_scale), Row(slopes, k, y) + x);
      return error.v;
    }
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const int id = static_cast<int>(threadIdx.x);
    const int x0 = block.x % grid.strips * kStrip;
    const int y0 = block.x / grid.strips * grid.rows;
    const int y1 = y0 + grid.rows < shape.height ? y0 + grid.rows : shape.height;
    for (int i = id; i < static_cast<int>(sizeof(FlipTaps) / sizeof(float)); i += kThreads) {
      reinterpret_cast<float*>(&shared.taps)[i] = reinterpret_cast<const float*>(taps)[i];
    }

    const int line = id / kStrip, column = id % kStrip;
    const int image = line % 2;  // that the thread filters
    Vec pending[8 * kFlipFeatureReach];
#pragma unroll
    for (int j = 0; j < 8 * kFlipFeatureReach; ++j) pending[j] = Vec(0.0);
    shared.sums[id] = 0.0;
    if (line < 2) {
      for (auto& lines : shared.seen[image].colors) lines.Begin(column);
    } else {
      for (auto& lines : shared.seen[image].features) lines.Begin(column);
    }

    Fetched pixel = Fetch(id, x0, y0 - kFlipReach);
    for (int y = y0 - kFlipReach; y < y1 + kFlipReach; y += kLines) {
      if (id < kLines * kAcross) {
        PutOpponent(pixel.r, id, shared.opponent[0]);
        PutOpponent(pixel.d, id, shared.opponent[1]);
      }
      __syncthreads();
      if (line < 2) {
        FilterColors(shared.opponent[image], shared.taps, column, pending, shared.seen[image]);
      } else {
        FilterFeatures(shared.opponent[image], shared.taps, column, pending, shared.seen[image]);
      }
      pixel = Fetch(id, x0, y + kLines);
      __syncthreads();
      const int done = y + line - kFlipReach, x = x0 + column;
      if (line >= kLines || done < y0 || done >= y1 || x >= shape.width) continue;
      const Vec error = Compare(shared.seen, line, column, done, x);
      shared.sums[id] += static_cast<double>(Bare(error));
      if (map.data != nullptr) StoreSample(map, std::int64_t{done} * shape.width + x, Bare(error));
    }
    const double sum = CombineBlock(shared.sums[id], AddUp{});
    if (id == 0) partials[block.x] = sum;
  }
};

}  // namespace

std::int64_t FlipGradientBytes(const ImageView& distorted) {
  return RowStride(distorted.width) * distorted.height * kChannels * std::int64_t{sizeof(Real)};
}

std::int64_t FlipMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient) {
  if (!want_gradient) return pair_bytes;
  // Written by the march and read by the march back, which reads the distorted image as well.
  const std::int64_t slopes = distorted.pixel_count() * kChannels * std::int64_t{sizeof(Real)};
  return pair_bytes + 2 * slopes + distorted.size_bytes();
}

void NoteFlip(Cuda& device, const PairSamples& pair, const ImageView& distorted, const FlipWalk& walk,
              const ProgramOutput& to, std::byte* workspace) {
  const KernelBank bank = FlipFilters(walk.ppd);
  FlipTaps taps{};
  if (!TakeFlipFilters(bank, &taps)) {
    device.Report(Check(cudaErrorInvalidValue, "flip: filters wider than the walk's", __FILE__, __LINE__));
    return;
  }
  const Shape shape{distorted.width, distorted.height, distorted.channels};
  const SampleSteps steps(distorted);
  const MarchGrid grid = FlipGridOf(distorted, kStrip, kMostBlocks);
  const double pixels = static_cast<double>(shape.plane());
  const PlanesView slopes{workspace, {shape.width, shape.height, kChannels}};
  const Grid blocks{grid.strips * grid.bands};
  const FlipTaps* table = device.Table(&taps, 1);
  const auto march = [&]<bool gradient, bool flat>() {
    device.Launch(FlipKernel<gradient, flat>{pair, shape, steps, grid, table, static_cast<float>(1.0 / pixels), slopes,
                                             to.map, device.scratch()},
                  blocks);
  };
  if (to.gradient) {
    pair.flat() ? march.template operator()<true, true>() : march.template operator()<true, false>();
  } else {
    pair.flat() ? march.template operator()<false, true>() : march.template operator()<false, false>();
  }
  CombinePartials(device, device.scratch(), blocks, 1, AddUp{}, DividedBy{pixels}, false, to.score);
  if (!to.gradient) return;
  const MarchGrid back = FlipGridOf(distorted, FlipGradientKernel::kOwn, FlipGradientKernel::kMostBlocks);
  device.Launch(FlipGradientKernel{distorted, shape, steps, back, table, slopes, to.gradient},
                {back.strips * back.bands});
}

LIKENESS_END_TARGET
