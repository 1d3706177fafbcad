#include <algorithm>
#include <bit>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/ops/conv_trunk/conv_plans.h"
#include "kernels/ops/conv_trunk/conv_trunk_cuda.h"
#include "kernels/ops/conv_trunk/device_trunks.h"
#include "kernels/ops/conv_trunk/features_cuda.cuh"
#include "kernels/ops/load/sample_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

// A number for each colour. Not an array, which a kernel would have to copy to index it.
struct OfColors {
  float red, green, blue;

  __device__ float operator[](int c) const { return c == 0 ? red : c == 1 ? green : blue; }
};

OfColors ToFloat(const double (&of)[3]) {
  return {static_cast<float>(of[0]), static_cast<float>(of[1]), static_cast<float>(of[2])};
}

// Samples of planes.
struct OfPlanes {
  PlanesView planes;

  const Shape& shape() const { return planes.shape; }
  __device__ float operator()(int channel, int y, int x) const { return Row(planes, channel, y)[x]; }
};

// Samples of an image, as planes of `scored` channels have them.
struct OfImage {
  ImageView image;
  double background;
  int scored;

  Shape shape() const { return {image.width, image.height, scored}; }
  __device__ float operator()(int channel, int y, int x) const {
    return Bare(ReadComposited(image, Vec(background), channel, y, x));
  }
};

template <class Source, class Sample>
struct ImageForwardKernel {
  static constexpr int kThreads = kPackThreads;
  Source image;
  Shape shape;
  OfColors mean;
  OfColors deviation;
  int stride;
  int padding;
  Pixels<Sample> out;

  __device__ void operator()(const Block& block) const {
    ForPack(block, out, [&](int row, int column, int first) {
      Pack pack;
      for (int i = 0; i < kPack; ++i) {
        const int phase = (first + i) / 3, c = (first + i) % 3;
        const int y = row * stride + phase / stride - padding, x = column * stride + phase % stride - padding;
        const bool inside = phase < stride * stride && y >= 0 && y < shape.height && x >= 0 && x < shape.width;
        pack.v[i] = 0.0f;
        if (inside) pack.v[i] = (image(shape.channels == 1 ? 0 : c, y, x) - mean[c]) / deviation[c];
      }
      StorePack(pack, out.At(row, column, first));
    });
  }
};

template <class Sample>
struct ImageBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  Pixels<Sample> upstream;
  OfColors scale;  // one over the deviation, and over what upstream is scaled by
  int stride;
  int padding;
  GradientView gradient;
  double* non_finite;  // null: nobody asks

  __device__ void operator()(const Block& block) const {
    const Shape& image = gradient.planes.shape;
    ForEachSample(block, image, [&](int c, int y, int x) {
      const int row = (y + padding) / stride, column = (x + padding) / stride;
      const int phase = (y + padding) % stride * stride + (x + padding) % stride;
      float sum = 0.0f;
      if (row < upstream.height && column < upstream.width) {  // not beyond the last window
        const Sample* pixel = upstream.At(row, column, phase * 3);
        // A gray image stands for all three.
        const int end = image.channels == 1 ? 3 : c + 1;
        for (int k = c; k < end; ++k) sum += WidenSample(pixel[k]) * scale[k];
      }
      if (non_finite != nullptr && !std::isfinite(sum)) *non_finite = 1.0;
      StoreGradient(gradient, c, y, x, Vec(sum));
    });
  }
};

// Whether features have left half's range. All that find one write the same.
template <class Sample>
struct FindNonFiniteKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> x;
  double* non_finite;

  __device__ void operator()(const Block& block) const {
    ForPack(block, x, [&](int row, int column, int channel) {
      const Pack pack = LoadPack(x.At(row, column, channel));
      float sum = 0.0f;  // stays 0 but for 0 times infinity
      for (int i = 0; i < kPack; ++i) sum += pack.v[i] * 0.0f;
      if (!(sum == 0.0f)) *non_finite = 1.0;
    });
  }
};

// The gradient in front of a ReLU, in place.
template <class Sample>
struct ReluBackwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> value;
  Pixels<Sample> upstream;

  __device__ void operator()(const Block& block) const {
    ForPack(block, value, [&](int y, int x, int channel) {
      const Pack at = LoadPack(value.At(y, x, channel));
      Sample* to = upstream.At(y, x, channel);
      Pack g = LoadPack(to);
      for (int i = 0; i < kPack; ++i) g.v[i] = at.v[i] > 0.0f ? g.v[i] : 0.0f;
      StorePack(g, to);
    });
  }
};

template <class Sample>
struct MaxPoolForwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> in;
  int kernel;
  int stride;
  Pixels<Sample> out;

  __device__ void operator()(const Block& block) const {
    ForPack(block, out, [&](int y, int x, int channel) {
      const int bottom = std::min(y * stride + kernel, in.height), right = std::min(x * stride + kernel, in.width);
      Pack best = LoadPack(in.At(y * stride, x * stride, channel));
      for (int row = y * stride; row < bottom; ++row) {
        for (int column = x * stride; column < right; ++column) {
          const Pack value = LoadPack(in.At(row, column, channel));
          // NaN stays.
          for (int i = 0; i < kPack; ++i) {
            if (value.v[i] > best.v[i] || value.v[i] != value.v[i]) best.v[i] = value.v[i];
          }
        }
      }
      StorePack(best, out.At(y, x, channel));
    });
  }
};

// Each sample gathers from the windows whose first maximum it is.
template <class Sample>
struct MaxPoolBackwardKernel {
  static constexpr int kThreads = kPackThreads;
  Pixels<Sample> in;
  int kernel;
  int stride;
  Pixels<Sample> upstream;
  float rescale;
  bool accumulate;
  Pixels<Sample> gradient;

  __device__ void operator()(const Block& block) const {
    ForPack(block, in, [&](int y, int x, int channel) {
      const Pack mine = LoadPack(in.At(y, x, channel));
      Pack sum{};
      // Of the windows over a sample the first is the last that begins a kernel before it.
      for (int row = std::max(0, (y - kernel + stride) / stride); row <= std::min(y / stride, upstream.height - 1);
           ++row) {
        for (int column = std::max(0, (x - kernel + stride) / stride);
             column <= std::min(x / stride, upstream.width - 1); ++column) {
          AddWindow(row, column, y, x, channel, mine, sum);
        }
      }
      for (int i = 0; i < kPack; ++i) sum.v[i] *= rescale;
      StorePack(sum, accumulate, gradient.At(y, x, channel));
    });
  }

  __device__ void AddWindow(int row, int column, int y, int x, int channel, const Pack& mine, Pack& sum) const {
    const int bottom = std::min(row * stride + kernel, in.height), right = std::min(column * stride + kernel, in.width);
    bool first[kPack];
    for (int i = 0; i < kPack; ++i) first[i] = true;
    for (int v = row * stride; v < bottom; ++v) {
      for (int h = column * stride; h < right; ++h) {
        const Pack other = LoadPack(in.At(v, h, channel));
        const bool before = v < y || (v == y && h < x);
        for (int i = 0; i < kPack; ++i) {
          if (before ? other.v[i] >= mine.v[i] : other.v[i] > mine.v[i]) first[i] = false;
        }
      }
    }
    const Pack g = LoadPack(upstream.At(row, column, channel));
    for (int i = 0; i < kPack; ++i) sum.v[i] += first[i] ? g.v[i] : 0.0f;
  }
};

// An entry of a launch that is cuDNN's: one convolution of one image.
struct Convolution {
  ConvPlans* plans;
  ConvShape shape;
  ConvArguments arguments;
  // Kept features lie anywhere: a plan for their distance to others would serve once.
  bool alone = false;

  std::int64_t InDistance(const Convolution& next) const {
    return static_cast<const std::byte*>(next.arguments.in) - static_cast<const std::byte*>(arguments.in);
  }
  std::int64_t OutDistance(const Convolution& next) const {
    return static_cast<std::byte*>(next.arguments.out) - static_cast<std::byte*>(arguments.out);
  }
  // Whether one call can do both, but for where they lie.
  bool IsLike(const Convolution& other) const {
    return !alone && !other.alone && shape == other.shape && arguments.weight == other.arguments.weight &&
           arguments.bias == other.arguments.bias && arguments.scale == other.arguments.scale &&
           arguments.accumulate == other.arguments.accumulate;
  }
  friend bool operator==(const Convolution&, const Convolution&) = default;
};

// Of what convolutions of one shape are a multiple of, from one to the next: what cuDNN's wide loads want.
constexpr std::int64_t kDistanceUnit = 16;

// Convolutions of one call: from one to the next it is always as far.
struct EvenlySpaced {
  std::int64_t in_distance = 0;
  std::int64_t out_distance = 0;
  std::vector<std::size_t> which;
};

// Those behind `first` that one call can do with it, as far apart as it and `second` are.
EvenlySpaced Follow(std::span<const Convolution> all, const std::vector<bool>& done, std::size_t first,
                    std::size_t second) {
  EvenlySpaced found{all[first].InDistance(all[second]), all[first].OutDistance(all[second]), {first}};
  if (found.in_distance <= 0 || found.out_distance <= 0 || found.in_distance % kDistanceUnit != 0 ||
      found.out_distance % kDistanceUnit != 0) {
    return found;
  }
  for (std::size_t k = second; k < all.size(); ++k) {
    const auto count = static_cast<std::int64_t>(found.which.size());
    if (!done[k] && all[first].IsLike(all[k]) && all[first].InDistance(all[k]) == count * found.in_distance &&
        all[first].OutDistance(all[k]) == count * found.out_distance) {
      found.which.push_back(k);
    }
  }
  return found;
}

// Those of one shape, weights and kind whose images lie evenly spaced become one call. Pairs of one size mostly do, for
// their workspaces lie one behind another: the references, and the distorted images, which take turns here. Both images
// of what is left of these, and of a single pair, are evenly spaced too, for there are two.
Failure RunConvolutions(const Entries& entries, cudaStream_t stream) {
  static_cast<void>(stream);  // the handle's own
  const auto* first = reinterpret_cast<const Convolution*>(entries.host);
  std::vector<Convolution> all(first, first + entries.count);
  // A distance between images is above 0.
  std::stable_sort(all.begin(), all.end(), [](const Convolution& a, const Convolution& b) {
    return std::less<>()(a.arguments.in, b.arguments.in);
  });
  std::vector<bool> done(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (done[i]) continue;
    EvenlySpaced best{0, 0, {i}};
    // The next one is the pair's other image, if there is one, and the one behind that is the next pair's. Nobody is
    // looked for where a call takes one alone.
    int tried = all[i].plans->images_per_call() > 1 ? 0 : 2;
    for (std::size_t k = i + 1; k < all.size() && tried < 2; ++k) {
      if (done[k] || !all[i].IsLike(all[k])) continue;
      ++tried;
      if (EvenlySpaced found = Follow(all, done, i, k); found.which.size() > best.which.size()) best = std::move(found);
    }
    // A call takes no other counts, and what is left over may join another.
    best.which.resize(std::bit_floor(best.which.size()));
    for (const std::size_t k : best.which) done[k] = true;
    LIKENESS_CUDA_RETURN_IF_FAILED(all[i].plans->Run(
        all[i].shape, all[i].arguments, static_cast<int>(best.which.size()), best.in_distance, best.out_distance));
  }
  return {};
}

constexpr LaunchKind kConvolutionKind = CallKind<Convolution>(&RunConvolutions);

void Convolve(Cuda& device, Convolution convolution) {
  convolution.alone = device.IsKept(convolution.arguments.in) || device.IsKept(convolution.arguments.out);
  const Failure failure = convolution.plans->Prepare(convolution.shape);
  if (failure.failed()) return device.Report(failure);
  device.Add(kConvolutionKind, convolution);
}

int PaddingOf(const ConvSpec& first) { return first.stride == 1 ? 0 : first.padding; }

template <class Source>
void NoteImageFeatures(Cuda& device, const Source& image, const ColorNormalization& color, const ConvSpec& first,
                       const FeaturesView& out) {
  WithSample(out.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(
        ImageForwardKernel<Source, Sample>{image, image.shape(), ToFloat(color.mean), ToFloat(color.deviation),
                                           first.stride, PaddingOf(first), Pixels<Sample>(out)},
        PackGrid(out.shape));
  });
}

}  // namespace

void ImageFeaturesForward(Cuda& device, const PlanesView& image, const ColorNormalization& color, const ConvSpec& first,
                          const FeaturesView& out) {
  NoteImageFeatures(device, OfPlanes{image}, color, first, out);
}

void ImageFeaturesForward(Cuda& device, const ImageView* image, double background, const Shape& shape,
                          const ColorNormalization& color, const ConvSpec& first, const FeaturesView& out) {
  NoteImageFeatures(device, OfImage{*image, background, shape.channels}, color, first, out);
}

void ImageFeaturesBackward(Cuda& device, const FeaturesView& upstream, const ColorNormalization& color,
                           const ConvSpec& first, const GradientView& gradient) {
  double inverse[3];
  for (int c = 0; c < 3; ++c) inverse[c] = 1.0 / color.deviation[c] / GradientScale(upstream);
  WithSample(upstream.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(ImageBackwardKernel<Sample>{Pixels<Sample>(upstream), ToFloat(inverse), first.stride,
                                              PaddingOf(first), gradient, device.non_finite()},
                  RowGrid(gradient.planes.shape));
  });
}

void ConvReluForward(Cuda& device, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& in, void*,
                     const FeaturesView& out) {
  const DeviceConv& conv = device.caches().trunks->conv(trunk.weights, layer);
  const DeviceConv::Samples& samples = conv.samples(trunk.precision);
  Convolve(device, {device.caches().conv_plans,
                    {conv.geometry, in.shape.width, in.shape.height, trunk.precision, relu},
                    {in.data, samples.weight, samples.bias, out.data}});
  // What is tapped shows in the score.
  if (trunk.precision == Precision::kExact || trunk.conv(layer).tap) return;
  device.Launch(FindNonFiniteKernel<__half>{Pixels<__half>(out), device.non_finite()}, PackGrid(out.shape));
}

void ConvReluBackward(Cuda& device, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& out,
                      const FeaturesView& upstream, void*, const FeaturesView& gradient, bool accumulate) {
  if (relu) {
    WithSample(out.precision, [&](auto sample) {
      using Sample = decltype(sample);
      device.Launch(ReluBackwardKernel<Sample>{Pixels<Sample>(out), Pixels<Sample>(upstream)}, PackGrid(out.shape));
    });
  }
  const DeviceConv& conv = device.caches().trunks->conv(trunk.weights, layer);
  Convolve(device, {device.caches().conv_plans,
                    {AdjointOf(conv.geometry), out.shape.width, out.shape.height, trunk.precision, false},
                    {upstream.data, conv.samples(trunk.precision).adjoint, device.caches().trunks->zeros(),
                     gradient.data, GradientScale(gradient) / GradientScale(upstream), accumulate}});
}

void MaxPoolForward(Cuda& device, const FeaturesView& in, int kernel, int stride, const FeaturesView& out) {
  WithSample(out.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(MaxPoolForwardKernel<Sample>{Pixels<Sample>(in), kernel, stride, Pixels<Sample>(out)},
                  PackGrid(out.shape));
  });
}

void MaxPoolBackward(Cuda& device, const FeaturesView& in, int kernel, int stride, const FeaturesView& upstream,
                     const FeaturesView& gradient, bool accumulate) {
  const float rescale = GradientScale(gradient) / GradientScale(upstream);
  WithSample(in.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(MaxPoolBackwardKernel<Sample>{Pixels<Sample>(in), kernel, stride, Pixels<Sample>(upstream), rescale,
                                                accumulate, Pixels<Sample>(gradient)},
                  PackGrid(in.shape));
  });
}

LIKENESS_END_TARGET
