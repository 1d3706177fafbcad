// MS-SSIM's walk against its program in double, on every instruction set of this processor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/base/parallel.h"
#include "kernels/walks/walk.h"
#include "tests/support/scoring.h"
#include "tests/unit/walk_naive.h"

namespace likeness {
namespace {

using walk_test::GoldenPair;
using walk_test::Pair;

struct Case {
  int width, height, channels;
  PixelType type = PixelType::kUint8;
  Layout layout = Layout::kHwc;
  int padding = 0;
  bool mixed = false;  // the reference has another type and layout
};

std::string NameOf(const Case& c) {
  return std::to_string(c.width) + "x" + std::to_string(c.height) + "x" + std::to_string(c.channels) + " " +
         PixelTypeName(c.type) + (c.layout == Layout::kChw ? " CHW" : " HWC");
}

WalkRequest ByWalk(absl::string_view set, const ImageView& reference, const ImageView& distorted,
                   bool want_gradient = true) {
  WalkRequest request;
  request.walk = MsSsimWalk{};
  request.want_gradient = want_gradient;
  EXPECT_TRUE(CheckWalk(request, reference, distorted).ok());
  EXPECT_TRUE(RunsOnCpu(request));
  // Nothing may depend on what was there before.
  const std::int64_t bytes = WalkWorkspaceBytes(request, distorted);
  std::vector<float> workspace(static_cast<std::size_t>(bytes) / sizeof(float) + 16, NAN);
  void* at = workspace.data();
  std::size_t space = workspace.size() * sizeof(float);
  at = std::align(64, static_cast<std::size_t>(bytes), at, space);
  WalkRequest* const one[] = {&request};
  RunWalks(*GetWalkTable(set), reference, distorted, one, static_cast<std::byte*>(at));
  return request;
}
WalkRequest ByWalk(absl::string_view set, const Pair& pair) {
  return ByWalk(set, pair.reference.view, pair.distorted.view);
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         std::memcmp(a.data.get(), b.data.get(), static_cast<std::size_t>(a.sample_count()) * sizeof(float)) == 0;
}

class MsSsimWalkTest : public ::testing::TestWithParam<std::string> {};

// Sides that are odd at every scale or at none, blocks that end anywhere, all types and layouts.
TEST_P(MsSsimWalkTest, IsNearTheProgram) {
  for (const Case& c : std::vector<Case>{{161, 161, 3},
                                         {176, 192, 3},
                                         {301, 197, 3, PixelType::kUint8, Layout::kHwc, 5},
                                         {163, 270, 3, PixelType::kUint16, Layout::kChw},
                                         {258, 161, 1},
                                         {199, 181, 3, PixelType::kUint8, Layout::kHwc, 0, true},
                                         {199, 181, 3, PixelType::kUint16, Layout::kChw, 0, true},
                                         {515, 162, 3, PixelType::kFloat32, Layout::kHwc},
                                         {224, 175, 1, PixelType::kFloat16, Layout::kChw}}) {
    SCOPED_TRACE(NameOf(c));
    Pair pair = GoldenPair(c.width, c.height, c.channels, c.type, c.layout, c.padding);
    if (c.mixed) {
      const Layout other = c.layout == Layout::kHwc ? Layout::kChw : Layout::kHwc;
      pair.reference = GoldenPair(c.width, c.height, c.channels, PixelType::kFloat32, other).reference;
    }
    const MetricResult expected =
        testing::ScoreOne(testing::ScorerFor("oracle", false), testing::Request("ms_ssim", {}, false, true),
                          pair.reference.view, pair.distorted.view);
    const WalkRequest actual = ByWalk(GetParam(), pair);
    EXPECT_NEAR(actual.score, expected.score, 2e-6 * expected.score);
    EXPECT_TRUE(actual.map.empty());
    ASSERT_EQ(actual.gradient.sample_count(), expected.gradient.sample_count());
    ASSERT_EQ(actual.gradient.layout, expected.gradient.layout);
    double largest = 0.0, distance = 0.0;
    for (std::int64_t i = 0; i < expected.gradient.sample_count(); ++i) {
      ASSERT_TRUE(std::isfinite(actual.gradient.data[i])) << i;
      largest = std::max(largest, std::abs(static_cast<double>(expected.gradient.data[i])));
      distance = std::max(distance, std::abs(static_cast<double>(actual.gradient.data[i]) - expected.gradient.data[i]));
    }
    EXPECT_GT(largest, 0.0);
    EXPECT_LT(distance, 2e-4 * largest);
  }
}

TEST_P(MsSsimWalkTest, IdentityIsExact) {
  const Pair pair = GoldenPair(301, 197, 3, PixelType::kUint8, Layout::kHwc);
  const WalkRequest request = ByWalk(GetParam(), pair.reference.view, pair.reference.view);
  EXPECT_EQ(request.score, 1.0);
  for (std::int64_t i = 0; i < request.gradient.sample_count(); ++i) ASSERT_EQ(request.gradient.data[i], 0.0f) << i;
}

TEST_P(MsSsimWalkTest, FlatImages) {
  std::vector<std::uint8_t> black(161 * 170 * 3, 0), white(161 * 170 * 3, 255);
  ImageView dark;
  dark.data = black.data();
  dark.width = 161;
  dark.height = 170;
  dark.channels = 3;
  dark.row_bytes = 3 * 161;
  ImageView bright = dark;
  bright.data = white.data();
  EXPECT_EQ(ByWalk(GetParam(), dark, dark).score, 1.0);
  const WalkRequest request = ByWalk(GetParam(), dark, bright);
  // cs is 1 where both are flat; of S only C1 / (1 + C1) is left.
  EXPECT_NEAR(request.score, std::pow(1e-4 / (1.0 + 1e-4), 0.1333), 1e-5);
  for (std::int64_t i = 0; i < request.gradient.sample_count(); ++i)
    ASSERT_TRUE(std::isfinite(request.gradient.data[i]));
}

// Where cs is negative the score is 0, and so is its gradient.
TEST_P(MsSsimWalkTest, NegativeFactorsCountAsZero) {
  const Pair pair = GoldenPair(161, 161, 1, PixelType::kUint8, Layout::kHwc);
  std::vector<std::uint8_t> inverse(pair.reference.bytes.size());
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] = static_cast<std::uint8_t>(255 - static_cast<int>(pair.reference.bytes[i]));
  }
  ImageView distorted = pair.reference.view;
  distorted.data = inverse.data();
  const WalkRequest request = ByWalk(GetParam(), pair.reference.view, distorted);
  EXPECT_EQ(request.score, 0.0);
  for (std::int64_t i = 0; i < request.gradient.sample_count(); ++i) ASSERT_EQ(request.gradient.data[i], 0.0f) << i;
}

TEST_P(MsSsimWalkTest, BitsDependOnNothingElse) {
  const Pair pair = GoldenPair(301, 197, 3, PixelType::kUint8, Layout::kHwc);
  const WalkRequest expected = ByWalk(GetParam(), pair);
  for (const int threads : {2, 7}) {
    WalkRequest again;
    ThreadPool(threads).Run([&] { again = ByWalk(GetParam(), pair); });
    EXPECT_EQ(again.score, expected.score);
    EXPECT_TRUE(SameBits(again.gradient, expected.gradient));
  }
  EXPECT_EQ(ByWalk(GetParam(), pair.reference.view, pair.distorted.view, false).score, expected.score);
}

// Its map is the program's, whatever made the score.
TEST(MsDssim, IsOneMinusAndTakesItsMapFromTheProgram) {
  const Pair pair = GoldenPair(163, 170, 3, PixelType::kUint8, Layout::kHwc);
  for (const std::string& set : testing::AllInstructionSets()) {
    SCOPED_TRACE(set);
    const auto score = [&](bool fused, const char* id, bool map) {
      return testing::ScoreOne(testing::ScorerFor(set, fused), testing::Request(id, {}, map, true), pair.reference.view,
                               pair.distorted.view);
    };
    const MetricResult similarity = score(true, "ms_ssim", false), loss = score(true, "ms_dssim", false);
    EXPECT_EQ(loss.score, 1.0 - similarity.score);
    for (std::int64_t i = 0; i < loss.gradient.sample_count(); ++i) {
      ASSERT_EQ(loss.gradient.data[i], -similarity.gradient.data[i]) << i;
    }
    const MetricResult with_map = score(true, "ms_dssim", true), by_program = score(false, "ms_dssim", true);
    EXPECT_EQ(with_map.score, loss.score);
    EXPECT_TRUE(SameBits(with_map.gradient, loss.gradient));
    ASSERT_FALSE(with_map.map.empty());
    EXPECT_TRUE(SameBits(with_map.map, by_program.map));
    EXPECT_NEAR(by_program.score, loss.score, 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, MsSsimWalkTest, ::testing::ValuesIn([] {
                           std::vector<std::string> sets;
                           for (const absl::string_view set : WalkInstructionSets()) sets.emplace_back(set);
                           return sets;
                         }()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace likeness
