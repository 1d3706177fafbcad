// GMSD's fused walk under CUDA, run on the CPU: against its program, in batches, with identical and flat images.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

// Similarities are the program's to the bit. It takes their distances from the mean in float, which shows where they
// are near one another.
constexpr Nearness kNear{1e-6, 0.0, 1e-6}, kNearWhereFlat{1e-5, 0.0, 1e-5};

void ExpectNear(const Pair& pair, const Nearness& most = kNear) {
  for (const bool pyiqa : {false, true}) {
    SCOPED_TRACE(pyiqa ? "pyiqa" : "piq");
    ExpectNearProgram(pair, "gmsd", {}, GmsdWalk{pyiqa}, most, pyiqa ? 1 : 0);
  }
}

// In double and in two passes. A map's value is exact where the similarity is one half or more, else off by 3e-8 at
// most.
void ExpectDeviationOfMap(const Pair& pair) {
  for (const bool pyiqa : {false, true}) {
    SCOPED_TRACE(pyiqa ? "pyiqa" : "piq");
    const PairTask task = Scored(pair, {GmsdWalk{pyiqa}});
    const PairResult& result = task.metrics[0].result;
    const std::int64_t count = result.map.sample_count();
    double sum = 0.0, squares = 0.0, most = 0.0;
    for (std::int64_t i = 0; i < count; ++i) sum += result.map.data[i];
    for (std::int64_t i = 0; i < count; ++i) {
      squares += std::pow(result.map.data[i] - sum / static_cast<double>(count), 2.0);
      most = std::max<double>(most, result.map.data[i]);
    }
    const double divisor = static_cast<double>(pyiqa ? std::max<std::int64_t>(count - 1, 1) : count);
    const double expected = std::sqrt(squares / divisor);
    EXPECT_NEAR(result.score, expected, 1e-12 * expected + (most > 0.5 ? 6e-8 : 1e-15));
  }
}

// Of a tile (64 pixels a side) and of a row that is read four pixels at a time: whole ones, more and less.
const std::vector<Size> kSizes = {{2, 2, 1},   {2, 2, 3},   {3, 2, 3},    {2, 3, 3},  {3, 3, 1},    {3, 3, 3},
                                  {2, 37, 3},  {37, 2, 3},  {4, 5, 3},    {64, 9, 3}, {65, 64, 1},  {66, 65, 3},
                                  {128, 3, 1}, {63, 67, 3}, {132, 68, 1}, {92, 4, 3}, {301, 197, 3}};

TEST(GmsdWalks, EveryTypeAndLayoutIsNearTheProgram) {
  ForEveryTypeAndLayout({67, 5, 1}, [](const Pair& pair) { ExpectNear(pair); });
  // Rows of whole fours.
  for (const PixelType type : kTypes) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(PixelTypeName(type));
      ExpectNear(GoldenPair(72, 9, 3, type, layout));
      ExpectNear(GoldenPair(68, 6, 1, type, layout));
    }
  }
}

TEST(GmsdWalks, EverySizeIsNearTheProgram) {
  ForEverySize(kSizes, [](const Pair& pair) { ExpectNear(pair); });
}

TEST(GmsdWalks, MixedTypesAndLayouts) {
  ForMixedTypesAndLayouts([](const Pair& pair) { ExpectNear(pair); });
}

TEST(GmsdWalks, ScoreIsTheDeviationOfTheMap) { ForEverySize(kSizes, ExpectDeviationOfMap); }

TEST(GmsdWalks, OtherScalesAreNearTheProgram) {
  ForTenBits(30, [](const Pair& pair) { ExpectNear(pair); });
}

TEST(GmsdWalks, OtherConventionsAreTheProgrammes) {
  const Parameters parameters;
  const auto takes = [&](const std::string& convention) {
    return FindProgram("gmsd")->walk(Settings(convention, parameters)).has_value();
  };
  EXPECT_TRUE(takes("piq"));
  EXPECT_TRUE(takes("pyiqa"));
  EXPECT_FALSE(takes("faceswap"));
  EXPECT_FALSE(takes("faceswap_deviation"));
}

TEST(GmsdWalks, TakesTwoPixelsASideAndMore) {
  EXPECT_TRUE(Takes(GmsdWalk{}, 2, 2));
  EXPECT_FALSE(Takes(GmsdWalk{}, 1, 2));
  EXPECT_FALSE(Takes(GmsdWalk{}, 2, 1));
}

TEST(GmsdWalks, IdentityIsExact) {
  for (const bool pyiqa : {false, true}) {
    ExpectIdenticalImages(GmsdWalk{pyiqa}, {{2, 2, 3}, {101, 67, 3}, {67, 101, 1}, {64, 64, 3}}, 0.0);
  }
}

// Nothing but the border of zeros has an edge; black has none at all.
TEST(GmsdWalks, FlatImagesAreNearTheProgram) {
  ForFlatImages(GmsdWalk{}, {{2, 2, 3}, {69, 66, 3}, {72, 80, 1}}, [](const Pair& pair) {
    ExpectNear(pair, kNearWhereFlat);
    ExpectDeviationOfMap(pair);
  });
}

// Four samples at a time, and one.
TEST(GmsdWalks, Float16IsFloatRounded) {
  ExpectFloat16IsFloatRounded(GmsdWalk{}, {{72, 9, 3}, {68, 6, 1}, {17, 23, 3}});
}

TEST(GmsdWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany({GmsdWalk{}, GmsdWalk{true}}, {{2, 2, 1}, {17, 23, 3}, {104, 67, 3}, {17, 23, 3}});
}

TEST(GmsdWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{17, 23, 3}, {101, 67, 3}, {64, 64, 1}};
  EXPECT_EQ(LaunchesOf(GmsdWalk{}, sizes, false), 2);
  EXPECT_EQ(LaunchesOf(GmsdWalk{}, sizes, true), 3);
}

}  // namespace
}  // namespace likeness::cuda
