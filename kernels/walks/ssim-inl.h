// SSIM of one tile in one pass, with its gradient.
//
// Rows come two at a time. Each is filtered horizontally into a ring of twelve rows; when two new rows have come, two
// rows of the vertical filter, of S and of its partial derivatives follow from the twelve. Two rows at once share their
// loads: row i counts for one as tap i and for the other as tap i - 1.

#if defined(LIKENESS_KERNELS_WALKS_SSIM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIKENESS_KERNELS_WALKS_SSIM_INL_H_
#undef LIKENESS_KERNELS_WALKS_SSIM_INL_H_
#else
#define LIKENESS_KERNELS_WALKS_SSIM_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/walks/pointwise-inl.h"
#include "kernels/walks/rows-inl.h"
#include "kernels/walks/ssim_border.h"
#include "kernels/walks/ssim_math-inl.h"
#include "kernels/walks/tile.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

// kGradient: the tile computes the map kLeft samples further left and ten rows further up than its own part, because
// the gradient of its own samples depends on those windows.
template <int kDistance, bool kGradient>
class SsimTile {
 public:
  SsimTile(const PreparedWalk& walk, const Geometry& geometry, const Tile& tile, bool by_channel, SsimScratch* scratch)
      : walk_(walk),
        geometry_(geometry),
        tile_(tile),
        by_channel_(by_channel),
        scratch_(scratch),
        sample_count_(tile.x_end - tile.x_begin),
        map_count_(geometry.map_row_samples() - tile.x_begin) {
    if (map_count_ > sample_count_) map_count_ = sample_count_;
    const int wanted = kGradient ? sample_count_ : map_count_;
    vector_end_ = wanted <= 0 ? 0 : (wanted + 15) / 16 * 16;
  }

  // Once a tile; everything that outlives a pair of rows is in the scratch.
  void Begin() {
    for (double& sum : scratch_->sums) sum = 0.0;
    for (auto& place : scratch_->place_sums) {
      for (double& sum : place) sum = 0.0;
    }
    if constexpr (kGradient) std::memset(scratch_->adjoint_ring, 0, sizeof(scratch_->adjoint_ring));
  }

  // Whether the tile has anything to do.
  bool idle() const { return vector_end_ == 0 || (!kGradient && tile_.y_begin >= geometry_.map_rows()); }

  // Filters one row of the image, already in float, into slot 0..11 of the ring. Pointers are at the block's left end.
  HWY_NOINLINE void AddRow(const float* reference, const float* distorted, int slot) {
    Prepare(reference, distorted);
    Horizontal(slot);
  }

  // Map rows y and y + 1, of which the ring holds all twelve rows; slot: that of row y. The values are those of image
  // rows y and y + 1, for the gradient.
  void FinishRows(int y, int slot, const float* const* reference, const float* const* distorted) {
    const bool valid[2] = {0 <= y && y < geometry_.map_rows(), 0 <= y + 1 && y + 1 < geometry_.map_rows()};
    const bool own[2] = {tile_.y_begin <= y && y < tile_.y_end, tile_.y_begin <= y + 1 && y + 1 < tile_.y_end};
    if (valid[0] || valid[1]) {
      const bool counts[2] = {valid[0] && own[0], valid[1] && own[1]};
      switch (slot / 2) {
        case 0:
          MapRows<0>(counts);
          break;
        case 1:
          MapRows<2>(counts);
          break;
        case 2:
          MapRows<4>(counts);
          break;
        case 3:
          MapRows<6>(counts);
          break;
        case 4:
          MapRows<8>(counts);
          break;
        default:
          MapRows<10>(counts);
          break;
      }
      for (int k = 0; k < 2; ++k) {
        if (!counts[k]) continue;
        if (walk_.map != nullptr) WriteMap(y + k, scratch_->similarity[k]);
        if (by_channel_) AddToPlaceSums(scratch_->similarity[k] + kLeft);
      }
    }
    if constexpr (kGradient) {
      for (int k = 0; k < 2; ++k) AddPartials(valid[k], k, slot + k);
      if (!own[0] && !own[1]) return;
      // The oldest of the twelve rows of partials is ten rows before y.
      switch (slot / 2) {
        case 0:
          GradientRows<2>(y, own, reference, distorted);
          break;
        case 1:
          GradientRows<4>(y, own, reference, distorted);
          break;
        case 2:
          GradientRows<6>(y, own, reference, distorted);
          break;
        case 3:
          GradientRows<8>(y, own, reference, distorted);
          break;
        case 4:
          GradientRows<10>(y, own, reference, distorted);
          break;
        default:
          GradientRows<0>(y, own, reference, distorted);
          break;
      }
    }
  }

 private:
  static constexpr int kLeft = !kGradient ? 0 : kDistance == 1 ? 16 : kHalo;
  static constexpr int kWidth = kLeft + kBlockSamples;
  static constexpr int kRowStride = 4 * kWidth;
  static constexpr int kAdjointStride = 3 * kBlockSamples;
  static constexpr int kReach = kTapSpan * kDistance;
  // A 32-byte load that straddles a cache line costs two. With a second copy of the row, 32 bytes further right, each
  // load can choose the copy in which it does not. Longer vectors straddle in both, shorter ones seldom do.
  static constexpr bool kTwoCopies = kLanes == 8;

  // s, e and s^2 of every sample that the block's windows reach.
  HWY_INLINE void Prepare(const float* reference, const float* distorted) {
    const Df d;
    float* near = &scratch_->row[0][0][kHalo];
    float* far = &scratch_->row[1][0][kHalo + 8];
    const int end = vector_end_ + kReach;
    for (int i = -kLeft; i < end; i += kLanes) {
      const Vf r = hn::LoadU(d, reference + i);
      const Vf x = hn::LoadU(d, distorted + i);
      const Vf mean = HalfSum(r, x);
      const Vf difference = hn::Sub(x, r);
      const Vf square = hn::Mul(mean, mean);
      hn::Store(mean, d, near + i);
      hn::Store(difference, d, near + kPlane + i);
      hn::Store(square, d, near + 2 * kPlane + i);
      if constexpr (kTwoCopies) {
        hn::Store(mean, d, far + i);
        hn::Store(difference, d, far + kPlane + i);
        hn::Store(square, d, far + 2 * kPlane + i);
      }
    }
  }

  static HWY_INLINE Vf HalfSum(Vf r, Vf x) {
    const Df d;
    return hn::MulSub(hn::Set(d, 0.5f), hn::Add(r, x), hn::Set(d, 0.5f));
  }

  static constexpr int kPlane = kHalo + kBlockSamples + kHalo + 16;

  // kAlign: where the output vector lies in its cache line of 16 samples.
  template <int kPlaneIndex, int kOffset, int kAlign>
  HWY_INLINE Vf RowAt(int i) const {
    if constexpr (kTwoCopies && (kAlign + kOffset) % 16 > 8) {
      return hn::LoadU(Df(), &scratch_->row[1][kPlaneIndex][kHalo + 8] + i + kOffset);
    }
    return hn::LoadU(Df(), &scratch_->row[0][kPlaneIndex][kHalo] + i + kOffset);
  }

  template <int kTap, int kAlign>
  HWY_INLINE void AddTapPair(Vf tap, int i, Moments* sum) const {
    constexpr int kA = kTap * kDistance;
    constexpr int kB = (kTapSpan - kTap) * kDistance;
    const Vf a = RowAt<1, kA, kAlign>(i), b = RowAt<1, kB, kAlign>(i);
    sum->difference = hn::MulAdd(tap, hn::Add(a, b), sum->difference);
    // Squared here rather than read: loads are what this loop is short of.
    sum->difference_square = hn::MulAdd(tap, hn::MulAdd(a, a, hn::Mul(b, b)), sum->difference_square);
    sum->mean = hn::MulAdd(tap, hn::Add(RowAt<0, kA, kAlign>(i), RowAt<0, kB, kAlign>(i)), sum->mean);
    sum->mean_square = hn::MulAdd(tap, hn::Add(RowAt<2, kA, kAlign>(i), RowAt<2, kB, kAlign>(i)), sum->mean_square);
  }

  template <int kAlign>
  HWY_INLINE void HorizontalVector(const Taps& t, int i, float* to) const {
    const Df d;
    constexpr int kMiddle = 5 * kDistance;
    const Vf e = RowAt<1, kMiddle, kAlign>(i);
    Moments sum{hn::Mul(t.t5, RowAt<0, kMiddle, kAlign>(i)), hn::Mul(t.t5, e),
                hn::Mul(t.t5, RowAt<2, kMiddle, kAlign>(i)), hn::Mul(t.t5, hn::Mul(e, e))};
    AddTapPair<4, kAlign>(t.t4, i, &sum);
    AddTapPair<3, kAlign>(t.t3, i, &sum);
    AddTapPair<2, kAlign>(t.t2, i, &sum);
    AddTapPair<1, kAlign>(t.t1, i, &sum);
    AddTapPair<0, kAlign>(t.t0, i, &sum);
    hn::Store(sum.mean, d, to + i);
    hn::Store(sum.difference, d, to + kWidth + i);
    hn::Store(sum.mean_square, d, to + 2 * kWidth + i);
    hn::Store(sum.difference_square, d, to + 3 * kWidth + i);
  }

  HWY_INLINE void Horizontal(int slot) {
    const Taps taps(walk_.taps);
    float* to = scratch_->ring + slot * kRowStride + kLeft;
    if constexpr (kTwoCopies) {
      for (int i = -kLeft; i < vector_end_; i += 16) {
        HorizontalVector<0>(taps, i, to);
        HorizontalVector<8>(taps, i + 8, to);
      }
    } else {
      for (int i = -kLeft; i < vector_end_; i += kLanes) HorizontalVector<0>(taps, i, to);
    }
  }

  // kCounted: how many of the vector's windows exist and belong to the tile: none, all or `count`.
  enum class Counted { kNone, kAll, kSome };

  template <int kOldest, Counted kCounted>
  HWY_INLINE void MapVector(const Taps& taps, const SsimConstants& constants, int i, int count, Vf* sums) const {
    const Df d;
    const float* ring = scratch_->ring + kLeft + i;
    Moments moments[2];
    VerticalPair<kOldest, kRowStride, !kGradient>(ring, taps, &moments[0].mean, &moments[1].mean);
    VerticalPair<kOldest, kRowStride, !kGradient>(ring + kWidth, taps, &moments[0].difference, &moments[1].difference);
    VerticalPair<kOldest, kRowStride, !kGradient>(ring + 2 * kWidth, taps, &moments[0].mean_square,
                                                  &moments[1].mean_square);
    VerticalPair<kOldest, kRowStride, !kGradient>(ring + 3 * kWidth, taps, &moments[0].difference_square,
                                                  &moments[1].difference_square);
    for (int k = 0; k < 2; ++k) {
      Partials partials;
      Vf s = Similarity<kGradient>(moments[k], constants, &partials);
      hn::Store(s, d, scratch_->similarity[k] + kLeft + i);
      if constexpr (kCounted == Counted::kSome) {
        const auto inside = hn::FirstN(d, static_cast<std::size_t>(count));
        s = hn::IfThenElseZero(inside, s);
        if constexpr (kGradient) {
          partials.base = hn::IfThenElseZero(inside, partials.base);
          partials.with_mean = hn::IfThenElseZero(inside, partials.with_mean);
          partials.with_difference = hn::IfThenElseZero(inside, partials.with_difference);
        }
      }
      if constexpr (kCounted != Counted::kNone) sums[k] = hn::Add(sums[k], s);
      if constexpr (kGradient) {
        StorePartials(partials, k, i);
      }
    }
  }

  template <int kOldest>
  HWY_NOINLINE void MapRows(const bool* counts) {
    const Df d;
    const Taps taps(walk_.taps);
    const SsimConstants constants{hn::Set(d, walk_.c1), hn::Set(d, walk_.c2)};
    Vf sums[2] = {hn::Zero(d), hn::Zero(d)};
    int i = 0;
    if constexpr (kGradient) {
      // Windows left of the block: whole vectors, unless the map ends there or begins at the block.
      const int left_end = map_count_ < 0 ? map_count_ : 0;
      i = -kLeft;
      if (tile_.x_begin == 0) {
        ZeroPartials(i, 0);
        i = 0;
      }
      for (; i + kLanes <= left_end; i += kLanes) {
        MapVector<kOldest, Counted::kNone>(taps, constants, i, kLanes, sums);
      }
      if (i < left_end) {
        Vf ignored[2] = {hn::Zero(d), hn::Zero(d)};
        MapVector<kOldest, Counted::kSome>(taps, constants, i, left_end - i, ignored);
        i += kLanes;
      }
    }
    if (i >= 0) {
      for (; i + kLanes <= map_count_; i += kLanes) {
        MapVector<kOldest, Counted::kAll>(taps, constants, i, kLanes, sums);
      }
      if (i < map_count_) {
        MapVector<kOldest, Counted::kSome>(taps, constants, i, map_count_ - i, sums);
        i += kLanes;
      }
    }
    if constexpr (kGradient) ZeroPartials(i, vector_end_);
    if (counts[0]) AddToSums(sums[0]);
    if (counts[1]) AddToSums(sums[1]);
  }

  HWY_INLINE void StorePartials(const Partials& partials, int row, int i) const {
    const Df d;
    for (int copy = 0; copy < (kTwoCopies ? 2 : 1); ++copy) {
      auto& to = scratch_->partial[copy][row];
      hn::Store(partials.base, d, to[0] + kLeft + 8 * copy + i);
      hn::Store(partials.with_mean, d, to[1] + kLeft + 8 * copy + i);
      hn::Store(partials.with_difference, d, to[2] + kLeft + 8 * copy + i);
    }
  }

  void ZeroPartials(int begin, int end) const {
    const Vf zero = hn::Zero(Df());
    for (int i = begin; i < end; i += kLanes) {
      for (int row = 0; row < 2; ++row) StorePartials({zero, zero, zero}, row, i);
    }
  }

  HWY_INLINE void AddToSums(Vf row_sum) {
    float lane[kLanes];
    hn::StoreU(row_sum, Df(), lane);
    for (int i = 0; i < kLanes; ++i) scratch_->sums[i] += static_cast<double>(lane[i]);
  }

  void AddToPlaceSums(const float* similarity) {
    const Df d;
    Vf sums[3] = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    int place = 0;
    for (int i = 0; i < map_count_; i += kLanes, place = place == 2 ? 0 : place + 1) {
      const auto inside = hn::FirstN(d, static_cast<std::size_t>(map_count_ - i));
      sums[place] = hn::Add(sums[place], hn::IfThenElseZero(inside, hn::Load(d, similarity + i)));
    }
    for (place = 0; place < 3; ++place) {
      float lane[kLanes];
      hn::StoreU(sums[place], d, lane);
      for (int i = 0; i < kLanes; ++i) scratch_->place_sums[place][i] += static_cast<double>(lane[i]);
    }
  }

  void WriteMap(int y, const float* similarity) const {
    const Df d;
    const Vf scale = hn::Set(d, walk_.ssim_scale);
    const Vf offset = hn::Set(d, walk_.ssim_offset);
    float* to = walk_.map + (std::int64_t{tile_.plane} * geometry_.map_rows() + y) * geometry_.map_row_samples() +
                tile_.x_begin;
    for (int i = 0; i < map_count_; i += kLanes) {
      const Vf s = hn::Load(d, similarity + kLeft + i);
      StoreFirst(hn::Add(hn::Mul(s, scale), offset), map_count_ - i, to + i);
    }
  }

  // The adjoint of the horizontal filter: sample x gathers the windows that begin at x - 10 .. x pixels.
  HWY_NOINLINE void AddPartials(bool valid, int row, int slot) {
    const Df d;
    float* to = scratch_->adjoint_ring + slot * kAdjointStride;
    if (!valid) {
      std::memset(to, 0, kAdjointStride * sizeof(float));
      return;
    }
    const Taps taps(walk_.taps);
    for (int k = 0; k < 3; ++k) {
      const float* near = scratch_->partial[0][row][k] + kLeft;
      const float* far = scratch_->partial[1][row][k] + kLeft + 8;
      if constexpr (kTwoCopies) {
        for (int i = 0; i < sample_count_; i += 16) {
          hn::Store(AdjointVector<0>(near + i, far + i, taps), d, to + k * kBlockSamples + i);
          hn::Store(AdjointVector<8>(near + i + 8, far + i + 8, taps), d, to + k * kBlockSamples + i + 8);
        }
      } else {
        for (int i = 0; i < sample_count_; i += kLanes) {
          hn::Store(AdjointVector<0>(near + i, far + i, taps), d, to + k * kBlockSamples + i);
        }
      }
    }
  }

  template <int kOffset, int kAlign>
  static HWY_INLINE Vf PartialAt(const float* near, const float* far) {
    return hn::LoadU(Df(), (kTwoCopies && (kAlign + kOffset + kLeft) % 16 > 8 ? far : near) + kOffset);
  }

  template <int kTap, int kAlign>
  static HWY_INLINE Vf PartialPair(const float* near, const float* far) {
    return hn::Add(PartialAt<(kTap - kTapSpan) * kDistance, kAlign>(near, far),
                   PartialAt<-kTap * kDistance, kAlign>(near, far));
  }

  template <int kAlign>
  static HWY_INLINE Vf AdjointVector(const float* near, const float* far, const Taps& t) {
    Vf sum = hn::Mul(t.t5, PartialAt<-5 * kDistance, kAlign>(near, far));
    sum = hn::MulAdd(t.t4, PartialPair<4, kAlign>(near, far), sum);
    sum = hn::MulAdd(t.t3, PartialPair<3, kAlign>(near, far), sum);
    sum = hn::MulAdd(t.t2, PartialPair<2, kAlign>(near, far), sum);
    sum = hn::MulAdd(t.t1, PartialPair<1, kAlign>(near, far), sum);
    return hn::MulAdd(t.t0, PartialPair<0, kAlign>(near, far), sum);
  }

  template <int kOldest>
  HWY_NOINLINE void GradientRows(int y, const bool* own, const float* const* reference,
                                 const float* const* distorted) const {
    const Df d;
    const Taps taps(walk_.taps);
    const Vf scale = hn::Set(d, walk_.gradient_scale);
    const bool bordered = geometry_.border != Border::kValid;
    float* to[2] = {scratch_->gradient[0], scratch_->gradient[1]};
    for (int k = 0; k < 2 && !bordered; ++k) {
      to[k] =
          walk_.gradient + (std::int64_t{tile_.plane} * geometry_.rows + y + k) * geometry_.row_samples + tile_.x_begin;
    }
    for (int i = 0; i < sample_count_; i += kLanes) {
      const float* ring = scratch_->adjoint_ring + i;
      Partials blurred[2];
      VerticalPair<kOldest, kAdjointStride, true>(ring, taps, &blurred[0].base, &blurred[1].base);
      VerticalPair<kOldest, kAdjointStride, true>(ring + kBlockSamples, taps, &blurred[0].with_mean,
                                                  &blurred[1].with_mean);
      VerticalPair<kOldest, kAdjointStride, true>(ring + 2 * kBlockSamples, taps, &blurred[0].with_difference,
                                                  &blurred[1].with_difference);
      for (int k = 0; k < 2; ++k) {
        if (!own[k]) continue;
        const Vf r = hn::LoadU(d, reference[k] + i);
        const Vf x = hn::LoadU(d, distorted[k] + i);
        Vf sum = hn::MulAdd(blurred[k].with_mean, HalfSum(r, x), blurred[k].base);
        sum = hn::MulAdd(blurred[k].with_difference, hn::Sub(x, r), sum);
        StoreFirst(hn::Mul(scale, sum), sample_count_ - i, to[k] + i);
      }
    }
    for (int k = 0; k < 2 && bordered; ++k) {
      if (own[k]) PutGradientRow(geometry_, tile_, walk_, y + k, to[k]);
    }
  }

  const PreparedWalk& walk_;
  const Geometry& geometry_;
  const Tile& tile_;
  const bool by_channel_;
  SsimScratch* scratch_;
  int sample_count_;
  int map_count_;   // windows that begin in the block; negative where the map ends left of it
  int vector_end_;  // of the vectors that are computed, relative to the block
};

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#endif
