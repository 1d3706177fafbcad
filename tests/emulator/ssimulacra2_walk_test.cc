// SSIMULACRA 2's fused walk under CUDA, run on the CPU: against its program, in batches, with identical images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/walks/walk.h"
#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

// Variances are differences of window means, which float sums in another order here.
constexpr Nearness kNear{5e-5, 3e-4, 5e-4};

void ExpectNear(const Pair& pair) { ExpectNearProgram(pair, "ssimulacra2", {}, Ssimulacra2Walk{}, kNear); }

TEST(Ssimulacra2Walks, EveryTypeAndLayoutIsNearTheProgram) { ForEveryTypeAndLayout({35, 12, 1}, ExpectNear); }

// From two scales to all six, sides that are odd at any of them, several tiles, strips and marches with tails.
TEST(Ssimulacra2Walks, EverySizeIsNearTheProgram) {
  ForEverySize({{8, 8, 1},
                {8, 8, 3},
                {9, 15, 3},
                {8, 67, 3},
                {64, 65, 3},
                {121, 66, 1},
                {128, 71, 1},
                {129, 130, 1},
                {255, 161, 3},
                {301, 197, 3}},
               ExpectNear);
}

TEST(Ssimulacra2Walks, MixedTypesAndLayouts) { ForMixedTypesAndLayouts(ExpectNear); }

TEST(Ssimulacra2Walks, IdentityIsExact) {
  ExpectIdenticalImages(Ssimulacra2Walk{}, {{101, 67, 3}, {67, 101, 1}}, 100.0);
}

TEST(Ssimulacra2Walks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany({Ssimulacra2Walk{}}, {{8, 8, 1}, {17, 23, 3}, {101, 67, 3}, {17, 23, 3}});
}

TEST(Ssimulacra2Walks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{17, 23, 3}, {101, 67, 3}, {64, 64, 1}};
  EXPECT_EQ(LaunchesOf(Ssimulacra2Walk{}, sizes, false), 4);
  EXPECT_EQ(LaunchesOf(Ssimulacra2Walk{}, sizes, true), 7);
}

}  // namespace
}  // namespace likeness::cuda
