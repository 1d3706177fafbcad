// TapDistance under CUDA: kTapLanes threads share a pixel, which they look at two or three times.
#include "kernels/ops/conv_trunk/conv_trunk_cuda.h"
#include "kernels/ops/conv_trunk/device_trunks.h"
#include "kernels/ops/conv_trunk/features_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kTapLanes = 16;
constexpr int kTapPixels = kRowThreads / kTapLanes;

Grid TapGrid(const Shape& shape) { return {static_cast<int>((shape.plane() + kTapPixels - 1) / kTapPixels)}; }

// The sum over the threads of a pixel, in a fixed tree; all of them get it.
__device__ __forceinline__ double SumOfPixel(double value) {
  double* values = BlockValues();
  const int lane = threadIdx.x % kTapLanes;
  __syncthreads();  // the last sum's readers are done
  values[threadIdx.x] = value;
  for (int half = kTapLanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) values[threadIdx.x] += values[threadIdx.x + half];
  }
  __syncthreads();
  return values[threadIdx.x - lane];
}

// Of one pixel: what its features are multiplied with, 1 / (root + outside), and the root.
struct Length {
  double inverse;
  double root;
};

__device__ __forceinline__ Length LengthOf(const UnitLength& length, double squares) {
  const double root = std::sqrt(squares + length.inside);
  // A vector of zeros has no direction: 0 times anything.
  return root > 0.0 ? Length{1.0 / (root + length.outside), root} : Length{0.0, 0.0};
}

// The features of one pixel of two images. Of a pixel that is not there: none.
template <class Sample>
struct PixelPair {
  const Sample* reference;
  const Sample* distorted;
  int channels;

  __device__ PixelPair(const Block& block, const Pixels<Sample>& r, const Pixels<Sample>& d)
      : reference(r.Pixel(PixelOf(block))), distorted(d.Pixel(PixelOf(block))), channels(d.channels) {
    if (PixelOf(block) >= d.count()) channels = 0;
  }
  __device__ static std::int64_t PixelOf(const Block& block) {
    return std::int64_t{block.x} * kTapPixels + static_cast<int>(threadIdx.x) / kTapLanes;
  }

  // body(channel, reference, distorted) for the packs that are this thread's.
  template <class Body>
  __device__ __forceinline__ void ForEach(Body body) const {
    for (int c = threadIdx.x % kTapLanes * kPack; c < channels; c += kTapLanes * kPack) {
      body(c, LoadPack(reference + c), LoadPack(distorted + c));
    }
  }

  __device__ void Lengths(const UnitLength& length, Length* r_length, Length* d_length) const {
    float r2 = 0.0f, d2 = 0.0f;
    ForEach([&](int, const Pack& r, const Pack& d) {
      for (int i = 0; i < kPack; ++i) {
        r2 = std::fma(r.v[i], r.v[i], r2);
        d2 = std::fma(d.v[i], d.v[i], d2);
      }
    });
    *r_length = LengthOf(length, SumOfPixel(r2));
    *d_length = LengthOf(length, SumOfPixel(d2));
  }
};

template <class Sample>
struct TapForwardKernel {
  static constexpr int kThreads = kRowThreads;
  Pixels<Sample> reference;
  Pixels<Sample> distorted;
  const float* head;
  UnitLength length;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const PixelPair<Sample> pair(block, reference, distorted);
    Length r_length, d_length;
    pair.Lengths(length, &r_length, &d_length);
    const float r_scale = static_cast<float>(r_length.inverse), d_scale = static_cast<float>(d_length.inverse);
    float sum = 0.0f;
    pair.ForEach([&](int channel, const Pack& r, const Pack& d) {
      for (int i = 0; i < kPack; ++i) {
        const float difference = r.v[i] * r_scale - d.v[i] * d_scale;
        sum = std::fma(head[channel + i] * difference, difference, sum);
      }
    });
    const double total = SumOfPixel(sum);
    const std::int64_t pixel = PixelPair<Sample>::PixelOf(block);
    if (pair.channels == 0 || threadIdx.x % kTapLanes != 0) return;
    Row(out, 0, static_cast<int>(pixel / out.shape.width))[pixel % out.shape.width] = static_cast<float>(total);
  }
};

// With n = f / q, q = root + outside and u the gradient at n: that at f is u / q - f (f . u) / (root q^2).
template <class Sample>
struct TapBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  Pixels<Sample> reference;
  Pixels<Sample> distorted;
  const float* head;
  UnitLength length;
  PlanesView upstream;
  float scale;
  bool accumulate;
  Pixels<Sample> gradient;

  __device__ void operator()(const Block& block) const {
    const PixelPair<Sample> pair(block, reference, distorted);
    Length r_length, d_length;
    pair.Lengths(length, &r_length, &d_length);
    const float r_scale = static_cast<float>(r_length.inverse), d_scale = static_cast<float>(d_length.inverse);
    const std::int64_t pixel = PixelPair<Sample>::PixelOf(block);
    float twice = 0.0f;
    if (pair.channels > 0) {
      const int y = static_cast<int>(pixel / upstream.shape.width), x = static_cast<int>(pixel % upstream.shape.width);
      twice = 2.0f * Row(upstream, 0, y)[x] * scale;
    }
    const auto at_unit = [&](int channel, float r, float d) {
      return head[channel] * (d * d_scale - r * r_scale) * twice;
    };
    float dot = 0.0f;
    pair.ForEach([&](int channel, const Pack& r, const Pack& d) {
      for (int i = 0; i < kPack; ++i) dot = std::fma(at_unit(channel + i, r.v[i], d.v[i]), d.v[i], dot);
    });
    const double total = SumOfPixel(dot);
    // How much of f itself is taken off.
    const float along =
        d_length.root > 0.0 ? static_cast<float>(total * d_length.inverse * d_length.inverse / d_length.root) : 0.0f;
    pair.ForEach([&](int channel, const Pack& r, const Pack& d) {
      Pack g;
      for (int i = 0; i < kPack; ++i) g.v[i] = at_unit(channel + i, r.v[i], d.v[i]) * d_scale - d.v[i] * along;
      StorePack(g, accumulate, gradient.Pixel(pixel) + channel);
    });
  }
};

}  // namespace

void TapForward(Cuda& device, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                const FeaturesView& distorted, const PlanesView& out) {
  const float* head = device.caches().trunks->head(trunk.weights, tap);
  WithSample(distorted.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(TapForwardKernel<Sample>{Pixels<Sample>(reference), Pixels<Sample>(distorted), head, length, out},
                  TapGrid(distorted.shape));
  });
}

void TapBackward(Cuda& device, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                 const FeaturesView& distorted, const PlanesView& upstream, const FeaturesView& gradient,
                 bool accumulate) {
  const float* head = device.caches().trunks->head(trunk.weights, tap);
  WithSample(distorted.precision, [&](auto sample) {
    using Sample = decltype(sample);
    device.Launch(TapBackwardKernel<Sample>{Pixels<Sample>(reference), Pixels<Sample>(distorted), head, length,
                                            upstream, GradientScale(gradient), accumulate, Pixels<Sample>(gradient)},
                  TapGrid(distorted.shape));
  });
}

LIKENESS_END_TARGET
