// From the samples of a pair to XYB at every scale, and a gradient's way back. For ssimulacra2_cuda.cu.
#pragma once

#include "kernels/metrics/ssimulacra2/ssimulacra2_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/pair_samples.cuh"

LIKENESS_BEGIN_TARGET

// Of red, green and blue, and of X, Y and B. A gray image has three equal ones.
inline constexpr int kSsimulacraChannels = 3;

// Scale s + 1 is the 2x2 means of scale s, of which an odd side's last row or column is repeated.
struct SsimulacraSizes {
  int count;
  int width[kSsimulacraScales];
  int height[kSsimulacraScales];

  explicit SsimulacraSizes(const ImageView& image) : count(1), width{image.width}, height{image.height} {
    while (count < kSsimulacraScales && std::min(width[count - 1], height[count - 1]) >= 8) {
      width[count] = (width[count - 1] + 1) / 2;
      height[count] = (height[count - 1] + 1) / 2;
      ++count;
    }
  }
  Shape shape(int scale) const { return {width[scale], height[scale], kSsimulacraChannels}; }
};

// A scale of a pair. `linear` is of the distorted image, where a gradient is wanted and the scale is not the first.
struct SsimulacraScale {
  PlanesView reference;
  PlanesView distorted;
  PlanesView linear;
};

// A block makes a tile of every scale from one reading, each scale from the one before in shared memory.
template <bool flat>
struct SsimulacraScalesKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kTile = 64;  // at the first scale; 2 at the last
  static constexpr int kChannels = kSsimulacraChannels;

  PairSamples pair;
  SampleSteps steps;
  SsimulacraSizes sizes;
  int channels;  // of the images
  SsimulacraScale out[kSsimulacraScales];

  // Linear colours of both images, at the scales that others are made of but the first.
  template <int scale>
  struct Tile {
    static constexpr int kSide = kTile >> scale;
    float r[kChannels][kSide][kSide];
    float d[kChannels][kSide][kSide];
  };
  struct Shared {
    Tile<1> second;
    Tile<2> third;
    Tile<3> fourth;
    Tile<4> fifth;
  };
  struct Pixel {
    Vec r[kChannels];
    Vec d[kChannels];
  };

  __device__ __forceinline__ Pixel ReadLinear(int x, int y) const {
    Pixel pixel;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c > 0 && channels == 1) {
        pixel.r[c] = pixel.r[0];
        pixel.d[c] = pixel.d[0];
        continue;
      }
      float r, d;
      pair.Read<flat>(steps.At(c, y, x), &r, &d);
      pixel.r[c] = SsimulacraLinear{}(Vec(r));
      pixel.d[c] = SsimulacraLinear{}(Vec(d));
    }
    return pixel;
  }

  // Two samples side by side, of which the second may lie beyond the last column: rows have room for it.
  __device__ __forceinline__ static void StoreTwo(const PlanesView& to, int x, int y, const Vec (&a)[kChannels],
                                                  const Vec (&b)[kChannels]) {
    const auto first = SsimulacraXyb{}(a[0], a[1], a[2]), second = SsimulacraXyb{}(b[0], b[1], b[2]);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      *reinterpret_cast<Two<float>*>(Row(to, c, y) + x) = {Bare(first.v[c]), Bare(second.v[c])};
    }
  }
  __device__ __forceinline__ static void StoreOne(const PlanesView& to, int x, int y, const Vec (&a)[kChannels]) {
    const auto xyb = SsimulacraXyb{}(a[0], a[1], a[2]);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) Store(xyb.v[c], Row(to, c, y) + x);
  }

  // (x, y): of the coarser scale. Both scales of it are written.
  __device__ __forceinline__ Pixel MeanOfFirst(int x, int y) const {
    const int width = sizes.width[0], height = sizes.height[0];
    const int left = 2 * x, right = left + 1 < width ? left + 1 : left;
    Pixel means;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = 2 * y + i < height ? 2 * y + i : 2 * y;
      const Pixel a = ReadLinear(left, row), b = ReadLinear(right, row);
      if (2 * y + i < height) {
        StoreTwo(out[0].reference, left, row, a.r, b.r);
        StoreTwo(out[0].distorted, left, row, a.d, b.d);
      }
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        means.r[c] = i == 0 ? a.r[c] + b.r[c] : (means.r[c] + (a.r[c] + b.r[c])) * Vec(0.25);
        means.d[c] = i == 0 ? a.d[c] + b.d[c] : (means.d[c] + (a.d[c] + b.d[c])) * Vec(0.25);
      }
    }
    return means;
  }

  // Of the finer scale's tile, of which (x0, y0) is the first sample.
  template <int finer>
  __device__ __forceinline__ Pixel MeanOf(const Tile<finer>& from, int x0, int y0, int x, int y) const {
    const int left = 2 * x - x0, right = 2 * x + 1 < sizes.width[finer] ? left + 1 : left;
    const int upper = 2 * y - y0, lower = 2 * y + 1 < sizes.height[finer] ? upper + 1 : upper;
    const auto mean = [&](const auto& v) {
      return ((Vec(v[upper][left]) + Vec(v[upper][right])) + (Vec(v[lower][left]) + Vec(v[lower][right]))) * Vec(0.25);
    };
    Pixel means;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      means.r[c] = mean(from.r[c]);
      means.d[c] = mean(from.d[c]);
    }
    return means;
  }

  // body(x, y, i, j): every sample of the block's tile of a scale, in the image and in the tile.
  template <int scale, class Body>
  __device__ __forceinline__ void ForTile(const Block& block, Body body) const {
    constexpr int kSide = kTile >> scale;
    if (scale >= sizes.count) return;
    for (int n = threadIdx.x; n < kSide * kSide; n += kThreads) {
      const int i = n / kSide, j = n % kSide;
      const int x = block.x * kSide + j, y = block.y * kSide + i;
      if (x < sizes.width[scale] && y < sizes.height[scale]) body(x, y, i, j);
    }
  }
  template <int scale>
  __device__ __forceinline__ void Keep(const Pixel& pixel, Tile<scale>& tile, int i, int j) const {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      tile.r[c][i][j] = Bare(pixel.r[c]);
      tile.d[c][i][j] = Bare(pixel.d[c]);
    }
  }
  template <int scale>
  __device__ __forceinline__ void Write(const Pixel& pixel, int x, int y) const {
    StoreOne(out[scale].reference, x, y, pixel.r);
    StoreOne(out[scale].distorted, x, y, pixel.d);
    if (out[scale].linear.data == nullptr) return;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) Store(pixel.d[c], Row(out[scale].linear, c, y) + x);
  }

  template <int scale>
  __device__ __forceinline__ void Halve(const Block& block, const Tile<scale - 1>& from, Tile<scale>& tile) const {
    __syncthreads();
    ForTile<scale>(block, [&](int x, int y, int i, int j) {
      const Pixel means = MeanOf<scale - 1>(from, 2 * (x - j), 2 * (y - i), x, y);
      Keep<scale>(means, tile, i, j);
      Write<scale>(means, x, y);
    });
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    ForTile<1>(block, [&](int x, int y, int i, int j) {
      const Pixel means = MeanOfFirst(x, y);
      Keep<1>(means, shared.second, i, j);
      Write<1>(means, x, y);
    });
    Halve<2>(block, shared.second, shared.third);
    Halve<3>(block, shared.third, shared.fourth);
    Halve<4>(block, shared.fourth, shared.fifth);
    __syncthreads();
    ForTile<5>(block, [&](int x, int y, int i, int j) {
      Write<5>(MeanOf<4>(shared.fifth, 2 * (x - j), 2 * (y - i), x, y), x, y);
    });
  }
};

// By linear colours from by XYB: in place, at a scale that is not the first.
struct SsimulacraLinearGradientKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView linear;
  PlanesView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& shape = gradient.shape;
    ForEachSample(block, {shape.width, shape.height, 1}, [&](int, int y, int x) {
      Dual<Vec, kSsimulacraChannels> rgb[kSsimulacraChannels];
#pragma unroll
      for (int c = 0; c < kSsimulacraChannels; ++c) {
        rgb[c] = Dual<Vec, kSsimulacraChannels>::Variable(Load(Row(linear, c, y) + x), c);
      }
      Vec pull[kSsimulacraChannels];
      Pull(rgb, gradient, y, x, pull);
#pragma unroll
      for (int c = 0; c < kSsimulacraChannels; ++c) Store(pull[c], Row(gradient, c, y) + x);
    });
  }

  __device__ __forceinline__ static void Pull(const Dual<Vec, kSsimulacraChannels> (&rgb)[kSsimulacraChannels],
                                              const PlanesView& by_xyb, int y, int x,
                                              Vec (&pull)[kSsimulacraChannels]) {
    const auto xyb = SsimulacraXyb{}(rgb[0], rgb[1], rgb[2]);
#pragma unroll
    for (int c = 0; c < kSsimulacraChannels; ++c) pull[c] = Vec(0.0);
#pragma unroll
    for (int k = 0; k < kSsimulacraChannels; ++k) {
      const Vec upstream = Load(Row(by_xyb, k, y) + x);
#pragma unroll
      for (int c = 0; c < kSsimulacraChannels; ++c) pull[c] = MulAdd(upstream, xyb.v[k].d[c], pull[c]);
    }
  }
};

// A sample's gradient gathers from the scales that it is part of.
struct SsimulacraGatherKernel {
  static constexpr int kThreads = kRowThreads;
  ImageView distorted;
  SampleSteps steps;
  SsimulacraSizes sizes;
  PlanesView gradients[kSsimulacraScales];  // by XYB at the first scale, by linear colours at the others
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    constexpr int kChannels = kSsimulacraChannels;
    ForEachSample(block, {sizes.width[0], sizes.height[0], 1}, [&](int, int y, int x) {
      Dual<Vec, kChannels> rgb[kChannels];
      Vec slopes[kChannels];
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const Vec sample = ReadSample(distorted, distorted.channels == 1 ? 0 : c, y, x);
        const Dual<Vec, 1> linear = SsimulacraLinear{}(Dual<Vec, 1>::Variable(sample, 0));
        rgb[c] = Dual<Vec, kChannels>::Variable(linear.v, c);
        slopes[c] = linear.d[0];
      }
      Vec pull[kChannels];
      SsimulacraLinearGradientKernel::Pull(rgb, gradients[0], y, x, pull);
      float weight = 1.0f;
      int column = x, row = y;
#pragma unroll
      for (int s = 1; s < kSsimulacraScales; ++s) {
        if (s >= sizes.count) break;
        // The last row and column of an odd side count twice.
        weight *= 0.25f * (column % 2 == 0 && column == sizes.width[s - 1] - 1 ? 2.0f : 1.0f) *
                  (row % 2 == 0 && row == sizes.height[s - 1] - 1 ? 2.0f : 1.0f);
        column /= 2;
        row /= 2;
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          pull[c] = MulAdd(Vec(weight), Load(Row(gradients[s], c, row) + column), pull[c]);
        }
      }
      if (distorted.channels == 1) {
        const Vec all = (pull[0] + pull[1]) + pull[2];
        StoreSample(out, steps.At(0, y, x), Bare(all * slopes[0]));
        return;
      }
#pragma unroll
      for (int c = 0; c < kChannels; ++c) StoreSample(out, steps.At(c, y, x), Bare(pull[c] * slopes[c]));
    });
  }
};

LIKENESS_END_TARGET
