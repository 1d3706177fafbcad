// The fused walks under CUDA, run on the CPU: against the same definitions in double (tests/unit/walk_naive.h), against
// the CPU's walks, in batches, with identical images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/walks/walk.h"
#include "tests/emulator/control.h"
#include "tests/emulator/walk_support.h"

namespace likeness::cuda {
namespace {

using walk_test::Naive;
using walk_test::NaiveResult;

std::vector<Walk> PointwiseWalks() {
  using enum PointwiseLoss;
  return {PointwiseWalk{kMeanAbsolute},
          PointwiseWalk{kMeanSquare},
          PointwiseWalk{kRootMeanSquare},
          PointwiseWalk{kSumSquare},
          PointwiseWalk{kMeanSigned},
          PointwiseWalk{kPsnr},
          PointwiseWalk{kPsnr, 1e-8},
          PointwiseWalk{kPsnr, 0.0, 20.0},
          PointwiseWalk{kMaximum},
          PointwiseWalk{kHuber, 0.05},
          PointwiseWalk{kSmoothL1, 0.05},
          PointwiseWalk{kSmoothL1, 0.0},
          PointwiseWalk{kLogCosh},
          PointwiseWalk{kCharbonnier, 1e-3},
          PointwiseWalk{kShiftedCharbonnier, 1.0 / 255},
          PointwiseWalk{kPinball, 0.3},
          PointwiseWalk{kPercentage, 0.01},
          PointwiseWalk{.loss = kBarron, .parameter = 1.5, .factor = 0.05},
          PointwiseWalk{.loss = kSymmetricPercentage, .factor = 2.0},
          PointwiseWalk{.loss = kSignedPercentage, .parameter = 0.01, .factor = 100.0}};
}

// Largest distance over the largest magnitude, or over `least` if that is more.
double TensorError(const Tensor& tensor, const walk_test::Planes& expected, double least) {
  EXPECT_EQ(tensor.width, expected.width);
  EXPECT_EQ(tensor.height, expected.height);
  EXPECT_EQ(tensor.channels, expected.channels);
  double error = 0.0, magnitude = least;
  for (int c = 0; c < expected.channels; ++c) {
    for (int y = 0; y < expected.height; ++y) {
      for (int x = 0; x < expected.width; ++x) {
        const double value = tensor.data[IndexIn(tensor, c, y, x)];
        if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
        error = std::max(error, std::abs(value - expected.at(c, y, x)));
        magnitude = std::max(magnitude, std::abs(expected.at(c, y, x)));
      }
    }
  }
  return error / magnitude;
}

// Tolerances are those of tests/unit/walk_test.cc, whose reasons hold here. Log cosh is the program's formula, which
// cancels above |e| = 0.05: 1e-7 of values from 1e-3 on.
void ExpectNearNaive(const Pair& pair, const std::vector<Walk>& walks) {
  const PairTask task = Scored(pair, walks);
  for (std::size_t i = 0; i < walks.size(); ++i) {
    SCOPED_TRACE("walk " + std::to_string(i));
    WalkRequest request;
    request.walk = walks[i];
    const NaiveResult expected = Naive(request, pair.reference.values, pair.distorted.values);
    const PairResult& actual = task.metrics[i].result;
    const bool windows = std::holds_alternative<SsimWalk>(walks[i]);
    const bool ssim = windows || std::holds_alternative<MsSsimWalk>(walks[i]);
    const auto* pointwise = std::get_if<PointwiseWalk>(&walks[i]);
    const bool log_cosh = pointwise != nullptr && pointwise->loss == PointwiseLoss::kLogCosh;
    const double scale = ssim ? 1.0 : std::max(std::abs(expected.score), 1e-9);
    EXPECT_NEAR(actual.score, expected.score, (ssim ? 1e-6 : log_cosh ? 1e-4 : 3e-5) * scale);
    EXPECT_LT(TensorError(actual.map, expected.map, ssim ? 1.0 : 1e-30), ssim ? 5e-5 : 3e-5) << "map";
    EXPECT_LT(TensorError(actual.gradient, expected.gradient, 1e-30), ssim ? 5e-4 : 3e-5) << "gradient";
    EXPECT_EQ(actual.gradient.layout, pair.distorted.view.layout);
    const bool inside = windows && std::get<SsimWalk>(walks[i]).border == Border::kValid;
    EXPECT_EQ(actual.map.offset_x, inside ? 5 : 0);
  }
}

// One block, a part of one, several rounds of one.
TEST(PointwiseWalks, EveryTypeAndLayoutIsNearTheNaiveVersion) {
  for (const Size& s : {Size{17, 23, 3}, {53, 21, 3}, {2048, 3, 1}}) {
    for (const PixelType type : kTypes) {
      for (const Layout layout : kLayouts) {
        SCOPED_TRACE(std::to_string(s.width) + "x" + std::to_string(s.height) + " " + PixelTypeName(type));
        ExpectNearNaive(GoldenPair(s.width, s.height, s.channels, type, layout, s.width == 17 ? 3 : 0),
                        PointwiseWalks());
      }
    }
  }
}

TEST(PointwiseWalks, ThinImages) {
  for (const Size& s : {Size{1, 1, 1}, {1, 37, 3}, {37, 1, 3}, {4, 3, 1}}) {
    ExpectNearNaive(GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc), PointwiseWalks());
  }
}

TEST(PointwiseWalks, LargeOddImageIsNearTheNaiveVersion) {
  for (const Layout layout : kLayouts) {
    ExpectNearNaive(GoldenPair(301, 197, 3, PixelType::kUint8, layout), PointwiseWalks());
  }
}

TEST(PointwiseWalks, MixedTypesAndLayouts) {
  const std::vector<Walk> walks = {PointwiseWalk{PointwiseLoss::kMeanSquare},
                                   PointwiseWalk{PointwiseLoss::kHuber, 0.05}};
  for (const PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    for (const Layout reference : kLayouts) {
      for (const Layout distorted : kLayouts) {
        Pair pair = GoldenPair(53, 29, 3, PixelType::kUint8, distorted);
        pair.reference = GoldenPair(53, 29, 3, type, reference).reference;
        ExpectNearNaive(pair, walks);
      }
    }
  }
}

// Blocks take several rounds here, and sums of bytes are the CPU's to the bit. Half a million samples of it suffice.
TEST(PointwiseWalks, BytesScoreAsOnTheCpu) {
  const Pair pair = GoldenPair(1933, 1111, 1, PixelType::kUint8, Layout::kHwc);
  using enum PointwiseLoss;
  const std::vector<Walk> walks = {PointwiseWalk{kMeanAbsolute}, PointwiseWalk{kMeanSquare}, PointwiseWalk{kPsnr},
                                   PointwiseWalk{kMeanSigned}, PointwiseWalk{kMaximum}};
  const PairTask task = Scored(pair, walks, false, false);
  for (std::size_t i = 0; i < walks.size(); ++i) {
    WalkRequest request;
    request.walk = walks[i];
    WalkRequest* const one[] = {&request};
    RunWalks(*GetWalkTable(WalkInstructionSets().back()), pair.reference.view, pair.distorted.view, one);
    EXPECT_EQ(task.metrics[i].result.score, request.score) << i;
  }
}

// Every uint8 and uint16 becomes the correctly rounded quotient. A map of |e| against zeros shows the values.
TEST(PointwiseWalks, ValuesAreRoundedQuotients) {
  const auto zero = [](int, int, int) { return 0; };
  for (const auto& [type, value_of_one] : {std::pair(PixelType::kUint8, 255.0), std::pair(PixelType::kUint8, 100.0),
                                           std::pair(PixelType::kUint16, 65535.0), std::pair(PixelType::kUint16, 255.0),
                                           std::pair(PixelType::kUint16, 1023.0)}) {
    const int width = type == PixelType::kUint8 ? 256 : 65536;
    Pair pair{walk_test::MakeImage(width, 1, 1, type, Layout::kHwc, zero),
              walk_test::MakeImage(width, 1, 1, type, Layout::kHwc, zero)};
    for (int x = 0; x < width; ++x) {
      const auto sample = static_cast<std::uint16_t>(x);
      if (type == PixelType::kUint8) pair.distorted.bytes[x] = static_cast<std::uint8_t>(x);
      if (type == PixelType::kUint16) std::memcpy(&pair.distorted.bytes[2 * x], &sample, 2);
    }
    std::fill(pair.reference.bytes.begin(), pair.reference.bytes.end(), 0);
    pair.distorted.view.value_of_one = value_of_one;
    const PairTask task = Scored(pair, {PointwiseWalk{PointwiseLoss::kMeanAbsolute}}, true, false);
    for (int x = 0; x < width; ++x) {
      ASSERT_EQ(task.metrics[0].result.map.data[x], static_cast<float>(x) / static_cast<float>(value_of_one)) << x;
    }
  }
}

void ExpectIdentity(const std::vector<Walk>& walks, const Size& s) {
  for (const PixelType type : kTypes) {
    Pair pair = GoldenPair(s.width, s.height, s.channels, type, Layout::kHwc);
    pair.distorted = pair.reference;
    pair.distorted.view.data = pair.distorted.bytes.data();
    const PairTask task = Scored(pair, walks);
    for (std::size_t i = 0; i < walks.size(); ++i) {
      SCOPED_TRACE("walk " + std::to_string(i));
      const PairResult& result = task.metrics[i].result;
      double expected = 0.0;
      bool slopes = false;  // an error of either sign counts
      if (const auto* ssim = std::get_if<SsimWalk>(&walks[i])) {
        expected = ssim->scale + ssim->offset;
        for (std::int64_t k = 0; k < result.map.sample_count(); ++k) ASSERT_EQ(result.map.data[k], expected);
      } else if (std::holds_alternative<MsSsimWalk>(walks[i])) {
        expected = 1.0;
      } else {
        const auto& pointwise = std::get<PointwiseWalk>(walks[i]);
        slopes = pointwise.loss == PointwiseLoss::kMeanSigned || pointwise.loss == PointwiseLoss::kSignedPercentage;
        if (pointwise.loss == PointwiseLoss::kCharbonnier) expected = pointwise.parameter;
        if (pointwise.loss == PointwiseLoss::kPsnr) {
          expected = std::min(pointwise.cap, pointwise.parameter == 0 ? INFINITY : 80.0);
        }
      }
      EXPECT_EQ(result.score, expected);
      for (std::int64_t k = 0; !slopes && k < result.gradient.sample_count(); ++k) {
        ASSERT_EQ(result.gradient.data[k], 0.0f) << k;
      }
    }
  }
}

TEST(PointwiseWalks, IdentityIsExact) { ExpectIdentity(PointwiseWalks(), {101, 67, 3}); }

TEST(PointwiseWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany(PointwiseWalks(), {{1, 1, 1}, {17, 23, 3}, {64, 64, 3}, {64, 64, 3}, {141, 15, 1}});
}

struct GoldenRow {
  const char* name;
  Walk walk;
  double score, gradient_sum, gradient_magnitude, gradient_probe, score_b;
};

// Rows of tests/golden: the reference code's, in double.
void ExpectGolden(const std::vector<GoldenRow>& rows) {
  const Pair a = GoldenPair(256, 192, 3, PixelType::kUint8, Layout::kHwc);
  const Pair b = GoldenPair(67, 45, 3, PixelType::kUint8, Layout::kHwc);
  for (const GoldenRow& row : rows) {
    SCOPED_TRACE(row.name);
    const PairTask task = Scored(a, {row.walk});
    const PairResult& result = task.metrics[0].result;
    EXPECT_NEAR(result.score, row.score, 2e-6 * std::abs(row.score));
    double sum = 0.0, magnitude = 0.0;
    for (std::int64_t i = 0; i < result.gradient.sample_count(); ++i) {
      sum += result.gradient.data[i];
      magnitude += std::abs(result.gradient.data[i]);
    }
    EXPECT_NEAR(sum, row.gradient_sum, 1e-5 * row.gradient_magnitude);
    EXPECT_NEAR(magnitude, row.gradient_magnitude, 1e-5 * row.gradient_magnitude);
    EXPECT_NEAR(result.gradient.data[IndexIn(result.gradient, 0, 10, 20)], row.gradient_probe,
                1e-4 * std::abs(row.gradient_probe));
    EXPECT_NEAR(Scored(b, {row.walk}, false, false).metrics[0].result.score, row.score_b, 2e-6 * std::abs(row.score_b));
  }
}

std::vector<Walk> BorderedWalks() {
  return {SsimWalk{.border = Border::kReflect101}, SsimWalk{.border = Border::kZero}};
}

std::vector<Walk> SsimWalks() {
  return {SsimWalk{}, SsimWalk{.k2 = 0.05, .scale = -0.5, .offset = 0.5},
          SsimWalk{.scale = -1.0, .offset = 1.0, .border = Border::kReflect101},
          SsimWalk{.sigma = 2.5, .border = Border::kZero}};
}

TEST(SsimWalks, EveryTypeAndLayoutIsNearTheNaiveVersion) {
  for (const Size& s : {Size{11, 11, 1}, {11, 11, 3}, {12, 11, 3}, {11, 12, 1}, {17, 23, 3}, {53, 21, 3}}) {
    for (const PixelType type : kTypes) {
      for (const Layout layout : kLayouts) {
        SCOPED_TRACE(std::to_string(s.width) + "x" + std::to_string(s.height) + " " + PixelTypeName(type));
        ExpectNearNaive(GoldenPair(s.width, s.height, s.channels, type, layout, s.width == 17 ? 3 : 0), SsimWalks());
      }
    }
  }
}

// Several blocks and bands, with tails in both directions; blocks that have samples but no windows.
TEST(SsimWalks, LargeOddImageIsNearTheNaiveVersion) {
  for (const Layout layout : kLayouts) {
    const Pair pair = GoldenPair(301, 197, 3, PixelType::kUint8, layout);
    ExpectNearNaive(pair, {SsimWalk{}});
    ExpectNearNaive(pair, BorderedWalks());
  }
  for (const int width : {53, 54, 63, 64, 86}) {
    ExpectNearNaive(GoldenPair(width, 13, 3, PixelType::kUint8, Layout::kHwc), {SsimWalk{}});
  }
  for (const int width : {128, 129, 138, 160, 161, 170}) {
    ExpectNearNaive(GoldenPair(width, 13, 1, PixelType::kUint8, Layout::kHwc), {SsimWalk{}});
  }
  for (const int height : {32, 33, 42, 43}) {
    ExpectNearNaive(GoldenPair(13, height, 1, PixelType::kUint8, Layout::kHwc), {SsimWalk{}});
  }
}

// Blocks and bands end before, within and after what is mirrored; images so small that a sample is mirrored both ways,
// or whose edges leave nothing between them.
TEST(SsimWalks, BordersOfEveryWidthAreNearTheNaiveVersion) {
  for (const int width : {12, 13, 40, 41, 43, 45, 46, 47, 53}) {
    ExpectNearNaive(GoldenPair(width, 11, 3, PixelType::kUint8, Layout::kHwc), BorderedWalks());
  }
  for (const int width : {118, 120, 123, 125, 128, 150, 151, 155, 160}) {
    ExpectNearNaive(GoldenPair(width, 11, 1, PixelType::kUint8, Layout::kHwc), BorderedWalks());
  }
  for (const int height : {12, 13, 22, 23, 26, 27, 31, 32}) {
    ExpectNearNaive(GoldenPair(11, height, 1, PixelType::kUint8, Layout::kHwc), BorderedWalks());
  }
}

TEST(SsimWalks, MixedTypesAndLayouts) {
  for (const Layout reference : kLayouts) {
    for (const Layout distorted : kLayouts) {
      Pair pair = GoldenPair(53, 29, 3, PixelType::kUint8, distorted);
      pair.reference = GoldenPair(53, 29, 3, PixelType::kFloat32, reference).reference;
      ExpectNearNaive(pair, SsimWalks());
    }
  }
}

TEST(SsimWalks, IdentityIsExact) {
  ExpectIdentity(SsimWalks(), {101, 67, 3});
  ExpectIdentity(SsimWalks(), {101, 67, 1});
}

TEST(SsimWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany(SsimWalks(), {{11, 11, 1}, {17, 23, 3}, {101, 67, 3}, {101, 67, 3}, {141, 15, 1}});
}

TEST(MsSsimWalks, EveryTypeAndLayoutIsNearTheNaiveVersion) {
  for (const PixelType type : kTypes) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(PixelTypeName(type));
      ExpectNearNaive(GoldenPair(163, 178, 3, type, layout, type == PixelType::kUint8 ? 3 : 0), {MsSsimWalk{}});
    }
  }
}

// Sides that are odd at any of the scales, or at all of them; tiles that end anywhere.
TEST(MsSsimWalks, EverySizeIsNearTheNaiveVersion) {
  for (const Size& s : {Size{161, 161, 1}, {176, 161, 1}, {168, 172, 1}, {192, 200, 1}, {193, 256, 1}, {257, 170, 3}}) {
    SCOPED_TRACE(std::to_string(s.width) + "x" + std::to_string(s.height));
    ExpectNearNaive(GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc), {MsSsimWalk{}});
  }
}

TEST(MsSsimWalks, MixedTypesAndLayouts) {
  Pair pair = GoldenPair(171, 165, 3, PixelType::kUint8, Layout::kHwc);
  pair.reference = GoldenPair(171, 165, 3, PixelType::kFloat32, Layout::kChw).reference;
  ExpectNearNaive(pair, {MsSsimWalk{}});
}

TEST(MsSsimWalks, IdentityIsExact) {
  ExpectIdentity({MsSsimWalk{}}, {170, 163, 3});
  ExpectIdentity({MsSsimWalk{}}, {163, 170, 1});
}

TEST(MsSsimWalks, BitsDoNotDependOnCompany) {
  ExpectBitsDoNotDependOnCompany({MsSsimWalk{}, SsimWalk{}},
                                 {{161, 161, 1}, {170, 163, 3}, {161, 161, 1}, {225, 162, 3}});
}

// The one that goes on with the sums of all: a block of the smallest scale or of the largest.
TEST(MsSsimWalks, BitsDoNotDependOnWhichBlockIsLast) {
  const Pair pairs[] = {GoldenPair(225, 162, 3, PixelType::kUint8, Layout::kHwc),
                        GoldenPair(161, 170, 3, PixelType::kUint8, Layout::kHwc)};
  for (const bool want_gradient : {false, true}) {
    std::vector<PairTask> tasks;
    for (const bool rising : {false, true}) {
      RunEmulatedBlocksRising(rising);
      for (const Pair& pair : pairs) tasks.push_back(TaskOf(pair, {MsSsimWalk{}}, false, want_gradient));
      Score({&tasks[tasks.size() - 2], &tasks.back()});
    }
    RunEmulatedBlocksRising(false);
    for (int i = 0; i < 2; ++i) {
      const PairResult &falling = tasks[i].metrics[0].result, &rising = tasks[2 + i].metrics[0].result;
      EXPECT_TRUE(SameBits(falling.score, rising.score)) << falling.score << " " << rising.score;
      EXPECT_TRUE(SameBits(falling.gradient, rising.gradient));
    }
  }
}

TEST(MsSsimWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{161, 161, 3}, {192, 170, 3}, {201, 163, 3}};
  EXPECT_EQ(LaunchesOf(MsSsimWalk{}, sizes, false), 2);
  EXPECT_EQ(LaunchesOf(MsSsimWalk{}, sizes, true), 3);
}

TEST(SsimWalks, AFewLaunchesServeABatch) {
  const std::vector<Size> sizes = {{11, 11, 3}, {61, 17, 3}, {53, 43, 3}};
  for (const Walk& walk : BorderedWalks()) {
    const bool mirrored = std::get<SsimWalk>(walk).border == Border::kReflect101;
    EXPECT_EQ(LaunchesOf(walk, sizes, false), 2);
    EXPECT_EQ(LaunchesOf(walk, sizes, true), mirrored ? 3 : 2);
  }
}

TEST(SsimWalks, GoldenValues) {
  ExpectGolden({{"ssim wang", SsimWalk{}, 0.750497423, 0.03790042, 7.104858, -1.19985e-05, 0.753046856},
                {"ssim torchmetrics", SsimWalk{.border = Border::kReflect101}, 0.752736747, 0.0389843, 7.28496,
                 -1.09293e-05, 0.738435531},
                {"ssim fused-ssim", SsimWalk{.border = Border::kZero}, 0.765462262, 0.04846045, 6.723271, -1.09293e-05,
                 0.796272346}});
}

TEST(PointwiseWalks, GoldenValues) {
  using enum PointwiseLoss;
  ExpectGolden(
      {{"mae", PointwiseWalk{kMeanAbsolute}, 0.0384606056, -0.4358181, 0.9579942, -6.78168e-06, 0.0378157145},
       {"mse", PointwiseWalk{kMeanSquare}, 0.00396485042, -0.03651057, 0.07692121, -3.19138e-07, 0.00394640238},
       {"psnr piq", PointwiseWalk{kPsnr, 1e-8}, 24.017721, 39.99217, 84.25633, 0.000349571, 24.0379754},
       {"psnr exact", PointwiseWalk{kPsnr}, 24.0177319, 39.99227, 84.25654, 0.000349572, 24.0379864},
       {"huber", PointwiseWalk{kHuber, 0.05}, 0.00108292454, -0.01553705, 0.02677398, -1.59569e-07, 0.00106257958},
       {"smooth_l1", PointwiseWalk{kSmoothL1, 0.05}, 0.0216584909, -0.310741, 0.5354796, -3.19138e-06, 0.0212515916},
       {"charbonnier", PointwiseWalk{kCharbonnier, 1e-3}, 0.0385330102, -0.435287, 0.9539843, -6.77557e-06,
        0.0378922576},
       {"logcosh", PointwiseWalk{kLogCosh}, 0.00196942809, -0.01818866, 0.03822536, -1.5954e-07, 0.00196011706},
       {"smooth_loss", PointwiseWalk{kShiftedCharbonnier, 1.0 / 255}, 0.0351389422, -0.4290301, 0.913778, -6.68941e-06,
        0.0345138882},
       {"mbe", PointwiseWalk{kMeanSigned}, -0.0182552828, 1, 1, 6.78168e-06, -0.0166466144}});
}

}  // namespace
}  // namespace likeness::cuda
