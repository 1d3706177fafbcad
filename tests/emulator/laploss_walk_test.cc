// The Laplacian pyramid loss's fused walk under CUDA, run on the CPU: against its program, in batches, with identical
// and flat images.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

// Bands and maps are the program's to the bit, and with them the signs that the gradient is made of. Sums and the
// filter's transpose go in other orders.
constexpr Nearness kNear{2e-7, 0.0, 1e-6};
// Where all signs of a band are one, the filter's transpose takes nearly all away again.
constexpr Nearness kNearWhereFlat{2e-7, 0.0, 2e-5};

struct Convention {
  const char* name;
  LapLossWalk walk;
};
const Convention kConventions[] = {
    {"faceswap", {true, true}}, {"faceswap_scalar", {false, true}}, {"glo", {false, false}}};

// The map is asked of the first convention, which has one.
void ExpectNear(const Pair& pair, const Nearness& most = kNear) {
  ExpectNearProgram(pair, "laploss", {}, kConventions[0].walk, most, 0);
  for (const int which : {1, 2}) {
    SCOPED_TRACE(kConventions[which].name);
    ExpectNearProgram(pair, "laploss", {}, kConventions[which].walk, most, which);
  }
}

// One launch holds levels of up to 64 samples a side; others have tiles (64 columns, 32 rows of three channels or 96 of
// one). One more and less, at the first level and at the last, and sides whose halves are odd at each level.
const std::vector<Size> kSizes = {
    {32, 32, 1},  {32, 32, 3},   {33, 63, 3},   {63, 33, 1},   {64, 96, 1},   {65, 97, 1},   {66, 98, 1},
    {66, 34, 3},  {64, 64, 3},   {67, 65, 3},   {127, 95, 3},  {95, 127, 1},  {128, 128, 3}, {129, 130, 1},
    {132, 68, 3}, {301, 197, 3}, {129, 193, 1}, {62, 130, 3},  {260, 36, 3},  {36, 260, 3},  {192, 96, 3},
    {515, 70, 3}, {71, 519, 1},  {1039, 32, 1}, {1045, 33, 3}, {34, 1063, 3}, {33, 1570, 1}, {1061, 48, 1},
};

TEST(LapLossWalks, EveryTypeAndLayoutIsNearTheProgram) {
  for (const PixelType type : kTypes) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(PixelTypeName(type));
      ExpectNear(GoldenPair(69, 35, 3, type, layout, type == PixelType::kUint8 ? 3 : 0));
      ExpectNear(GoldenPair(72, 36, 3, type, layout));
      ExpectNear(GoldenPair(68, 35, 1, type, layout));
    }
  }
}

TEST(LapLossWalks, EverySizeIsNearTheProgram) {
  ForEverySize(kSizes, [](const Pair& pair) { ExpectNear(pair); });
}

// Places in it are quotients of 64-bit numbers.
TEST(LapLossWalks, AWideImageIsNearTheProgram) {
  ExpectNear(GoldenPair(32801, 32, 1, PixelType::kUint8, Layout::kHwc));
}

TEST(LapLossWalks, MixedTypesAndLayouts) {
  for (const Layout reference : kLayouts) {
    for (const Layout distorted : kLayouts) {
      for (const int width : {53, 68}) {
        Pair pair = GoldenPair(width, 40, 3, PixelType::kUint8, distorted);
        pair.reference = GoldenPair(width, 40, 3, PixelType::kFloat32, reference).reference;
        ExpectNear(pair);
      }
    }
  }
}

TEST(LapLossWalks, OtherScalesAreNearTheProgram) {
  ForTenBits(33, [](const Pair& pair) { ExpectNear(pair); });
}

TEST(LapLossWalks, EveryConventionIsAWalk) {
  const Parameters parameters;
  for (const Convention& convention : kConventions) {
    const auto request = FindProgram("laploss")->walk(Settings(convention.name, parameters));
    ASSERT_TRUE(request.has_value());
    const auto& walk = std::get<LapLossWalk>(request->walk);
    EXPECT_EQ(walk.enlarged, convention.walk.enlarged);
    EXPECT_EQ(walk.residual, convention.walk.residual);
  }
}

TEST(LapLossWalks, Takes32PixelsASideAndMore) {
  EXPECT_TRUE(Takes(LapLossWalk{}, 32, 32));
  EXPECT_FALSE(Takes(LapLossWalk{}, 31, 32));
  EXPECT_FALSE(Takes(LapLossWalk{}, 32, 31));
}

TEST(LapLossWalks, IdentityIsExact) {
  ExpectIdenticalImages(LapLossWalk{}, {{32, 32, 3}, {101, 67, 3}, {67, 101, 1}, {64, 64, 3}}, 0.0);
}

// A constant error is in the residual alone, but for what the taps' rounding leaves of it in the bands, whose signs
// mean nothing.
TEST(LapLossWalks, FlatImagesAreNearTheProgram) {
  ForFlatImages(LapLossWalk{}, {{32, 32, 3}, {69, 66, 3}, {72, 100, 1}},
                [](const Pair& pair) { ExpectNear(pair, kNearWhereFlat); });
}

// Four samples at a time, and one.
TEST(LapLossWalks, Float16IsFloatRounded) {
  ExpectFloat16IsFloatRounded(LapLossWalk{}, {{72, 40, 3}, {68, 36, 1}, {33, 41, 3}});
}

TEST(LapLossWalks, BitsDoNotDependOnCompany) {
  const std::vector<Size> sizes = {{32, 32, 1}, {37, 43, 3}, {134, 67, 3}, {37, 43, 3}, {1041, 35, 3}};
  ExpectBitsDoNotDependOnCompany({LapLossWalk{}, LapLossWalk{}}, sizes);
  ExpectBitsDoNotDependOnCompany({LapLossWalk{false, true}, LapLossWalk{false, false}}, sizes);
}

// With the map. Gray images and coloured ones are read by two launches, and have two for their gradients.
TEST(LapLossWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> small = {{37, 43, 3}, {101, 67, 3}, {128, 128, 3}}, mixed = {{37, 43, 3}, {64, 64, 1}};
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, small, false), 4);
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, small, true), 5);
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, mixed, false), 5);
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, mixed, true), 7);
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, {{1045, 33, 3}}, false), 7);
  EXPECT_EQ(LaunchesOf(LapLossWalk{}, {{1045, 33, 3}}, true), 12);
}

}  // namespace
}  // namespace likeness::cuda
