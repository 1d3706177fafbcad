// Two launches, and a third for the gradient, whatever the batch (one more for pairs whose images lie in different
// orders: the march over their first scale is another kernel):
//
//   1. The four smaller scales of both images. A block makes a tile of each from one reading, scale by scale in shared
//      memory.
//   2. The windows of all five scales, by the march of ssim_cuda.cu. No scale waits for another here, so the small ones
//      fill the GPU together with the large one. What a scale's mean changes with is written as well, for each scale.
//      The block of a pair that is done last goes on with the means of each scale and channel, their product, and what
//      the product changes with (ms_ssim_finish_cuda.cuh).
//   3. A sample's gradient gathers from the scales that it is part of.
//
// Floor: as for SSIM, and the bytes of both images once more, and of four thirds of a gradient twice. nvcc 13.0 for
// sm_90: 120 registers for the scales, 56 for the last launch, 11 KiB of shared memory.
#include "kernels/metrics/ms_ssim/ms_ssim_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/march_grid.h"
#include "kernels/walks/ms_ssim_cuda.h"
#include "kernels/walks/ms_ssim_finish_cuda.cuh"
#include "kernels/walks/ssim_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kScales = kMsSsimScales;
constexpr std::int64_t kAlignment = 256;
// Of a tile at the first scale; the last one's is a sixteenth.
constexpr int kTile = 64;

// Sizes, and where samples lie: scale s + 1 is the 2x2 means of scale s, which begins with `before[s]` copies of its
// first row and column.
struct Scales {
  int width[kScales];
  int height[kScales];
  int before[kScales - 1];
  // What a tile of scale s begins before the multiple of its size: so the tiles of all scales cover one another.
  int shift[kScales];
  int channels;
  bool interleaved;

  LIKENESS_HD std::int64_t SampleAt(int scale, int channel, int y, int x) const {
    return interleaved ? (std::int64_t{y} * width[scale] + x) * channels + channel
                       : (std::int64_t{channel} * height[scale] + y) * width[scale] + x;
  }
  std::int64_t count(int scale) const { return std::int64_t{width[scale]} * height[scale] * channels; }
};

Scales ScalesOf(const ImageView& image) {
  Scales scales{};
  scales.channels = image.channels;
  scales.interleaved = image.layout == Layout::kHwc;
  MsSsimSize size{image.width, image.height};
  for (int s = 0; s < kScales; ++s, size = size.Coarser()) {
    scales.width[s] = size.width;
    scales.height[s] = size.height;
    if (s + 1 < kScales) scales.before[s] = size.before();
  }
  for (int s = kScales - 1; s > 0; --s) scales.shift[s - 1] = 2 * scales.shift[s] + scales.before[s - 1];
  return scales;
}

// Tiles along an axis that reach every sample of every scale.
int TileCount(const Scales& scales, const int (&size)[kScales]) {
  int count = 0;
  for (int s = 1; s < kScales; ++s) {
    const int side = kTile >> s;
    count = std::max(count, PartsOf(size[s] + scales.shift[s], side));
  }
  return count;
}

// One scale of both images, in the layout of the distorted one.
struct ScalePair {
  float* reference;
  float* distorted;
};

template <bool flat>
struct ScalesKernel {
  static constexpr int kThreads = kRowThreads;
  // Two blocks share a multiprocessor with any number of registers, and none of them spilled.
  static constexpr int kBlocksWanted = 2;
  PairSamples pair;
  Scales scales;
  ScalePair out[kScales];  // the first is the images themselves
  unsigned* written;       // of the launch to come; becomes 0

  // The tile of one channel, at the scales that others are made of, one behind another.
  static constexpr int kStart[] = {0, 0, kTile / 2 * (kTile / 2), kTile / 2 * (kTile / 2) + kTile / 4 * (kTile / 4)};
  static constexpr int kShared = kStart[3] + kTile / 8 * (kTile / 8);
  struct Shared {
    float r[kShared];
    float d[kShared];
  };

  template <int scale>
  __device__ __forceinline__ void Make(Shared& shared, int tile_x, int tile_y, int channel) const {
    constexpr int kSide = kTile >> scale;
    constexpr int kFiner = scale - 1;
    constexpr int kFinerStart = kStart[kFiner], kOwnStart = kStart[scale < 4 ? scale : 0];
    const int before = scales.before[kFiner];
    const int x0 = tile_x * kSide - scales.shift[scale], y0 = tile_y * kSide - scales.shift[scale];
    const int finer_x0 = 2 * x0 - before, finer_y0 = 2 * y0 - before;
    for (int i = threadIdx.x; i < kSide * kSide; i += kThreads) {
      const int x = x0 + i % kSide, y = y0 + i / kSide;
      if (x < 0 || y < 0 || x >= scales.width[scale] || y >= scales.height[scale]) continue;
      float r[4], d[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int from_x = 2 * x - before + k % 2, from_y = 2 * y - before + k / 2;
        const int column = from_x < 0 ? 0 : from_x, row = from_y < 0 ? 0 : from_y;
        if constexpr (scale == 1) {
          pair.Read<flat>(scales.SampleAt(0, channel, row, column), &r[k], &d[k]);
        } else {
          const int at = kFinerStart + (row - finer_y0) * 2 * kSide + column - finer_x0;
          r[k] = shared.r[at];
          d[k] = shared.d[at];
        }
      }
      const float mean_r = 0.25f * ((r[0] + r[1]) + (r[2] + r[3]));
      const float mean_d = 0.25f * ((d[0] + d[1]) + (d[2] + d[3]));
      if constexpr (scale + 1 < kScales) {
        shared.r[kOwnStart + i] = mean_r;
        shared.d[kOwnStart + i] = mean_d;
      }
      const std::int64_t at = scales.SampleAt(scale, channel, y, x);
      out[scale].reference[at] = mean_r;
      out[scale].distorted[at] = mean_d;
    }
    __syncthreads();
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    if (block.x == 0 && block.y == 0 && threadIdx.x == 0) *written = 0;
    for (int channel = 0; channel < scales.channels; ++channel) {
      Make<1>(shared, block.x, block.y, channel);
      Make<2>(shared, block.x, block.y, channel);
      Make<3>(shared, block.x, block.y, channel);
      Make<4>(shared, block.x, block.y, channel);
    }
  }
};

struct GatherKernel {
  static constexpr int kThreads = kRowThreads;
  Scales scales;
  const float* by_scale[kScales];  // how the scale's mean changes with its samples
  const MsSsimMeans* slopes;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    const Shape shape{scales.width[0], scales.height[0], scales.channels};
    ForEachSample(block, shape, [&](int channel, int y, int x) {
      const std::int64_t at = scales.SampleAt(0, channel, y, x);
      Vec sum = Vec(slopes->of[0][channel]) * Vec(by_scale[0][at]);
      float weight = 1.0f;
#pragma unroll
      for (int s = 1; s < kScales; ++s) {
        const int before = scales.before[s - 1];
        // The first row and column count once more for each copy of them.
        weight *= 0.25f * (x < before ? 2.0f : 1.0f) * (y < before ? 2.0f : 1.0f);
        x = (x + before) / 2;
        y = (y + before) / 2;
        if (x >= scales.width[s] || y >= scales.height[s]) break;
        const Vec slope(slopes->of[s][channel]);
        sum = MulAdd(slope * Vec(weight), Vec(by_scale[s][scales.SampleAt(s, channel, y, x)]), sum);
      }
      StoreSample(out, at, Bare(sum));
    });
  }
};

// A scale as an image of float samples.
ImageView ViewOf(const Scales& scales, int scale, const ImageView& like, const float* data) {
  ImageView view = like;
  view.data = data;
  view.width = scales.width[scale];
  view.height = scales.height[scale];
  view.type = PixelType::kFloat32;
  view.value_of_one = 1.0;
  view.row_bytes = std::int64_t{view.width} * (scales.interleaved ? scales.channels : 1) * std::int64_t{sizeof(float)};
  return view;
}

// What lies where in the workspace.
struct Workplace {
  ScalePair pairs[kScales] = {};
  float* gradients[kScales] = {};
  double* partials[kScales] = {};
  MsSsimMeans* slopes = nullptr;
  unsigned* written = nullptr;
  std::int64_t bytes = 0;

  Workplace(const Scales& scales, const ImageView& image, bool want_gradient, std::byte* base) {
    const auto take = [&]<class T>(T*& to, std::int64_t count) {
      to = reinterpret_cast<T*>(base + bytes);
      bytes += (count * std::int64_t{sizeof(T)} + kAlignment - 1) / kAlignment * kAlignment;
    };
    for (int s = 0; s < kScales; ++s) {
      if (s > 0) take(pairs[s].reference, scales.count(s));
      if (s > 0) take(pairs[s].distorted, scales.count(s));
      if (want_gradient) take(gradients[s], scales.count(s));
      const SsimSums sums = SsimSumsOf(ViewOf(scales, s, image, nullptr), Border::kValid, true);
      take(partials[s], sums.groups * sums.partials_each);
    }
    if (want_gradient) take(slopes, 1);
    take(written, 1);
  }
};

}  // namespace

std::int64_t MsSsimWorkspaceBytes(const ImageView& distorted, bool want_gradient) {
  return Workplace(ScalesOf(distorted), distorted, want_gradient, nullptr).bytes;
}

std::int64_t MsSsimMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient) {
  const Scales scales = ScalesOf(distorted);
  std::int64_t bytes = 2 * pair_bytes;  // for the scales, and for their windows
  for (int s = 0; s < kScales; ++s) {
    const std::int64_t plane = scales.count(s) * std::int64_t{sizeof(float)};
    if (s > 0) bytes += 2 * 2 * plane;      // both images, written and read
    if (want_gradient) bytes += 2 * plane;  // likewise
  }
  return bytes;
}

void NoteMsSsim(Cuda& device, const PairSamples& pair, const ImageView& distorted, const MsSsimWalk& walk,
                const ProgramOutput& to, std::byte* workspace) {
  const Scales scales = ScalesOf(distorted);
  const Workplace at(scales, distorted, static_cast<bool>(to.gradient), workspace);
  const Grid tiles{TileCount(scales, scales.width), TileCount(scales, scales.height)};
  const auto make_scales = [&]<bool flat>(std::bool_constant<flat>) {
    ScalesKernel<flat> kernel{pair, scales, {}, at.written};
    std::copy(std::begin(at.pairs), std::end(at.pairs), kernel.out);
    device.Launch(kernel, tiles);
  };
  pair.flat() ? make_scales(std::true_type()) : make_scales(std::false_type());

  SsimSums sums[kScales];
  MsSsimFinish finish{.channels = scales.channels,
                      .scale = walk.scale,
                      .offset = walk.offset,
                      .written = at.written,
                      .score = to.score,
                      .slopes = at.slopes};
  for (int s = 0; s < kScales; ++s) {
    sums[s] = SsimSumsOf(ViewOf(scales, s, distorted, at.pairs[s].distorted), Border::kValid, true);
    finish.sums[s] = {at.partials[s], sums[s].partials_each, sums[s].windows_each};
    finish.partials += static_cast<unsigned>(scales.channels * sums[s].partials_each);
  }
  const MsSsimFinish* finish_table = device.Table(&finish, 1);

  for (int s = 0; s < kScales; ++s) {
    const ImageView r = ViewOf(scales, s, distorted, at.pairs[s].reference);
    const ImageView d = ViewOf(scales, s, distorted, at.pairs[s].distorted);
    SsimMarch march;
    march.sigma = walk.sigma;
    march.c1 = s + 1 < kScales ? kNoLuminanceK1 * kNoLuminanceK1 : walk.k1 * walk.k1;
    march.c2 = walk.k2 * walk.k2;
    march.by_channel = true;
    march.gradient_scale = 1.0 / sums[s].windows_each;
    march.gradient = at.gradients[s];
    march.partials = at.partials[s];
    march.finish = finish_table;
    march.beside = s > 0;
    NoteSsimMarch(device, s > 0 ? PairSamples(r, d) : pair, d, march);
  }
  if (!to.gradient) return;
  GatherKernel gather{scales, {}, at.slopes, to.gradient};
  std::copy(std::begin(at.gradients), std::end(at.gradients), gather.by_scale);
  device.Launch(gather, RowGrid({scales.width[0], scales.height[0], scales.channels}));
}

LIKENESS_END_TARGET
