// The tile loop, compiled once for each instruction set by Highway's foreach_target.

// These come before hwy/highway.h: on x86 the three sets that the scorer offers, elsewhere the compiler's own.
#if defined(__x86_64__)
#define HWY_BASELINE_TARGETS HWY_SSE4
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#else
#define HWY_COMPILE_ONLY_STATIC
#endif

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/walks/tile.h"
#include "kernels/walks/walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/walks/tiles.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/walks/pointwise-inl.h"
#include "kernels/walks/rows-inl.h"
#include "kernels/walks/scales-inl.h"
#include "kernels/walks/ssim-inl.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

// Rows ahead of the one at hand whose bytes are asked for: a tile is narrow, so that the processor's own prefetcher
// does not see its rows coming.
inline constexpr int kPrefetchRows = 4;

IntegerSumsWanted Wanted(absl::Span<const PreparedWalk> walks) {
  IntegerSumsWanted wanted;
  for (const PreparedWalk& walk : walks) {
    if (!walk.integer_score) continue;
    wanted.absolute |= walk.term == PointwiseLoss::kMeanAbsolute;
    wanted.square |= walk.term == PointwiseLoss::kMeanSquare;
    wanted.signed_sum |= walk.term == PointwiseLoss::kMeanSigned;
    wanted.maximum |= walk.term == PointwiseLoss::kMaximum;
  }
  return wanted;
}

void Report(const IntegerSums& sums, absl::Span<const PreparedWalk> walks, double* partials) {
  for (std::size_t k = 0; k < walks.size(); ++k) {
    if (!walks[k].integer_score) continue;
    switch (walks[k].term) {
      case PointwiseLoss::kMeanSquare:
        partials[k] = static_cast<double>(sums.square);
        break;
      case PointwiseLoss::kMeanSigned:
        partials[k] = static_cast<double>(sums.signed_sum);
        break;
      case PointwiseLoss::kMaximum:
        partials[k] = sums.maximum;
        break;
      default:
        partials[k] = static_cast<double>(sums.absolute);
        break;
    }
  }
}

// All walks of a job with SSIM over one tile, kDistance samples between horizontal neighbours.
template <int kDistance>
class TileRunner {
 public:
  TileRunner(const TileJob& job, int index, double* partials)
      : job_(job),
        index_(index),
        geometry_(job.geometry),
        tile_(TileAt(job.geometry, index)),
        reference_(*job.reference, job.geometry),
        distorted_(*job.distorted, job.geometry),
        scratch_(ThreadScratch(job.ssim_count)),
        partials_(partials),
        wanted_(Wanted(job.walks)) {
    for (std::size_t k = 0; k < job.walks.size(); ++k) partials[k] = 0.0;
  }

  void Run() {
    if (job_.has_ssim_gradient) {
      RunWithSsim<true>();
    } else {
      RunWithSsim<false>();
    }
    if (wanted_.any()) Report(integers_, job_.walks, partials_);
  }

 private:
  // Tiles whose SSIM is wanted with its gradient begin ten rows earlier and keep the last twelve rows of values.
  template <bool kAnyGradient>
  void RunWithSsim() {
    constexpr int kDepth = kAnyGradient ? TileScratch::kHistoryRows : 2;
    constexpr int kLeft = kAnyGradient ? kHalo : 0;
    const int first_row = tile_.y_begin - (kAnyGradient ? kTapSpan : 0);
    const int end = tile_.x_begin + kBlockSamples + kHalo;
    int slot = 0;  // of the two rows at hand in rings of twelve
    for (int y = first_row; y < tile_.y_end + kTapSpan; y += 2, slot = slot == 10 ? 0 : slot + 2) {
      for (int k = 0; k < 2; ++k) {
        if (y + k < 0 || y + k >= geometry_.rows) continue;
        Prefetch(y + k + kPrefetchRows, tile_.x_begin - kLeft, end);
        float* reference = scratch_.reference[(slot + k) % kDepth];
        float* distorted = scratch_.distorted[(slot + k) % kDepth];
        reference_.LoadFilled(tile_.plane, y + k, tile_.x_begin - kLeft, end, reference);
        distorted_.LoadFilled(tile_.plane, y + k, tile_.x_begin - kLeft, end, distorted);
        if (tile_.y_begin <= y + k && y + k < tile_.y_end) PointwiseRows(y + k, reference + kLeft, distorted + kLeft);
      }
      SsimRows<kDepth, kLeft>(y, slot, first_row);
    }
    int ssim = 0;
    for (std::size_t k = 0; k < job_.walks.size(); ++k) {
      if (!job_.walks[k].is_ssim) continue;
      double sum = 0.0;
      const SsimScratch& scratch = scratch_.ssim[static_cast<std::size_t>(ssim++)];
      for (int i = 0; i < kLanes; ++i) sum += scratch.sums[i];
      partials_[k] = sum;
    }
    if (job_.channel_sums != nullptr) ReportChannels(job_.channel_sums + 3 * std::ptrdiff_t{index_});
  }

  void ReportChannels(double* sums) const {
    for (int c = 0; c < 3; ++c) sums[c] = 0.0;
    const auto& places = scratch_.ssim[0].place_sums;
    for (int place = 0; place < 3; ++place) {
      for (int i = 0; i < kLanes; ++i) {
        sums[kDistance == 1 ? tile_.plane : (tile_.x_begin + place * kLanes + i) % 3] += places[place][i];
      }
    }
  }

  template <int kDepth, int kLeft>
  void SsimRows(int y, int slot, int first_row) {
    // Map row y - 10 is complete with row y. In the rings of twelve, ten rows back is two rows on.
    const int map_slot = slot == 10 ? 0 : slot + 2;
    const float* reference[2];
    const float* distorted[2];
    for (int k = 0; k < 2; ++k) {
      reference[k] = scratch_.reference[(map_slot + k) % kDepth] + kLeft;
      distorted[k] = scratch_.distorted[(map_slot + k) % kDepth] + kLeft;
    }
    int ssim = 0;
    for (const PreparedWalk& walk : job_.walks) {
      if (!walk.is_ssim) continue;
      SsimScratch* scratch = &scratch_.ssim[static_cast<std::size_t>(ssim++)];
      if (walk.gradient != nullptr) {
        if constexpr (kLeft > 0)
          StepSsim<true, kDepth, kLeft>(walk, scratch, y, slot, map_slot, first_row, reference, distorted);
      } else {
        StepSsim<false, kDepth, kLeft>(walk, scratch, y, slot, map_slot, first_row, reference, distorted);
      }
    }
  }

  template <bool kGradient, int kDepth, int kLeft>
  void StepSsim(const PreparedWalk& walk, SsimScratch* scratch, int y, int slot, int map_slot, int first_row,
                const float* const* reference, const float* const* distorted) {
    SsimTile<kDistance, kGradient> ssim(walk, geometry_, tile_, job_.channel_sums != nullptr, scratch);
    if (y == first_row) ssim.Begin();
    const int begin = tile_.y_begin - (kGradient ? kTapSpan : 0);
    if (y < begin || ssim.idle()) return;
    for (int k = 0; k < 2; ++k) {
      if (y + k < 0 || y + k >= geometry_.rows) continue;
      ssim.AddRow(scratch_.reference[(slot + k) % kDepth] + kLeft, scratch_.distorted[(slot + k) % kDepth] + kLeft,
                  slot + k);
    }
    if (y - kTapSpan >= begin) ssim.FinishRows(y - kTapSpan, map_slot, reference, distorted);
  }

  void PointwiseRows(int y, const float* reference, const float* distorted) {
    const int count = tile_.x_end - tile_.x_begin;
    const std::int64_t at = (std::int64_t{tile_.plane} * geometry_.rows + y) * geometry_.row_samples + tile_.x_begin;
    for (std::size_t k = 0; k < job_.walks.size(); ++k) {
      if (!job_.walks[k].is_ssim) PointwiseRow(job_.walks[k], reference, distorted, count, at, &partials_[k]);
    }
    if (wanted_.any()) {
      AddBytes(RowStart(*job_.reference, tile_.plane, y) + tile_.x_begin,
               RowStart(*job_.distorted, tile_.plane, y) + tile_.x_begin, count, wanted_, &integers_);
    }
  }

  void Prefetch(int y, int begin, int end) const {
    reference_.Prefetch(tile_.plane, y, begin, end);
    distorted_.Prefetch(tile_.plane, y, begin, end);
  }

  const TileJob& job_;
  const int index_;
  const Geometry& geometry_;
  const Tile tile_;
  RowSource reference_;
  RowSource distorted_;
  TileScratch& scratch_;
  double* partials_;
  IntegerSumsWanted wanted_;
  IntegerSums integers_;
};

void RunTile(const TileJob& job, int tile_index, double* partials) {
  if (job.geometry.tap_distance == 3) {
    TileRunner<3>(job, tile_index, partials).Run();
  } else {
    TileRunner<1>(job, tile_index, partials).Run();
  }
}

void RunStretch(const TileJob& job, int first_tile, int tile_count, double* partials) {
  const Geometry& geometry = job.geometry;
  const Tile first = TileAt(geometry, first_tile);
  const Tile last = TileAt(geometry, first_tile + tile_count - 1);
  const RowSource reference(*job.reference, geometry);
  const RowSource distorted(*job.distorted, geometry);
  TileScratch& scratch = ThreadScratch(0);
  const IntegerSumsWanted wanted = Wanted(job.walks);
  const std::size_t walk_count = job.walks.size();
  IntegerSums integers;
  for (std::size_t k = 0; k < static_cast<std::size_t>(tile_count) * walk_count; ++k) partials[k] = 0.0;
  for (int y = first.y_begin; y < first.y_end; ++y) {
    double* to = partials;
    for (int begin = first.x_begin; begin < last.x_end; begin += kBlockSamples, to += walk_count) {
      const int end = begin + kBlockSamples < last.x_end ? begin + kBlockSamples : last.x_end;
      const float* r = reference.InPlace(first.plane, y, begin, end);
      if (r == nullptr) {
        reference.Load(first.plane, y, begin, end, scratch.reference[0]);
        r = scratch.reference[0];
      }
      const float* d = distorted.InPlace(first.plane, y, begin, end);
      if (d == nullptr) {
        distorted.Load(first.plane, y, begin, end, scratch.distorted[0]);
        d = scratch.distorted[0];
      }
      const std::int64_t at = (std::int64_t{first.plane} * geometry.rows + y) * geometry.row_samples + begin;
      for (std::size_t k = 0; k < walk_count; ++k) PointwiseRow(job.walks[k], r, d, end - begin, at, &to[k]);
    }
    if (wanted.any()) {
      AddBytes(RowStart(*job.reference, first.plane, y) + first.x_begin,
               RowStart(*job.distorted, first.plane, y) + first.x_begin, last.x_end - first.x_begin, wanted, &integers);
    }
  }
  if (wanted.any()) Report(integers, job.walks, partials);
}

void RunIntegerBand(const TileJob& job, int plane, int y_begin, int y_end, double* partials) {
  const IntegerSumsWanted wanted = Wanted(job.walks);
  const ImageView& reference = *job.reference;
  const ImageView& distorted = *job.distorted;
  const std::int64_t row_samples = job.geometry.row_samples;
  IntegerSums sums;
  if (reference.row_bytes == row_samples && distorted.row_bytes == row_samples) {
    AddBytes(RowStart(reference, plane, y_begin), RowStart(distorted, plane, y_begin), (y_end - y_begin) * row_samples,
             wanted, &sums);
  } else {
    for (int y = y_begin; y < y_end; ++y) {
      AddBytes(RowStart(reference, plane, y), RowStart(distorted, plane, y), row_samples, wanted, &sums);
    }
  }
  Report(sums, job.walks, partials);
}

const WalkTable* Table(const char* name) {
  static const WalkTable table{name, &RunTile, &RunStretch, &RunIntegerBand, &PoolRows, &SpreadRows};
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace likeness {
namespace {

struct Entry {
  const char* name;
  std::int64_t target;
  const WalkTable* table;
};

absl::Span<const Entry> Entries() {
#if defined(__x86_64__)
  static const Entry entries[] = {
      {"sse4", HWY_SSE4, walks::N_SSE4::Table("sse4")},
      {"avx2", HWY_AVX2, walks::N_AVX2::Table("avx2")},
      {"avx3", HWY_AVX3, walks::N_AVX3::Table("avx3")},
  };
#else
  static const Entry entries[] = {{"native", HWY_STATIC_TARGET, walks::HWY_NAMESPACE::Table("native")}};
#endif
  return entries;
}

}  // namespace

const WalkTable* GetWalkTable(absl::string_view instruction_set) {
  for (const Entry& entry : Entries()) {
    if (entry.name == instruction_set && (hwy::SupportedTargets() & entry.target) != 0) return entry.table;
  }
  return nullptr;
}

std::vector<absl::string_view> WalkInstructionSets() {
  std::vector<absl::string_view> names;
  for (const Entry& entry : Entries()) {
    if ((hwy::SupportedTargets() & entry.target) != 0) names.push_back(entry.name);
  }
  return names;
}

}  // namespace likeness

#endif  // HWY_ONCE
