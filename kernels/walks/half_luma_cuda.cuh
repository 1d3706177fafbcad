// How GMSD's walk reads an image: its luma in 2x2 means, zeros beyond the picture of them.
#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/walks/pair_samples.cuh"

LIKENESS_BEGIN_TARGET

// rounded: luma counts from 0 to 255, in integers, and odd rows and columns are dropped; else zeros fill them up. The
// image's shape is the caller's to keep, who has two of them: registers are few.
template <bool rounded>
class HalfLuma {
 public:
  explicit HalfLuma(const ImageView& image)
      : data_(static_cast<const std::byte*>(image.data)),
        row_bytes_(image.row_bytes),
        channel_bytes_(image.layout == Layout::kHwc ? BytesPerSample(image.type) : image.row_bytes * image.height),
        scale_(image),
        type_(image.type),
        interleaved_(image.layout == Layout::kHwc && image.channels == 3),
        whole_(image.width % 4 == 0 && image.row_bytes % (4 * BytesPerSample(image.type)) == 0) {}

  static LIKENESS_HD Shape ShapeOf(const Shape& image) {
    constexpr int kMore = rounded ? 0 : 1;
    return {(image.width + kMore) / 2, (image.height + kMore) / 2, 1};
  }

  // Of a pixel.
  __device__ __forceinline__ static auto Luma(auto r, auto g, auto b) { return Round(LumaBt601{}(r, g, b)); }
  __device__ __forceinline__ static auto Luma(auto gray) { return Round(gray); }

  // The means of rows [y0, y0 + lines) and of columns [x0, x0 + across), of which both are even.
  template <int lines, int across>
  __device__ __forceinline__ void Fetch(const Shape& image, int y0, int x0, float (&to)[lines][across]) const {
    if (!scale_.by_product) return FetchSingly(image, y0, x0, to);
    switch (type_) {
      case PixelType::kUint8:
        return FetchOf<std::uint8_t>(image, y0, x0, to);
      case PixelType::kUint16:
        return FetchOf<std::uint16_t>(image, y0, x0, to);
      case PixelType::kFloat16:
        return FetchOf<__half>(image, y0, x0, to);
      default:
        return FetchOf<float>(image, y0, x0, to);
    }
  }

 private:
  __device__ __forceinline__ static auto Round(auto luma) {
    if constexpr (rounded) {
      return RoundTo255{}(luma);
    } else {
      return luma;
    }
  }

  // Of any scale, sample by sample.
  template <int lines, int across>
  __device__ void FetchSingly(const Shape& image, int y0, int x0, float (&to)[lines][across]) const {
    const auto luma = [&](int y, int x) {
      if (y >= image.height || x >= image.width) return Vec(0.0);
      const auto sample = [&](int c) {
        const std::byte* row = data_ + y * row_bytes_ + c * channel_bytes_;
        return Vec(scale_(StoredSample(row, type_, interleaved_ ? 3 * x : x)));
      };
      return image.channels == 1 ? Luma(sample(0)) : Luma(sample(0), sample(1), sample(2));
    };
    const Shape shape = ShapeOf(image);
    for (int i = static_cast<int>(threadIdx.x); i < lines * across; i += kRowThreads) {
      const int y = y0 + i / across, x = x0 + i % across;
      Vec mean(0.0);
      if (y >= 0 && y < shape.height && x >= 0 && x < shape.width) {
#pragma unroll 1
        for (int j = 0; j < 2; ++j) {
          mean = MulAdd(Vec(0.25), luma(2 * y + j, 2 * x) + luma(2 * y + j, 2 * x + 1), mean);
        }
      }
      to[i / across][i % across] = Bare(mean);
    }
  }

  template <class Sample, int lines, int across>
  __device__ __forceinline__ void FetchOf(const Shape& image, int y0, int x0, float (&to)[lines][across]) const {
    if (interleaved_) {
      whole_ ? FetchRows<Sample, 3, true>(image, y0, x0, to) : FetchRows<Sample, 3, false>(image, y0, x0, to);
    } else {
      whole_ ? FetchRows<Sample, 1, true>(image, y0, x0, to) : FetchRows<Sample, 1, false>(image, y0, x0, to);
    }
  }

  // A thread makes two neighbours at a time, of four pixels of two rows. step: samples from a pixel to the next.
  template <class Sample, int step, bool whole, int lines, int across>
  __device__ __forceinline__ void FetchRows(const Shape& image, int y0, int x0, float (&to)[lines][across]) const {
    constexpr int kPairs = across / 2, kAtOnce = kRowThreads / kPairs;
    const int id = static_cast<int>(threadIdx.x);
    if (id >= kPairs * kAtOnce) return;
    const Shape shape = ShapeOf(image);
    const int column = id % kPairs * 2, x = x0 + column;
    const bool inside = x >= 0 && x < shape.width;
    std::int64_t at =
        std::int64_t{2 * (y0 + id / kPairs)} * row_bytes_ + std::int64_t{2 * x * step} * std::int64_t{sizeof(Sample)};
    for (int line = id / kPairs; line < lines; line += kAtOnce, at += 2 * kAtOnce * row_bytes_) {
      const int y = y0 + line;
      Vec means[2] = {Vec(0.0), Vec(0.0)};
      if (inside && y >= 0 && y < shape.height) {
        // Both rows are read before either is looked at, if there are registers for them.
        constexpr int kRows = whole && sizeof(Sample) < 4 ? 2 : 1;
#pragma unroll
        for (int first = 0; first < 2; first += kRows) {
          Four<Sample> rows[kRows][3] = {};
#pragma unroll
          for (int j = 0; j < kRows; ++j) {
            const int row = first + j;
            if (2 * y + row < image.height) ReadRow<Sample, step, whole>(image, at + row * row_bytes_, 2 * x, rows[j]);
          }
#pragma unroll
          for (int j = 0; j < kRows; ++j) AddRow<Sample, step>(image, rows[j], means);
        }
      }
      to[line][column] = Bare(means[0]);
      to[line][column + 1] = whole || x + 1 < shape.width ? Bare(means[1]) : 0.0f;
    }
  }

  // Four pixels from x on, which lie at byte `at` of the image: as they follow one another, or channel by channel.
  template <class Sample, int step, bool whole>
  __device__ __forceinline__ void ReadRow(const Shape& image, std::int64_t at, int x, Four<Sample> (&row)[3]) const {
    const std::byte* from = data_ + at;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      if (step == 1 && i >= image.channels) continue;
      const std::byte* four = step == 1 ? from + i * channel_bytes_ : from + i * sizeof(Four<Sample>);
      if constexpr (whole) {
        row[i] = *reinterpret_cast<const Four<Sample>*>(four);
      } else {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const int pixel = step == 1 ? k : (4 * i + k) / step;
          if (x + pixel < image.width) row[i].v[k] = reinterpret_cast<const Sample*>(four)[k];
        }
      }
    }
  }

  // What a row has for two means.
  template <class Sample, int step>
  __device__ __forceinline__ void AddRow(const Shape& image, const Four<Sample> (&row)[3], Vec (&means)[2]) const {
    const auto sample = [&](int k, int c) {
      const int i = step == 1 ? 4 * c + k : step * k + c;
      return Vec(scale_.Product(ToFloat(row[i / 4].v[i % 4])));
    };
    Vec luma[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      luma[k] = step == 1 && image.channels == 1 ? Luma(sample(k, 0)) : Luma(sample(k, 0), sample(k, 1), sample(k, 2));
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) means[k] = MulAdd(Vec(0.25), luma[2 * k] + luma[2 * k + 1], means[k]);
  }

  const std::byte* data_;
  std::int64_t row_bytes_;
  std::int64_t channel_bytes_;
  ValueScale scale_;
  PixelType type_;
  bool interleaved_;
  bool whole_;  // four pixels that begin at a multiple of four are inside or outside together, and read at once
};

LIKENESS_END_TARGET
