// FLIP's fused walk under CUDA, run on the CPU: against its program, in batches, with identical images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/metrics/flip/flip_math.h"
#include "kernels/walks/walk.h"
#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

// Sums of another order differ in their last bits. A difference of features is lifted by its square root: near the
// floor under which it counts as none, 1e-7 become 1e-4, and 7e-4 where the two fall on different sides of it. So the
// gradient, which has that root's slope, is compared by its mean.
constexpr Nearness kNear{5e-6, 1e-3, 1e-4};

void ExpectNear(const Pair& pair, double ppd = kFlipPpd) {
  ExpectNearProgram(pair, "flip", {{"ppd", ppd}}, FlipWalk{ppd}, kNear);
}

TEST(FlipWalks, EveryTypeAndLayoutIsNearTheProgram) {
  ForEveryTypeAndLayout({67, 5, 1}, [](const Pair& pair) { ExpectNear(pair); });
}

// One pixel, strips of the width of a block and of one pixel more, the walk's (64) and the gradient's (108), several
// bands and strips with tails.
TEST(FlipWalks, EverySizeIsNearTheProgram) {
  ForEverySize({{1, 1, 1},
                {1, 1, 3},
                {1, 37, 3},
                {37, 1, 3},
                {64, 13, 3},
                {65, 12, 3},
                {108, 9, 1},
                {109, 9, 3},
                {217, 130, 1},
                {63, 131, 1},
                {301, 197, 3}},
               [](const Pair& pair) { ExpectNear(pair); });
}

TEST(FlipWalks, MixedTypesAndLayouts) {
  ForMixedTypesAndLayouts([](const Pair& pair) { ExpectNear(pair); });
}

TEST(FlipWalks, NarrowerFiltersAreNearTheProgram) {
  for (const double ppd : {1.0, 9.0, 30.0, kFlipWalkMostPpd}) {
    SCOPED_TRACE(ppd);
    ExpectNear(GoldenPair(70, 67, 3, PixelType::kUint8, Layout::kHwc), ppd);
  }
}

TEST(FlipWalks, WiderFiltersAreTheProgrammes) {
  const Pair pair = GoldenPair(17, 23, 3, PixelType::kUint8, Layout::kHwc);
  const auto takes = [&](double ppd) {
    const std::string convention = "nvidia";
    const Parameters parameters = {{"ppd", ppd}};
    const std::optional<WalkRequest> request = FindProgram("flip")->walk(Settings(convention, parameters));
    WalkRequest asked;
    asked.walk = FlipWalk{ppd};
    EXPECT_EQ(request.has_value(), CheckWalk(asked, pair.reference.view, pair.distorted.view).ok()) << ppd;
    return request.has_value();
  };
  EXPECT_TRUE(takes(kFlipPpd));
  EXPECT_TRUE(takes(kFlipWalkMostPpd));
  EXPECT_FALSE(takes(73.5));
  EXPECT_FALSE(takes(400.0));
}

TEST(FlipWalks, IdentityIsExact) { ExpectIdenticalImages(FlipWalk{}, {{101, 67, 3}, {67, 101, 1}}, 0.0); }

TEST(FlipWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany({FlipWalk{}, FlipWalk{30.0}}, {{1, 1, 1}, {17, 23, 3}, {101, 67, 3}, {17, 23, 3}});
}

TEST(FlipWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{17, 23, 3}, {101, 67, 3}, {64, 64, 1}};
  EXPECT_EQ(LaunchesOf(FlipWalk{}, sizes, false), 2);
  EXPECT_EQ(LaunchesOf(FlipWalk{}, sizes, true), 3);
}

}  // namespace
}  // namespace likeness::cuda
