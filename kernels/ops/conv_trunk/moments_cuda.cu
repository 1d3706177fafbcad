// What DISTS needs of features under CUDA: their smooth pooling, and the moments of their channels.
#include "kernels/ops/conv_trunk/conv_trunk_cuda.h"
#include "kernels/ops/conv_trunk/device_trunks.h"
#include "kernels/ops/conv_trunk/features_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr float kL2Floor = 1e-12f;

// The Hann window of three samples, of sum 1.
__device__ __forceinline__ float Hann(int i) { return i == 1 ? 0.5f : 0.25f; }

template <class Sample>
struct L2PoolForwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> in;
  Pixels<Sample> out;

  __device__ void operator()(const Block& block) const {
    ForPack(block, out, [&](int y, int x, int channel) {
      Pack sum;
      for (int i = 0; i < kPack; ++i) sum.v[i] = kL2Floor;
      for (int ky = std::max(0, 1 - 2 * y); ky < std::min(3, in.height + 1 - 2 * y); ++ky) {
        for (int kx = std::max(0, 1 - 2 * x); kx < std::min(3, in.width + 1 - 2 * x); ++kx) {
          const Pack value = LoadPack(in.At(2 * y + ky - 1, 2 * x + kx - 1, channel));
          const float weight = Hann(ky) * Hann(kx);
          for (int i = 0; i < kPack; ++i) sum.v[i] = std::fma(value.v[i] * weight, value.v[i], sum.v[i]);
        }
      }
      for (int i = 0; i < kPack; ++i) sum.v[i] = std::sqrt(sum.v[i]);
      StorePack(sum, out.At(y, x, channel));
    });
  }
};

// The derivative with respect to a sample v is weight * v / output.
template <class Sample>
struct L2PoolBackwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> in;
  Pixels<Sample> out;
  Pixels<Sample> upstream;
  float rescale;
  bool accumulate;
  Pixels<Sample> gradient;

  __device__ void operator()(const Block& block) const {
    ForPack(block, in, [&](int y, int x, int channel) {
      Pack sum{};
      // An odd sample lies in two windows, an even one in the middle of one.
      const int y_end = std::min((y + 1) / 2, out.height - 1), x_end = std::min((x + 1) / 2, out.width - 1);
      for (int row = y / 2; row <= y_end; ++row) {
        for (int column = x / 2; column <= x_end; ++column) {
          const Pack g = LoadPack(upstream.At(row, column, channel));
          const Pack root = LoadPack(out.At(row, column, channel));
          const float weight = Hann(y + 1 - 2 * row) * Hann(x + 1 - 2 * column);
          for (int i = 0; i < kPack; ++i) sum.v[i] = std::fma(weight, g.v[i] / root.v[i], sum.v[i]);
        }
      }
      const Pack value = LoadPack(in.At(y, x, channel));
      for (int i = 0; i < kPack; ++i) sum.v[i] *= value.v[i] * rescale;
      StorePack(sum, accumulate, gradient.At(y, x, channel));
    });
  }
};

// Moments: kMomentLanes threads side by side have a pack of channels each; those one above another, pixels.
constexpr int kMomentLanes = 16;
constexpr int kMomentRows = kRowThreads / kMomentLanes;
// Floats added up before double takes over.
constexpr int kRun = 32;

// Block x takes bands of kMomentRows pixels: x, x + grid.x, ...; block y is a group of channels. Partial results of
// `values` sums must fit the scratch.
Grid MomentGrid(std::int64_t pixels, int channels, int values) {
  const std::int64_t bands = (pixels + kMomentRows - 1) / kMomentRows;
  const std::int64_t most = std::clamp(Cuda::kPartialCount / (values * channels), 1, kMaxSumBlocks);
  const int groups = (PaddedChannels(channels) + kMomentLanes * kPack - 1) / (kMomentLanes * kPack);
  return {static_cast<int>(std::min(bands, most)), groups};
}

// Pixel number i of a region, row after row, as a number of the pixel in the whole. Images have fewer than 2^31.
__device__ __forceinline__ int PixelOf(const Region& region, int width, int i) {
  const int gaps = region.width == width ? 0 : i / region.width * (width - region.width);
  return region.y * width + region.x + i + gaps;
}

// add(pixel, channel, sums) adds a pixel's `values` packs; the block's totals go to
// partials[(value * channels + channel) * grid.x + block.x].
template <int values, class Add>
__device__ __forceinline__ void LeaveMoments(const Block& block, const Region& region, int width, int channels,
                                             int padded, double* partials, Add add) {
  __shared__ double shared[values * kPack][kRowThreads];
  const int lane = threadIdx.x % kMomentLanes, row = static_cast<int>(threadIdx.x) / kMomentLanes;
  const int channel = (block.y * kMomentLanes + lane) * kPack;
  double totals[values * kPack] = {};
  if (channel < padded) {
    const int step = block.grid.x * kMomentRows;
    const int pixels = region.width * region.height;
    int pixel = block.x * kMomentRows + row;
    while (pixel < pixels) {
      Pack sums[values] = {};
      for (int n = 0; n < kRun && pixel < pixels; ++n, pixel += step) {
        add(PixelOf(region, width, pixel), channel, sums);
      }
      for (int v = 0; v < values; ++v) {
        for (int i = 0; i < kPack; ++i) totals[v * kPack + i] += static_cast<double>(sums[v].v[i]);
      }
    }
  }
  for (int k = 0; k < values * kPack; ++k) shared[k][threadIdx.x] = totals[k];
  for (int half = kMomentRows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row < half) {
      for (int k = 0; k < values * kPack; ++k) shared[k][threadIdx.x] += shared[k][threadIdx.x + half * kMomentLanes];
    }
  }
  if (row > 0) return;
  for (int v = 0; v < values; ++v) {
    for (int i = 0; i < kPack; ++i) {
      if (channel + i >= channels) continue;
      partials[(std::int64_t{v} * channels + channel + i) * block.grid.x + block.x] =
          shared[v * kPack + i][threadIdx.x];
    }
  }
}

template <class Sample>
struct MeansKernel {
  static constexpr int kThreads = kRowThreads;
  Pixels<Sample> reference;
  Pixels<Sample> distorted;
  Region region;
  int channels;
  double* partials;

  __device__ void operator()(const Block& block) const {
    LeaveMoments<2>(block, region, distorted.width, channels, distorted.channels, partials,
                    [&](int pixel, int channel, Pack* sums) {
                      const Pack r = LoadPack(reference.Pixel(pixel) + channel);
                      const Pack d = LoadPack(distorted.Pixel(pixel) + channel);
                      for (int i = 0; i < kPack; ++i) {
                        sums[0].v[i] += r.v[i];
                        sums[1].v[i] += d.v[i];
                      }
                    });
  }
};

// About the means, in a second look: what cancels is gone before anything is squared.
template <class Sample>
struct VariancesKernel {
  static constexpr int kThreads = kRowThreads;
  Pixels<Sample> reference;
  Pixels<Sample> distorted;
  Region region;
  int channels;
  const double* reference_mean;
  const double* distorted_mean;
  double* partials;

  __device__ void operator()(const Block& block) const {
    Pack centers[2] = {};
    const int first = (block.y * kMomentLanes + static_cast<int>(threadIdx.x) % kMomentLanes) * kPack;
    for (int i = 0; i < kPack && first + i < channels; ++i) {
      centers[0].v[i] = static_cast<float>(reference_mean[first + i]);
      centers[1].v[i] = static_cast<float>(distorted_mean[first + i]);
    }
    LeaveMoments<3>(block, region, distorted.width, channels, distorted.channels, partials,
                    [&](int pixel, int channel, Pack* sums) {
                      const Pack r = LoadPack(reference.Pixel(pixel) + channel);
                      const Pack d = LoadPack(distorted.Pixel(pixel) + channel);
                      for (int i = 0; i < kPack; ++i) {
                        const float a = r.v[i] - centers[0].v[i], b = d.v[i] - centers[1].v[i];
                        sums[0].v[i] = std::fma(a, a, sums[0].v[i]);
                        sums[1].v[i] = std::fma(b, b, sums[1].v[i]);
                        sums[2].v[i] = std::fma(a - b, a - b, sums[2].v[i]);
                      }
                    });
  }
};

template <class Sample>
struct MomentsBackwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> reference;
  Pixels<Sample> distorted;
  Region region;
  int channels;
  MomentGradients moments;
  double share;  // of a pixel in a mean, times what gradients are scaled by
  bool accumulate;
  Pixels<Sample> gradient;

  __device__ void operator()(const Block& block) const {
    ForPack(block, distorted, [&](int y, int x, int channel) {
      const Pack r = LoadPack(reference.At(y, x, channel)), d = LoadPack(distorted.At(y, x, channel));
      const bool inside = y >= region.y && y < region.y + region.height && x >= region.x && x < region.x + region.width;
      Pack g{};
      for (int i = 0; inside && i < kPack && channel + i < channels; ++i) {
        const int c = channel + i;
        const float a = r.v[i] - static_cast<float>(moments.reference_mean[c]);
        const float b = d.v[i] - static_cast<float>(moments.distorted_mean[c]);
        g.v[i] = std::fma(static_cast<float>(moments.variance[c] * 2.0 * share), b,
                          static_cast<float>(moments.mean[c] * share));
        g.v[i] = std::fma(static_cast<float>(moments.difference[c] * 2.0 * share), b - a, g.v[i]);
      }
      StorePack(g, accumulate, gradient.At(y, x, channel));
    });
  }
};

struct MergeMomentsKernel {
  static constexpr int kThreads = 128;
  MomentValues part;
  double share;
  int channels;
  MomentValues all;

  __device__ void operator()(const Block& block) const {
    const int channel = block.x * kThreads + static_cast<int>(threadIdx.x);
    if (channel < channels) MergeChannel(part, share, all, channel);
  }
};

struct HeadRowKernel {
  static constexpr int kThreads = 128;
  const float* from;
  int count;
  double* to;

  __device__ void operator()(const Block& block) const {
    const int i = block.x * kThreads + threadIdx.x;
    if (i < count) to[i] = from[i];
  }
};

}  // namespace

void L2PoolForward(Cuda& device, const FeaturesView& in, const FeaturesView& out) {
  WithSample(out.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(L2PoolForwardKernel<Sample>{Pixels<Sample>(in), Pixels<Sample>(out)}, PackGrid(out.shape));
  });
}

void L2PoolBackward(Cuda& device, const FeaturesView& in, const FeaturesView& out, const FeaturesView& upstream,
                    const FeaturesView& gradient, bool accumulate) {
  const float rescale = GradientScale(gradient) / GradientScale(upstream);
  WithSample(in.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(L2PoolBackwardKernel<Sample>{Pixels<Sample>(in), Pixels<Sample>(out), Pixels<Sample>(upstream),
                                               rescale, accumulate, Pixels<Sample>(gradient)},
                  PackGrid(in.shape));
  });
}

void MomentsForward(Cuda& device, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                    const MomentValues& out) {
  const int channels = distorted.shape.channels;
  const DividedBy mean{static_cast<double>(region.count())};
  const auto collect = [&](const Grid& grid, std::initializer_list<double*> values) {
    const Grid each{grid.x, channels};
    const double* partials = device.scratch();
    for (double* value : values) {
      CombinePartials(device, partials, each, channels, AddUp{}, mean, false, value);
      partials += each.count();
    }
  };
  WithSample(distorted.precision, [&](auto sample) {
    using Sample = decltype(sample);
    const Pixels<Sample> r(reference), d(distorted);
    const Grid means = MomentGrid(region.count(), channels, 2), variances = MomentGrid(region.count(), channels, 3);
    device.Launch(MeansKernel<Sample>{r, d, region, channels, device.scratch()}, means);
    collect(means, {out.reference_mean, out.distorted_mean});
    device.Launch(
        VariancesKernel<Sample>{r, d, region, channels, out.reference_mean, out.distorted_mean, device.scratch()},
        variances);
    collect(variances, {out.reference_variance, out.distorted_variance, out.difference_variance});
  });
}

void MergeMoments(Cuda& device, const MomentValues& part, std::int64_t part_pixels, int channels,
                  const MomentValues& all, std::int64_t all_pixels) {
  const double share = static_cast<double>(part_pixels) / static_cast<double>(part_pixels + all_pixels);
  device.Launch(MergeMomentsKernel{part, share, channels, all},
                {(channels + MergeMomentsKernel::kThreads - 1) / MergeMomentsKernel::kThreads});
}

void MomentsBackward(Cuda& device, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                     std::int64_t pixels, const MomentGradients& moments, const FeaturesView& gradient,
                     bool accumulate) {
  const double share = GradientScale(gradient) / static_cast<double>(pixels);
  WithSample(distorted.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(
        MomentsBackwardKernel<Sample>{Pixels<Sample>(reference), Pixels<Sample>(distorted), region,
                                      distorted.shape.channels, moments, share, accumulate, Pixels<Sample>(gradient)},
        PackGrid(distorted.shape));
  });
}

void HeadRowForward(Cuda& device, const TrunkUse& trunk, int tap, int row, double* out, int channels) {
  const float* head = device.caches().trunks->head(trunk.weights, tap) + std::int64_t{row} * channels;
  device.Launch(HeadRowKernel{head, channels, out},
                {(channels + HeadRowKernel::kThreads - 1) / HeadRowKernel::kThreads});
}

LIKENESS_END_TARGET
