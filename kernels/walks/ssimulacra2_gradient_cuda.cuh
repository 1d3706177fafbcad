// SSIMULACRA 2's gradient by XYB at one scale, by a march like the walk's. Each row of windows that is done goes the
// same way once more, transposed: samples are done four rows further up, and a block marches down four columns of
// windows more to each side than its own.
#pragma once

#include "kernels/walks/ssimulacra2_march_cuda.cuh"

LIKENESS_BEGIN_TARGET

struct SsimulacraGradientKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 2;
  static constexpr int kOwn = kSsimulacraStrip - kSsimulacraSpan;
  static constexpr int kOutputs = SsimulacraNorms::kOutputs;
  // Window means that depend on the distorted image.
  static constexpr int kOfPair = SsimulacraNorms::kOfPair;

  SsimulacraRows images;
  MarchGrid grid;
  const double* upstream;  // of the means of each channel's outputs
  PlanesView gradient;

  struct Shared {
    SsimulacraRows::Held held[kSsimulacraMarches];
    float pulled[kSsimulacraMarches][kOfPair][kSsimulacraStrip];
  };

  // How the score changes with a window's own sample of the distorted image, and with its means.
  struct Slopes {
    Vec direct;
    Vec by_mean[kOfPair];
  };
  __device__ __forceinline__ static Slopes SlopesOf(Vec r, Vec d, const Vec (&means)[1 + kOfPair],
                                                    const Vec (&up)[kOutputs]) {
    using D = Dual<Vec, 1 + kOfPair>;
    Pack<D, kOfPair> of_pair;
#pragma unroll
    for (int k = 0; k < kOfPair; ++k) of_pair.v[k] = D::Variable(means[1 + k], 1 + k);
    const auto results = SsimulacraNorms{}(r, D::Variable(d, 0), Pack<Vec, 1>{{means[0]}}, of_pair);
    Vec sums[1 + kOfPair];
#pragma unroll
    for (int p = 0; p < 1 + kOfPair; ++p) {
      sums[p] = up[0] * results.v[0].d[p];
#pragma unroll
      for (int k = 1; k < kOutputs; ++k) sums[p] = MulAdd(up[k], results.v[k].d[p], sums[p]);
    }
    return {sums[0], {sums[1], sums[2], sums[3]}};
  }

  // What the windows around a sample send it along their row.
  __device__ __forceinline__ static Vec SpreadRow(const float* at) {
    Vec sum = SsimulacraColumn::Tap(kSsimulacraReach) * Vec(at[0]);
#pragma unroll
    for (int k = 1; k <= kSsimulacraReach; ++k) {
      sum = MulAdd(SsimulacraColumn::Tap(kSsimulacraReach - k), Vec(at[-k]) + Vec(at[k]), sum);
    }
    return sum;
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const Shape& shape = images.shape();
    const SsimulacraPlace at(block, grid, shape, kOwn);
    const int id = at.id, channel = block.y;
    // Of the thread's windows and its samples.
    const int x = at.x0 - kSsimulacraReach + id;
    const bool owns = id >= kSsimulacraReach && id < kSsimulacraReach + kOwn && x < shape.width;
    SsimulacraRows::Held& rows = shared.held[at.march];
    auto& pulled = shared.pulled[at.march];
    SsimulacraColumn columns[1 + kOfPair], spread[kOfPair];
    Vec up[kOutputs];
#pragma unroll
    for (int k = 0; k < kOutputs; ++k) {
      up[k] = Vec(upstream[channel * kOutputs + k] / static_cast<double>(shape.plane()));
    }

    const int first = at.y0 - kSsimulacraSpan, x0 = at.x0 - kSsimulacraSpan;
    SsimulacraRows::Fetched row = images.Fetch(channel, first, x0, id);
    for (int i = 0; i < grid.rows + 2 * kSsimulacraSpan; ++i) {
      rows.Put(i, id, row);
      row = images.Fetch(channel, first + i + 1, x0, id);
      __syncthreads();
      Vec means[1 + kOfPair];
      rows.Sum(i, id, means);
#pragma unroll
      for (int k = 0; k < 1 + kOfPair; ++k) means[k] = columns[k].Next(means[k]);
      if (i < kSsimulacraSpan) continue;
      const int window = first + i - kSsimulacraReach;  // the row of windows that is done
      Slopes slopes{};
      if (window >= 0 && window < shape.height && x >= 0 && x < shape.width) {
        slopes = SlopesOf(rows.Reference(i, id), rows.Distorted(i, id), means, up);
      }
#pragma unroll
      for (int k = 0; k < kOfPair; ++k) pulled[k][id] = Bare(slopes.by_mean[k]);
      __syncthreads();
      if (!owns) continue;
      Vec sums[kOfPair];
#pragma unroll
      for (int k = 0; k < kOfPair; ++k) sums[k] = spread[k].Next(SpreadRow(&pulled[k][id]));
      // The difference's own slope is 1, so that what is direct may wait with what it is sent.
      spread[0].Add(slopes.direct);
      const int y = window - kSsimulacraReach;
      if (i < 2 * kSsimulacraSpan || y >= at.y1) continue;
      const auto products =
          SsimulacraNorms{}.OfPair(Load(Row(images.reference, channel, y) + x),
                                   Dual<Vec, 1>::Variable(Load(Row(images.distorted, channel, y) + x), 0));
      Vec sum = sums[0];
#pragma unroll
      for (int k = 1; k < kOfPair; ++k) sum = MulAdd(sums[k], products.v[k].d[0], sum);
      Store(sum, Row(gradient, channel, y) + x);
    }
  }
};

LIKENESS_END_TARGET
