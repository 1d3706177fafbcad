// Images in windows: the taps, their moments and their gradient are those of the whole image. On SSE4, which every
// processor has.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/metrics/dists/dists_math.h"
#include "kernels/metrics/functors.h"
#include "kernels/metrics/lpips/lpips_math.h"
#include "kernels/ops/conv_trunk/tap_distances.h"
#include "kernels/ops/conv_trunk/tap_moments.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/ops_cpu.h"
#include "kernels/ops/reduce/reduce.h"
#include "tests/support/weights.h"

namespace likeness {
namespace {

TEST(TrunkWindows, CoresTileTheImageAndWindowsReachAround) {
  for (const TrunkSpec* base : {&kAlexTrunk, &kVgg16Trunk, &kSqueezeNetTrunk, &kVgg16SmoothTrunk}) {
    const TapGrid last = TapGrids(*base).back();
    EXPECT_EQ(last.stride, 16);
    for (const auto& [width, height] : {std::pair(3840, 2160), std::pair(1921, 1200), std::pair(16384, 401)}) {
      for (const bool gradient : {false, true}) {
        SCOPED_TRACE(absl::StrCat(base->network, " ", width, "x", height));
        TrunkSpec spec = *base;
        spec.whole_pixels = spec.whole_pixels_gradient = 1'000'000;
        const TrunkWindows windows(spec, FeatureLayout::kBlocked, Precision::kExact, width, height, gradient);
        EXPECT_FALSE(windows.whole());
        std::int64_t covered = 0;
        for (const TrunkWindow& down : windows.down()) {
          for (const TrunkWindow& across : windows.across()) {
            covered += std::int64_t{across.core_end - across.core_begin} * (down.core_end - down.core_begin);
            EXPECT_LE(std::int64_t{across.end - across.begin} * (down.end - down.begin), 1'000'000);
          }
        }
        EXPECT_EQ(covered, std::int64_t{width} * height);
        int at = 0;
        for (const TrunkWindow& window : windows.across()) {
          EXPECT_EQ(window.core_begin, at);
          EXPECT_EQ(window.begin % last.stride, 0);
          EXPECT_TRUE(window.begin == 0 || window.core_begin - window.begin >= last.before);
          EXPECT_TRUE(window.end == width || window.end - window.core_end >= last.after);
          at = window.core_end;
        }
      }
    }
  }
  EXPECT_TRUE(TrunkWindows(kVgg16Trunk, FeatureLayout::kBlocked, Precision::kExact, 1920, 1080, false).whole());
  EXPECT_FALSE(TrunkWindows(kVgg16Trunk, FeatureLayout::kBlocked, Precision::kExact, 1920, 1080, true).whole());
  EXPECT_FALSE(TrunkWindows(kVgg16Trunk, FeatureLayout::kBlocked, Precision::kFast, 1920, 1080, false).whole());
  // A GPU's slot has less room for features, and half takes half of it.
  EXPECT_FALSE(TrunkWindows(kVgg16Trunk, FeatureLayout::kPixels, Precision::kExact, 1920, 1080, false).whole());
  EXPECT_TRUE(TrunkWindows(kVgg16Trunk, FeatureLayout::kPixels, Precision::kFast, 1920, 1080, false).whole());
}

}  // namespace
}  // namespace likeness

LIKENESS_BEGIN_TARGET
namespace {

struct Result {
  double score = 0.0;
  std::vector<Real> taps;       // of LPIPS: all of every distance
  std::vector<double> moments;  // of DISTS: all of every tap
  std::vector<Real> gradient;
};

void Append(const PlanesView& view, std::vector<Real>& to) {
  for (int c = 0; c < view.shape.channels; ++c) {
    for (int y = 0; y < view.shape.height; ++y)
      to.insert(to.end(), Row(view, c, y), Row(view, c, y) + view.shape.width);
  }
}

// The sum of the taps' mean distances, as in LPIPS.
Scalar<true> SumOfDistances(Tape<Cpu>& t, const TrunkUse& use, bool linear, const Planes<false>& reference,
                            const Planes<true>& distorted, Result& result) {
  Scalar<true> score;
  for (const auto& tap : TapDistances(t, use, {kImageNetColor, kLpipsLength, linear}, reference, distorted)) {
    Append(t.View(tap), result.taps);
    auto mean = Mean(t, tap);
    score = score.empty() ? mean : MapScalars(t, Plus{}, score, mean);
  }
  return score;
}

// The sum of the taps' mean differences of moments, as in DISTS.
Scalar<true> SumOfMoments(Tape<Cpu>& t, const TrunkUse& use, const Planes<false>& reference,
                          const Planes<true>& distorted, Result& result) {
  Scalar<true> score;
  int tap = 0;
  for (const auto& m : TapMoments(t, use, kImageNetColor, reference, distorted)) {
    const int channels = m.distorted_mean.count();
    const MomentValues values = trunk_internal::ValuesOf(t, m);
    for (const double* of : {values.reference_mean, values.reference_variance, values.distorted_mean,
                             values.distorted_variance, values.difference_variance}) {
      result.moments.insert(result.moments.end(), of, of + channels);
    }
    const auto alpha = HeadRow(t, use, tap, 0, channels), beta = HeadRow(t, use, tap, 1, channels);
    auto mean = MeanOf(t, MapScalars(t, DistsChannel{}, alpha, beta, m.reference_mean, m.reference_variance,
                                     m.distorted_mean, m.distorted_variance, m.difference_variance));
    score = tap++ == 0 ? mean : MapScalars(t, Plus{}, score, mean);
  }
  return score;
}

Result Score(const TrunkSpec& spec, const Shape& shape, bool linear) {
  const auto tensors = testing::SyntheticWeights(spec);
  const auto trunk = *Trunk::Create(
      spec, ConvIsa::kSse4,
      [&](const std::string& name, std::int64_t) -> absl::StatusOr<absl::Span<const float>> {
        return absl::MakeConstSpan(tensors.at(name));
      },
      nullptr);
  const auto prepared = *trunk->Prepare(shape.width, shape.height, /*gradient=*/true);
  const TrunkUse use{&spec, &trunk->weights(), prepared.get()};
  Workspace workspace;
  EXPECT_TRUE(workspace.arena().Reserve(std::int64_t{1} << 30));
  Cpu cpu;
  Tape<Cpu> t(cpu, workspace, false);
  auto reference = t.MakeOwn<false>(shape);
  auto distorted = t.MakeOwn<true>(shape);
  std::uint32_t state = 1;
  for (int c = 0; c < shape.channels; ++c) {
    for (int y = 0; y < shape.height; ++y) {
      for (int x = 0; x < shape.width; ++x) {
        state = state * 1664525u + 1013904223u;
        Row(t.View(reference), c, y)[x] = state / 4294967296.0f;
        state = state * 1664525u + 1013904223u;
        Row(t.View(distorted), c, y)[x] = state / 4294967296.0f;
      }
    }
  }
  Result result;
  const Scalar<true> score = spec.image_tap ? SumOfMoments(t, use, reference, distorted, result)
                                            : SumOfDistances(t, use, linear, reference, distorted, result);
  result.score = *t.Values(score);
  t.Backward(score);
  Append(t.LeafGradient(distorted), result.gradient);
  return result;
}

TEST(TrunkWindows, ChangeNothing) {
  struct Case {
    TrunkSpec spec;
    Shape shape;
    std::int64_t pixels;  // that go through whole
    bool linear;
  };
  // Of VGG16 as far as its third tap: it looks less far, so that small windows do. Odd sizes, so that the last core is
  // cut off anywhere, at one of them such that a tap has nothing of it.
  TrunkSpec vgg = kVgg16Trunk;
  vgg.convs = std::span(kVgg16Convs).first(7);
  TrunkSpec smooth = kVgg16SmoothTrunk;
  smooth.convs = vgg.convs;
  const Case cases[] = {{vgg, {97, 73, 3}, 6'400, false},          {vgg, {65, 131, 1}, 6'400, false},
                        {kAlexTrunk, {331, 261, 3}, 80'000, true}, {kSqueezeNetTrunk, {431, 389, 3}, 160'000, false},
                        {smooth, {97, 73, 3}, 6'400, false},       {smooth, {67, 131, 1}, 6'400, false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.spec.network, " ", c.shape.width, "x", c.shape.height));
    TrunkSpec in_windows = c.spec, whole = c.spec;
    whole.whole_pixels = whole.whole_pixels_gradient = 0;
    in_windows.whole_pixels = in_windows.whole_pixels_gradient = c.pixels;
    ASSERT_FALSE(
        TrunkWindows(in_windows, FeatureLayout::kBlocked, Precision::kExact, c.shape.width, c.shape.height, true)
            .whole());
    const Result expected = Score(whole, c.shape, c.linear), seen = Score(in_windows, c.shape, c.linear);
    if (c.spec.image_tap) {
      // Merged of windows' moments, each of which is summed in float in runs of 32 and then in double.
      ASSERT_EQ(seen.moments.size(), expected.moments.size());
      ASSERT_FALSE(seen.moments.empty());
      for (std::size_t i = 0; i < seen.moments.size(); ++i) {
        EXPECT_NEAR(seen.moments[i], expected.moments[i], 1e-6 * (1.0 + std::fabs(expected.moments[i]))) << i;
      }
      EXPECT_NEAR(seen.score, expected.score, 1e-7);
    } else {
      EXPECT_EQ(seen.score, expected.score);
    }
    EXPECT_EQ(seen.taps, expected.taps);
    ASSERT_EQ(seen.gradient.size(), expected.gradient.size());
    double largest = 0.0;
    for (const Real g : expected.gradient) largest = std::max<double>(largest, std::fabs(g));
    ASSERT_GT(largest, 0.0);
    // Where a score goes through whole and its gradient does not, the score is that of the whole.
    in_windows.whole_pixels = 0;
    const Result back_in_windows = Score(in_windows, c.shape, c.linear);
    EXPECT_EQ(back_in_windows.score, expected.score);
    EXPECT_EQ(back_in_windows.moments, expected.moments);
    // Sums of windows' gradients come in another order.
    for (std::size_t i = 0; i < seen.gradient.size(); ++i) {
      ASSERT_NEAR(seen.gradient[i], expected.gradient[i], 2e-6 * largest) << i;
    }
  }
}

}  // namespace
LIKENESS_END_TARGET
