// How walks read a pair under CUDA: samples as floats on the [0, 1] scale, numbered in the order of the distorted
// image.
#pragma once

#include "kernels/ops/load/sample_cuda.cuh"

LIKENESS_BEGIN_TARGET

// Where samples lie, in the order of the distorted image.
struct SampleSteps {
  std::int64_t channel, row, pixel;

  explicit SampleSteps(const ImageView& image) {
    const bool interleaved = image.layout == Layout::kHwc;
    pixel = interleaved ? image.channels : 1;
    row = image.width * pixel;
    channel = interleaved ? 1 : image.height * row;
  }
  __device__ std::int64_t At(int c, int y, int x) const { return c * channel + y * row + x * pixel; }
};

// sample / value_of_one, correctly rounded, in two instructions where the scale is 1 or that of files: the product with
// the reciprocal, and with what that lacks, is rounded once, and no quotient lies near the middle of two floats.
// walks_test.cc compares every uint8 and uint16 with the division.
struct ValueScale {
  float reciprocal = 1.0f;
  float rest_or_one = 0.0f;  // what the reciprocal lacks of its value; the divisor where no product will do
  bool by_product = true;

  ValueScale() = default;
  explicit ValueScale(const ImageView& image) {
    const float one = static_cast<float>(image.value_of_one);
    reciprocal = 1.0f / one;
    by_product = one == 1.0f || ((image.type == PixelType::kUint8 || image.type == PixelType::kUint16) &&
                                 (one == 255.0f || one == 65535.0f));
    const double rest = 1.0 / static_cast<double>(one) - static_cast<double>(reciprocal);
    rest_or_one = by_product ? static_cast<float>(rest) : one;
  }

  __device__ float operator()(float sample) const { return by_product ? Product(sample) : sample / rest_or_one; }
  // Where it is by product.
  __device__ float Product(float sample) const { return std::fma(sample, reciprocal, sample * rest_or_one); }
};

// Two images of one size and channel count, without alpha.
class PairSamples {
 public:
  PairSamples(const ImageView& reference, const ImageView& distorted)
      : reference_(reference),
        distorted_(distorted),
        reference_scale_(reference),
        distorted_scale_(distorted),
        count_(distorted.pixel_count() * distorted.channels),
        flat_(IsPacked(reference) && IsPacked(distorted) &&
              (reference.layout == distorted.layout || reference.channels == 1)) {}

  __host__ __device__ std::int64_t count() const { return count_; }

  // Whether sample i of one image is sample i of the other in memory.
  bool flat() const { return flat_; }

  // Values r and d of sample i. kFlat: flat().
  template <bool kFlat>
  __device__ __forceinline__ void Read(std::int64_t i, float* r, float* d) const {
    if constexpr (kFlat) {
      *r = reference_scale_(StoredSample(reference_.data, reference_.type, i));
      *d = distorted_scale_(StoredSample(distorted_.data, distorted_.type, i));
    } else {
      ReadApart(i, r, d);
    }
  }

  // Whether the two below may be called: images are packed, in one order, and of one type.
  bool even() const { return flat_ && reference_.type == distorted_.type; }

  // r and d of kVectors groups of four samples that begin at `first`, `first + step`, ..., which are multiples of 4.
  // Beyond the last sample they are anything: memory is read up to the next multiple of 16 bytes.
  template <int kVectors>
  __device__ __forceinline__ void EvenValues(std::int64_t first, std::int64_t step, float* r, float* d) const {
    ForEven<kVectors>(first, step, [&](int k, float of_r, float of_d) {
      r[k] = of_r;
      d[k] = of_d;
    });
  }
  // d - r.
  template <int kVectors>
  __device__ __forceinline__ void EvenErrors(std::int64_t first, std::int64_t step, float* e) const {
    ForEven<kVectors>(first, step, [&](int k, float r, float d) { e[k] = d - r; });
  }

  // r and d of any pair, sample by sample; 0 beyond the last.
  template <int kVectors>
  __device__ __forceinline__ void UnevenValues(std::int64_t first, std::int64_t step, float* r, float* d) const {
#pragma unroll
    for (int k = 0; k < 4 * kVectors; ++k) {
      const std::int64_t i = first + k / 4 * step + k % 4;
      r[k] = d[k] = 0.0f;
      if (i < count_) ReadApart(i, &r[k], &d[k]);
    }
  }

 private:
  static bool IsPacked(const ImageView& image) {
    const int channels = image.layout == Layout::kHwc ? image.channels : 1;
    return image.row_bytes == std::int64_t{image.width} * channels * BytesPerSample(image.type);
  }

  // use(k, r, d) of each sample.
  template <int kVectors, class Use>
  __device__ __forceinline__ void ForEven(std::int64_t first, std::int64_t step, Use use) const {
    switch (distorted_.type) {
      case PixelType::kUint8:
        return ForEvenOf<kVectors, std::uint8_t>(first, step, use);
      case PixelType::kUint16:
        return ForEvenOf<kVectors, std::uint16_t>(first, step, use);
      case PixelType::kFloat16:
        return ForEvenOf<kVectors, __half>(first, step, use);
      default:
        return ForEvenOf<kVectors, float>(first, step, use);
    }
  }

  // All loads first, so that they are under way together.
  template <int kVectors, class Sample, class Use>
  __device__ __forceinline__ void ForEvenOf(std::int64_t first, std::int64_t step, Use use) const {
    Four<Sample> r[kVectors] = {}, d[kVectors] = {};
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const std::int64_t at = first + k * step;
      if (at >= count_) break;
      r[k] = *reinterpret_cast<const Four<Sample>*>(static_cast<const Sample*>(reference_.data) + at);
      d[k] = *reinterpret_cast<const Four<Sample>*>(static_cast<const Sample*>(distorted_.data) + at);
    }
#pragma unroll
    for (int k = 0; k < 4 * kVectors; ++k) {
      use(k, reference_scale_(ToFloat(r[k / 4].v[k % 4])), distorted_scale_(ToFloat(d[k / 4].v[k % 4])));
    }
  }

  // Of any pair; one of which an image is HWC and the other CHW is rare.
  __device__ void ReadApart(std::int64_t i, float* r, float* d) const {
    int channel, y, x;
    if (distorted_.layout == Layout::kHwc) {
      channel = static_cast<int>(i % distorted_.channels);
      x = static_cast<int>(i / distorted_.channels % distorted_.width);
      y = static_cast<int>(i / distorted_.channels / distorted_.width);
    } else {
      x = static_cast<int>(i % distorted_.width);
      y = static_cast<int>(i / distorted_.width % distorted_.height);
      channel = static_cast<int>(i / distorted_.width / distorted_.height);
    }
    *r = Bare(ReadSample(reference_, channel, y, x));
    *d = Bare(ReadSample(distorted_, channel, y, x));
  }

  ImageView reference_;
  ImageView distorted_;
  ValueScale reference_scale_;
  ValueScale distorted_scale_;
  std::int64_t count_;
  bool flat_;
};

LIKENESS_END_TARGET
