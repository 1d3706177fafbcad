// FFL's fused walk under CUDA, run on the CPU: against its program, in batches, with identical images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/walks/walk.h"
#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

// Scores and maps have the program's bits; gradients are rounded in another order.
constexpr Nearness kNear{0.0, 0.0, 1e-6};

void ExpectNearWith(const Pair& pair, const FflWalk& walk) {
  ExpectNearProgram(pair, "ffl",
                    {{"alpha", walk.alpha},
                     {"patch_factor", 1.0},
                     {"log_matrix", walk.log_matrix},
                     {"loss_weight", walk.loss_weight}},
                    walk, kNear);
}
void ExpectNear(const Pair& pair) { ExpectNearWith(pair, FflWalk{}); }

TEST(FflWalks, EveryTypeAndLayoutIsNearTheProgram) { ForEveryTypeAndLayout({35, 12, 1}, ExpectNear); }

// One column, one row, sides even and odd.
TEST(FflWalks, EverySizeIsNearTheProgram) {
  ForEverySize(
      {{1, 1, 3}, {1, 2, 1}, {1, 7, 3}, {7, 1, 1}, {2, 2, 3}, {3, 2, 1}, {16, 9, 3}, {64, 40, 1}, {101, 67, 3}},
      ExpectNear);
}

TEST(FflWalks, MixedTypesAndLayouts) { ForMixedTypesAndLayouts(ExpectNear); }

TEST(FflWalks, EveryWeightIsNearTheProgram) {
  const Pair pair = GoldenPair(33, 31, 3, PixelType::kUint8, Layout::kHwc);
  for (const double alpha : {0.5, 1.0, 2.0}) {
    for (const bool log_matrix : {false, true}) ExpectNearWith(pair, FflWalk{alpha, log_matrix, 3.0});
  }
}

TEST(FflWalks, PatchesAndTheOtherGradientAreThePrograms) {
  const Program* program = FindProgram("ffl");
  ASSERT_NE(program, nullptr);
  const auto walk = [&](const char* convention, double patch_factor) {
    const Parameters parameters = {
        {"alpha", 1.0}, {"patch_factor", patch_factor}, {"log_matrix", false}, {"loss_weight", 1.0}};
    return program->walk(Settings(convention, parameters)).has_value();
  };
  EXPECT_TRUE(walk("detached", 1.0));
  EXPECT_FALSE(walk("detached", 2.0));
  EXPECT_FALSE(walk("faceswap", 1.0));
}

TEST(FflWalks, IdentityIsExact) { ExpectIdenticalImages(FflWalk{}, {{31, 17, 3}, {17, 31, 1}}, 0.0); }

TEST(FflWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany({FflWalk{}, FflWalk{2.0, true}}, {{1, 1, 1}, {17, 23, 3}, {33, 20, 3}, {17, 23, 3}});
}

TEST(FflWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{17, 23, 3}, {33, 20, 3}, {16, 16, 1}};
  EXPECT_EQ(LaunchesOf(FflWalk{}, sizes, false), 7);
  EXPECT_EQ(LaunchesOf(FflWalk{}, sizes, true), 10);
}

}  // namespace
}  // namespace likeness::cuda
