// GMSD's gradient by the samples of the distorted image. A block makes a tile of 32x32 halved pixels, of each four
// pixels:
//
//   1. Luma at half size of both images, with a border of two, as the walk.
//   2. Responses and similarities, with a border of one, and how the score changes with each of both responses.
//   3. The filters' transposes: a thread gathers four lines of a column.
//   4. Four pixels have what their mean has, by the weights of luma. Samples are written in the order of memory.
#pragma once

#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/gmsd_tile_cuda.cuh"

LIKENESS_BEGIN_TARGET

// Of all similarities: their mean, and what times a distance from it makes the score's derivative by a similarity.
struct GmsdSpread {
  double mean;
  double slope;
};

template <bool pyiqa>
struct GmsdGradientKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 4;
  static constexpr int kAround = kGmsdTile + 2;  // a side of the tile with its border
  // Lines of a thread, with the border and without.
  static constexpr int kLines = (kAround + kThreads / kAround - 1) / (kThreads / kAround);
  static constexpr int kOwn = kGmsdTile * kGmsdTile / kThreads;

  GmsdPair<pyiqa> pair;
  bool interleaved;
  const GmsdSpread* spread;
  TensorPlace out;

  using Tile = float[kGmsdTile][kGmsdTile];
  struct Shared {
    GmsdLuma<2> luma;
    float by_x[kAround][kAround], by_y[kAround][kAround];
    Tile pull;
  };

  __device__ __forceinline__ void Compare(Shared& shared, int y0, int x0) const {
    const int id = static_cast<int>(threadIdx.x);
    const int column = id % kAround, first = id / kAround * kLines;
    if (first >= kAround) return;
    const Shape shape = pair.shape();
    const Vec mean(spread->mean), slope(spread->slope);
    const int x = x0 - 1 + column, y = y0 - 1 + first;
    shared.luma.template DownColumn<kLines>(
        first + 1, column + 1, [&](int i, const GmsdResponse& r, const GmsdResponse& d) {
          if (first + i >= kAround) return;
          using Number = Dual<Vec, 2>;
          const Number magnitude = GmsdMagnitude(pyiqa)(Number::Variable(d.x, 0), Number::Variable(d.y, 1));
          const Number similarity = GmsdSimilarity(pyiqa)(GmsdMagnitude(pyiqa)(r.x, r.y), magnitude);
          const bool inside = x >= 0 && x < shape.width && y + i >= 0 && y + i < shape.height;
          const Vec upstream = SelectValue(inside, (similarity.v - mean) * slope, Vec(0.0));
          shared.by_x[first + i][column] = Bare(similarity.d[0] * upstream);
          shared.by_y[first + i][column] = Bare(similarity.d[1] * upstream);
        });
  }

  // Times the share of a pixel in its mean.
  __device__ __forceinline__ void Gather(Shared& shared, int y0, int x0) const {
    const int id = static_cast<int>(threadIdx.x);
    const int column = id % kGmsdTile, first = id / kGmsdTile * kOwn;
    const Shape shape = pair.shape();
    struct Along {
      Vec change, smooth;
    };
    const auto along_row = [&](int line) {
      const float *x = &shared.by_x[line][column], *y = &shared.by_y[line][column];
      return Along{Vec(x[0]) - Vec(x[2]), GmsdSmooth(Vec(y[2]), Vec(y[1]), Vec(y[0]))};
    };
    Along above = along_row(first), here = along_row(first + 1);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const Along below = along_row(first + i + 2);
      const Vec pull = GmsdSmooth(below.change, here.change, above.change) + (above.smooth - below.smooth);
      const bool inside = x0 + column < shape.width && y0 + first + i < shape.height;
      shared.pull[first + i][column] = inside ? Bare(Vec(0.25) * pull) : 0.0f;
      above = here;
      here = below;
    }
  }

  // step: samples from a pixel to the next; run: samples of a row that are written at once.
  template <int step, int run>
  __device__ __forceinline__ void Store(const Tile& pull, int y0, int x0) const {
    constexpr int kRuns = 2 * kGmsdTile * step / run;  // of a row
    using Number = Dual<Vec, 3>;
    const auto variable = [](int c) { return Number::Variable(Vec(0.0), c); };
    const Number luma = pair.image.channels == 1 ? HalfLuma<pyiqa>::Luma(variable(0))
                                                 : HalfLuma<pyiqa>::Luma(variable(0), variable(1), variable(2));
    const auto weight = [&](int c) { return c == 0 ? luma.d[0] : c == 1 ? luma.d[1] : luma.d[2]; };
    const std::int64_t row_samples = std::int64_t{pair.image.width} * step;
    const int planes = step == 1 ? pair.image.channels : 1;
#pragma unroll 1
    for (int plane = 0; plane < planes; ++plane) {
      for (int i = static_cast<int>(threadIdx.x); i < kGmsdTile * kRuns; i += kThreads) {
        const int line = i / kRuns, at = i % kRuns * run;
        const std::int64_t in_row = std::int64_t{2 * x0} * step + at;
        if (in_row >= row_samples) continue;
        Four<float> values;
#pragma unroll
        for (int k = 0; k < run; ++k) {
          const int c = step == 1 ? plane : (at + k) % step;
          values.v[k] = Bare(Vec(pull[line][(at + k) / (2 * step)]) * weight(c));
        }
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int y = 2 * (y0 + line) + j;
          if (y >= pair.image.height) continue;
          const std::int64_t place = (std::int64_t{plane} * pair.image.height + y) * row_samples + in_row;
          if constexpr (run == 4) {
            StoreFour(out, place, values);
          } else {
            StoreFirst(out, place, values, run);
          }
        }
      }
    }
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const int x0 = block.x * kGmsdTile, y0 = block.y * kGmsdTile;
    shared.luma.Fetch(pair, y0, x0);
    __syncthreads();
    Compare(shared, y0, x0);
    __syncthreads();
    Gather(shared, y0, x0);
    __syncthreads();
    const bool even = pair.image.width % 4 == 0;
    if (interleaved) {
      even ? Store<3, 4>(shared.pull, y0, x0) : Store<3, 1>(shared.pull, y0, x0);
    } else {
      even ? Store<1, 4>(shared.pull, y0, x0) : Store<1, 1>(shared.pull, y0, x0);
    }
  }
};

LIKENESS_END_TARGET
