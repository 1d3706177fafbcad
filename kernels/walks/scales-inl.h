// Of MS-SSIM's scales: rows of one from the next finer one, and of a gradient on the way back.

#if defined(LIKENESS_KERNELS_WALKS_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIKENESS_KERNELS_WALKS_SCALES_INL_H_
#undef LIKENESS_KERNELS_WALKS_SCALES_INL_H_
#else
#define LIKENESS_KERNELS_WALKS_SCALES_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/walks/pointwise-inl.h"
#include "kernels/walks/rows-inl.h"
#include "kernels/walks/tile.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

// Samples of a coarser row that are made at a time.
inline constexpr int kScaleBlock = 128;

// Samples [x0, x1) of row y of the coarser scale, for all of kChannels interleaved channels.
template <int kChannels>
HWY_NOINLINE void PoolBlock(const RowSource& source, int plane, const ScaleStep& step, int y, int x0, int x1,
                            float* coarser) {
  const Df d;
  constexpr int kSamples = 2 * kScaleBlock * kChannels;
  alignas(64) float top[kSamples + 3 * kLanes];
  alignas(64) float bottom[kSamples + 3 * kLanes];
  alignas(64) float separate[kChannels][2 * kScaleBlock + 2 * kLanes];
  const int count = 2 * (x1 - x0), from_x = 2 * x0 - step.before, from_y = 2 * y - step.before;
  const int begin = from_x * kChannels, end = begin + count * kChannels;
  source.Load(plane, from_y < 0 ? 0 : from_y, begin, end, top);
  source.Load(plane, from_y + 1, begin, end, bottom);
  if (from_x < 0) {
    for (int c = 0; c < kChannels; ++c) {
      top[c] = top[kChannels + c];
      bottom[c] = bottom[kChannels + c];
    }
  }
  for (int i = 0; i < count * kChannels; i += kLanes) {
    hn::Store(hn::Add(hn::Load(d, top + i), hn::Load(d, bottom + i)), d, top + i);
  }
  for (int c = 0; c < kChannels; ++c) {
    const float* row = kChannels == 1 ? top : separate[c];
    if (kChannels == 3 && c == 0) {
      for (int i = 0; i < count; i += kLanes) {
        Vf r, g, b;
        hn::LoadInterleaved3(d, top + 3 * i, r, g, b);
        hn::Store(r, d, separate[0] + i);
        hn::Store(g, d, separate[kChannels / 2] + i);
        hn::Store(b, d, separate[kChannels - 1] + i);
      }
    }
    float* to = coarser + (std::int64_t{kChannels == 1 ? plane : c} * step.coarser_height + y) * step.coarser_width;
    for (int x = 0; x < x1 - x0; x += kLanes) {
      Vf even, odd;
      hn::LoadInterleaved2(d, row + 2 * x, even, odd);
      StoreFirst(hn::Mul(hn::Add(even, odd), hn::Set(d, 0.25f)), x1 - x0 - x, to + x0 + x);
    }
  }
}

void PoolRows(const ImageView& finer, const Geometry& geometry, const ScaleStep& step, int y_begin, int y_end,
              float* coarser) {
  const RowSource source(finer, geometry);
  for (int y = y_begin; y < y_end; ++y) {
    for (int plane = 0; plane < geometry.planes; ++plane) {
      for (int x0 = 0; x0 < step.coarser_width; x0 += kScaleBlock) {
        const int x1 = x0 + kScaleBlock < step.coarser_width ? x0 + kScaleBlock : step.coarser_width;
        if (geometry.tap_distance == 3) {
          PoolBlock<3>(source, plane, step, y, x0, x1, coarser);
        } else {
          PoolBlock<1>(source, plane, step, y, x0, x1, coarser);
        }
      }
    }
  }
}

// What samples [x0, x0 + 2 kScaleBlock) of row y of the finer scale get from a channel of the coarser one, times
// `weight`. Writes whole vectors.
HWY_INLINE void SpreadBlock(const ScaleStep& step, const float* coarser, float weight, int y, int x0, float* to) {
  const Df d;
  const int row = (y + step.before) / 2, first = x0 / 2;
  alignas(64) float from[kScaleBlock + 2 * kLanes] = {};
  if (row < step.coarser_height) {
    const int left = step.coarser_width - first;
    const int count = left < kScaleBlock + 1 ? left : kScaleBlock + 1;
    if (count > 0) {
      std::memcpy(from, coarser + std::int64_t{row} * step.coarser_width + first,
                  static_cast<std::size_t>(count) * sizeof(float));
    }
  }
  // The first row and column count once more for the copies of them.
  const Vf factor = hn::Set(d, 0.25f * weight * (y < step.before ? 2.0f : 1.0f));
  if (step.before != 0) to[0] = hn::GetLane(factor) * from[0] * (x0 == 0 ? 2.0f : 1.0f);
  for (int i = 0; i < kScaleBlock; i += kLanes) {
    const Vf value = hn::Mul(factor, hn::LoadU(d, from + step.before + i));
    hn::StoreInterleaved2(value, value, d, to + step.before + 2 * i);
  }
}

void SpreadRows(const ScaleStep& step, const float* coarser, const ScaleSlopes& slopes, bool interleaved, int y_begin,
                int y_end, float* finer) {
  const Df d;
  alignas(64) float spread[3][2 * kScaleBlock + 2 * kLanes];
  const int channels = step.channels;
  for (int y = y_begin; y < y_end; ++y) {
    for (int x0 = 0; x0 < step.finer_width; x0 += 2 * kScaleBlock) {
      const int left = step.finer_width - x0;
      const int count = left < 2 * kScaleBlock ? left : 2 * kScaleBlock;
      for (int c = 0; c < channels; ++c) {
        SpreadBlock(step, coarser + std::int64_t{c} * step.coarser_height * step.coarser_width, slopes.coarser[c], y,
                    x0, spread[c]);
      }
      if (interleaved && channels == 3) {
        float* to = finer + (std::int64_t{y} * step.finer_width + x0) * 3;
        int i = 0;
        for (; i + kLanes <= count; i += kLanes) {
          Vf r, g, b;
          hn::LoadInterleaved3(d, to + 3 * i, r, g, b);
          r = hn::MulAdd(hn::Set(d, slopes.finer[0]), r, hn::Load(d, spread[0] + i));
          g = hn::MulAdd(hn::Set(d, slopes.finer[1]), g, hn::Load(d, spread[1] + i));
          b = hn::MulAdd(hn::Set(d, slopes.finer[2]), b, hn::Load(d, spread[2] + i));
          hn::StoreInterleaved3(r, g, b, d, to + 3 * i);
        }
        for (; i < count; ++i) {
          for (int c = 0; c < 3; ++c) to[3 * i + c] = slopes.finer[c] * to[3 * i + c] + spread[c][i];
        }
        continue;
      }
      for (int c = 0; c < channels; ++c) {
        float* to = finer + (std::int64_t{c} * step.finer_height + y) * step.finer_width + x0;
        const Vf slope = hn::Set(d, slopes.finer[c]);
        int i = 0;
        for (; i + kLanes <= count; i += kLanes) {
          hn::StoreU(hn::MulAdd(slope, hn::LoadU(d, to + i), hn::Load(d, spread[c] + i)), d, to + i);
        }
        for (; i < count; ++i) to[i] = slopes.finer[c] * to[i] + spread[c][i];
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#endif
