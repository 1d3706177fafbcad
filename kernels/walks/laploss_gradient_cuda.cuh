// The gradient of the Laplacian pyramid loss, from the coarsest level back. Of a level x, with B = G x, a band's sign
// times its weight s, and the next level's gradient spread over the 2x2 means that it was made of, p:
//
//   gradient of x = s + G^T (p - s)
//
//   1. A tile of p - s goes to shared memory with a border of two, zeros beyond the image: of signs, two bits a sample,
//      that the walk left. No level is read again, nor are the images.
//   2. What G^T sends beyond an edge belongs to the edge's sample. It arrives there by the filter itself: from a sample
//      two beyond the edge, whom nobody else reaches.
//   3. The filter, which is its own transpose inside.
#pragma once

#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/laploss_tile_cuda.cuh"

LIKENESS_BEGIN_TARGET

// Where a level's gradient goes: the planes of a level...
struct LapPlanesOut {
  static constexpr bool kByRows = false;
  float* planes;

  __device__ __forceinline__ void Put(const LapLevel& level, int channel, int y, int x, const float (&v)[4]) const {
    LapPutFour(planes, level, channel, y, x, v);
  }
};

// ... or what leaves the GPU, by whole rows of a tile where its pixels are interleaved.
template <bool interleaved>
struct LapTensorOut {
  static constexpr bool kByRows = interleaved;
  TensorPlace tensor;

  // Of samples that lie one behind another. aligned: all of them, at a multiple of four.
  __device__ __forceinline__ void PutRun(std::int64_t at, int count, bool aligned, const Four<float>& v) const {
    aligned ? StoreFour(tensor, at, v) : StoreFirst(tensor, at, v, count);
  }
  __device__ __forceinline__ void Put(const LapLevel& level, int channel, int y, int x, const float (&v)[4]) const {
    const std::int64_t at = (std::int64_t{channel} * level.height + y) * level.width + x;
    PutRun(at, level.width - x, level.width % 4 == 0, {v[0], v[1], v[2], v[3]});
  }
};

// A sign times what its sample counts. at: of the sample within the word.
__device__ __forceinline__ float LapSigned(std::uint32_t word, int at, float weight) {
  return static_cast<float>(static_cast<std::int32_t>(word << (30 - 2 * at)) >> 30) * weight;
}

// The residual's gradient.
__device__ __forceinline__ float LapResidualGradient(float residual, float weight) {
  return Bare(AbsoluteValue{}(Dual<Vec, 1>::Variable(Vec(residual), 0)).d[0]) * weight;
}

// Step 2, of a tile that all threads have filled. fold(place, step): place lies two beyond an edge, whose sample is two
// steps back.
template <class Fold>
__device__ __forceinline__ void LapFoldEnds(int first, int side, int most, Fold fold) {
  if (first == 0) fold(0, 1);
  const int place = side - first + 2 * kLapReach - 1;
  if (place < most) fold(place, -1);
}
template <int threads>
__device__ __forceinline__ void LapFoldEdges(const LapLevel& level, const LapPlace& at, const LapTaps& taps,
                                             float* tile) {
  const int id = static_cast<int>(threadIdx.x), lines = at.lines_used(level);
  // The filter's outermost tap brings it to the edge.
  const auto folded = [&](float edge, float before) { return std::fma(taps.second_by_first, edge, edge + before); };
  if (at.x0 == 0 || at.x0 + kLapColumns + kLapReach > level.width) {
    for (int i = id; i < level.channels * lines; i += threads) {
      float* row = tile + at.RowAt(i / lines, i % lines);
      LapFoldEnds(at.x0, level.width, kLapAcross,
                  [&](int to, int step) { row[to] = folded(row[to + 2 * step], row[to + 3 * step]); });
    }
  }
  __syncthreads();
  if (at.y0 == 0 || at.y0 + at.rows + kLapReach > level.height) {
    const int columns = 4 * at.groups_used(level) - 2 * kLapReach;
    for (int i = id; i < level.channels * columns; i += threads) {
      float* column = tile + at.RowAt(i / columns, 0) + i % columns;
      LapFoldEnds(at.y0, level.height, at.rows + 2 * kLapReach, [&](int to, int step) {
        column[to * kLapAcross] = folded(column[(to + 2 * step) * kLapAcross], column[(to + 3 * step) * kLapAcross]);
      });
    }
  }
  __syncthreads();
}

template <class Out>
struct LapLossGradientKernel {
  static constexpr int kThreads = kLapThreads;
  static constexpr int kBlocksWanted = 4;
  static constexpr int kBorder = 4;  // of what is read: whole words of signs

  LapLevel level;
  LapTaps taps;
  LapWeights weights;
  const std::uint32_t* signs;
  // The next level: its gradient; if it is the residual, itself, and what it counts.
  const float* next;
  bool next_is_residual;
  LapWeights residual_weights;
  Out out;

  struct Shared {
    alignas(16) float tile[kLapTileSamples];
    float by_column[kLapColumns + 2 * kBorder], by_row[kLapMostRows + 2 * kBorder];
    float residual_by_column[kLapColumns / 2 + kBorder], residual_by_row[kLapMostRows / 2 + kBorder];
  };

  // A sample's share of the mean that it went into. x and y: of the next level.
  __device__ __forceinline__ float Spread(const Shared& shared, const LapPlace& at, int channel, int y, int x) const {
    const LapLevel coarser = level.Coarser();
    if (x < 0 || x >= coarser.width || y < 0 || y >= coarser.height) return 0.0f;
    const float value = next[coarser.RowAt(channel, y) + x];
    if (!next_is_residual) return 0.25f * value;
    const float share =
        shared.residual_by_row[y - (at.y0 - kBorder) / 2] * shared.residual_by_column[x - (at.x0 - kBorder) / 2];
    return 0.25f * LapResidualGradient(value, static_cast<float>(residual_weights.factor) * share);
  }

  __device__ __forceinline__ void Fill(Shared& shared, const LapPlace& at) const {
    const int lines = at.lines_used(level), groups = at.groups_used(level), patches = at.rows / 4 + 2;
    const float factor = static_cast<float>(weights.factor);
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < level.channels * patches * kLapGroups; i += kThreads) {
      const int group = i % kLapGroups, patch = i / kLapGroups % patches, channel = i / kLapGroups / patches;
      if (group >= groups || 4 * patch - kLapReach >= lines) continue;
      const int x = at.x0 + 4 * (group - 1), y = at.y0 + 4 * (patch - 1);
      const bool inside = x >= 0 && x < level.width && y >= 0 && y < level.height;
      const std::uint32_t word = inside ? signs[level.SignsAt(channel, y / 4, x / 4)] : 0;
      float pull[2][2];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        // x and y are multiples of four, below 0 too.
        pull[k / 2][k % 2] = Spread(shared, at, channel, (y >> 1) + k / 2, (x >> 1) + k % 2);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int line = 4 * patch + j - kLapReach;
        if (line < 0 || line >= lines) continue;
        const float by_row = factor * shared.by_row[4 * patch + j];
        float v[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          v[k] = pull[j / 2][k / 2] - LapSigned(word, 4 * j + k, by_row * shared.by_column[4 * group + k]);
        }
        LapPut(shared.tile + at.RowAt(channel, line), group, v[0], v[1], v[2], v[3]);
      }
    }
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const LapPlace at(block, level);
    weights.Fill<kThreads>(at.y0 - kBorder, at.x0 - kBorder, shared.by_column, shared.by_row);
    if (next_is_residual) {
      residual_weights.Fill<kThreads>((at.y0 - kBorder) / 2, (at.x0 - kBorder) / 2, shared.residual_by_column,
                                      shared.residual_by_row);
    }
    __syncthreads();
    Fill(shared, at);
    __syncthreads();
    LapFoldEdges<kThreads>(level, at, taps, shared.tile);

    const bool inside = at.inside(level);
    float held[Out::kByRows ? kLapRun : 1][4];
    if (inside) {
      const float factor = static_cast<float>(weights.factor);
      std::uint32_t word = 0;
      const float* from = shared.tile + at.RowAt(at.channel, at.line) + 4 * at.quad;
      LapFilter<kLapRun / 4, Out::kByRows ? kLapRun / 4 : 1>(
          from, taps, [&](int step, int j, const float(&)[4], const float(&pulled)[4]) {
            const int i = 4 * step + j, y = at.y() + i;
            if (j == 0) word = y < level.height ? signs[level.SignsAt(at.channel, y / 4, at.x() / 4)] : 0;
            const float by_row = factor * shared.by_row[at.line + i + kBorder];
            float v[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              const float weight = by_row * shared.by_column[4 * at.quad + k + kBorder];
              v[k] = pulled[k] + LapSigned(word, 4 * j + k, weight);
              if constexpr (Out::kByRows) held[i][k] = v[k];
            }
            if constexpr (!Out::kByRows) {
              if (y < level.height) out.Put(level, at.channel, y, at.x(), v);
            }
          });
    }
    if constexpr (Out::kByRows) {
      __syncthreads();
      PutRows(shared, at, inside, held);
    }
  }

  // Pixels of three samples.
  __device__ __forceinline__ void PutRows(Shared& shared, const LapPlace& at, bool inside,
                                          const float (&held)[kLapRun][4]) const {
    constexpr int kAcross = 3 * kLapColumns;
    static_assert(kAcross * kLapMostRows / 3 <= kLapTileSamples);
    if (inside) {
#pragma unroll
      for (int i = 0; i < kLapRun; ++i) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          shared.tile[(at.line + i) * kAcross + 3 * (4 * at.quad + k) + at.channel] = held[i][k];
        }
      }
    }
    __syncthreads();
    const int row_samples = 3 * level.width;
    for (int i = static_cast<int>(threadIdx.x); i < at.rows * kAcross / 4; i += kThreads) {
      const int y = at.y0 + i / (kAcross / 4), x = 3 * at.x0 + i % (kAcross / 4) * 4;
      if (y >= level.height || x >= row_samples) continue;
      const auto values = *reinterpret_cast<const Four<float>*>(shared.tile + 4 * i);
      out.PutRun(std::int64_t{y} * row_samples + x, row_samples - x, level.width % 4 == 0, values);
    }
  }
};

LIKENESS_END_TARGET
