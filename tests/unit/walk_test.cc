// The fused walks against naive versions in double that live here, on every instruction set of this processor.
#include "kernels/walks/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/parallel.h"
#include "kernels/image.h"
#include "tests/unit/walk_naive.h"

namespace likeness {
namespace {

using namespace walk_test;  // NOLINT(google-build-using-namespace): this file is its test

WalkRequest Pointwise(PointwiseLoss loss, double parameter = 0.0) {
  WalkRequest request;
  request.walk = PointwiseWalk{.loss = loss, .parameter = parameter};
  return request;
}

WalkRequest Ssim(SsimWalk ssim = {}) {
  WalkRequest request;
  request.walk = ssim;
  return request;
}

constexpr Border kBorders[] = {Border::kValid, Border::kReflect101, Border::kZero};

WalkRequest WithOutputs(WalkRequest request) {
  request.want_map = request.want_gradient = true;
  return request;
}

std::vector<WalkRequest> PointwiseRequests() {
  using enum PointwiseLoss;
  std::vector<WalkRequest> requests;
  requests.push_back(Pointwise(kMeanAbsolute));
  requests.push_back(Pointwise(kMeanSquare));
  requests.push_back(Pointwise(kRootMeanSquare));
  requests.push_back(Pointwise(kSumSquare));
  requests.push_back(Pointwise(kMeanSigned));
  requests.push_back(Pointwise(kPsnr));
  requests.push_back(Pointwise(kPsnr, 1e-8));
  requests.push_back(Pointwise(kMaximum));
  requests.push_back(Pointwise(kHuber, 0.05));
  requests.push_back(Pointwise(kSmoothL1, 0.05));
  requests.push_back(Pointwise(kSmoothL1, 0.0));
  requests.push_back(Pointwise(kLogCosh));
  requests.push_back(Pointwise(kCharbonnier, 1e-3));
  requests.push_back(Pointwise(kShiftedCharbonnier, 1.0 / 255));
  return requests;
}

std::vector<WalkRequest> AllRequests() {
  std::vector<WalkRequest> requests = PointwiseRequests();
  requests.push_back(Ssim());
  requests.push_back(Ssim({.k2 = 0.05, .scale = -0.5, .offset = 0.5}));
  requests.push_back(Ssim({.border = Border::kReflect101}));
  requests.push_back(Ssim({.sigma = 2.5, .scale = -1.0, .offset = 1.0, .border = Border::kReflect101}));
  requests.push_back(Ssim({.border = Border::kZero}));
  return requests;
}

void RunAll(absl::string_view isa, const Pair& pair, std::vector<WalkRequest>& requests) {
  std::vector<WalkRequest*> pointers;
  for (WalkRequest& request : requests) {
    ASSERT_TRUE(CheckWalk(request, pair.reference.view, pair.distorted.view).ok());
    pointers.push_back(&request);
  }
  RunWalks(*GetWalkTable(isa), pair.reference.view, pair.distorted.view, pointers);
}

double RunOne(absl::string_view isa, const Pair& pair, WalkRequest request) {
  std::vector<WalkRequest> requests;
  requests.push_back(std::move(request));
  RunAll(isa, pair, requests);
  return requests[0].score;
}

double TensorAt(const Tensor& tensor, int c, int y, int x) {
  const std::int64_t row = tensor.layout == Layout::kChw ? std::int64_t{c} * tensor.height + y : y;
  return tensor.layout == Layout::kChw ? tensor.data[row * tensor.width + x]
                                       : tensor.data[(row * tensor.width + x) * tensor.channels + c];
}

// Largest distance over the largest magnitude, or over `least` if that is more: the tensors' elements share one scale.
double TensorError(const Tensor& tensor, const Planes& expected, double least = 1e-30) {
  EXPECT_EQ(tensor.width, expected.width);
  EXPECT_EQ(tensor.height, expected.height);
  EXPECT_EQ(tensor.channels, expected.channels);
  double error = 0.0, magnitude = least;
  for (int c = 0; c < expected.channels; ++c) {
    for (int y = 0; y < expected.height; ++y) {
      for (int x = 0; x < expected.width; ++x) {
        const double value = TensorAt(tensor, c, y, x);
        if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
        error = std::max(error, std::abs(value - expected.at(c, y, x)));
        magnitude = std::max(magnitude, std::abs(expected.at(c, y, x)));
      }
    }
  }
  return error / magnitude;
}

std::vector<std::string> InstructionSets() {
  std::vector<std::string> names;
  for (const absl::string_view name : WalkInstructionSets()) names.emplace_back(name);
  return names;
}

class WalkTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Sets, WalkTest, ::testing::ValuesIn(InstructionSets()),
                         [](const auto& param) { return param.param; });

struct Shape {
  int width, height, channels;
};

// Float steps are 2^-24 of values up to 1, so that e carries about 1e-7; a difference of 1/255 and more is then right
// to 3e-5, sums of many are far better. SSIM's variances carry about 1e-7 against C2 = 9e-4 where the image is flat,
// which is some 1e-4 of S's partials; S itself feels it only as far as the images differ, and in the score it averages
// out. Any wrong tap, border or row is off by 1e-2 and more.
void ExpectNearNaive(absl::string_view isa, const Pair& pair, WalkRequest request, const std::string& where) {
  const NaiveResult expected = Naive(request, pair.reference.values, pair.distorted.values);
  std::vector<WalkRequest> requests;
  requests.push_back(WithOutputs(std::move(request)));
  RunAll(isa, pair, requests);
  const WalkRequest& actual = requests[0];
  const bool ssim = std::holds_alternative<SsimWalk>(actual.walk);
  const double scale = ssim ? 1.0 : std::max(std::abs(expected.score), 1e-9);
  EXPECT_NEAR(actual.score, expected.score, (ssim ? 1e-6 : 3e-5) * scale) << where;
  EXPECT_LT(TensorError(actual.map, expected.map, ssim ? 1.0 : 1e-30), ssim ? 5e-5 : 3e-5) << where << " map";
  EXPECT_LT(TensorError(actual.gradient, expected.gradient), ssim ? 5e-4 : 3e-5) << where << " gradient";
  EXPECT_EQ(actual.gradient.layout, pair.distorted.view.layout);
  EXPECT_EQ(actual.map.offset_x, ssim && std::get<SsimWalk>(actual.walk).border == Border::kValid ? 5 : 0);
}

TEST_P(WalkTest, EveryTypeAndLayoutIsNearTheNaiveVersion) {
  const Shape shapes[] = {{11, 11, 1}, {11, 11, 3}, {12, 11, 3}, {11, 12, 1}, {17, 23, 3}, {53, 21, 3}, {141, 15, 1}};
  for (const Shape& s : shapes) {
    for (const PixelType type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat16, PixelType::kFloat32}) {
      for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
        const Pair pair = GoldenPair(s.width, s.height, s.channels, type, layout, s.width == 17 ? 3 : 0);
        int index = 0;
        for (WalkRequest& request : AllRequests()) {
          ExpectNearNaive(GetParam(), pair, std::move(request),
                          absl::StrCat(s.width, "x", s.height, "x", s.channels, " ", PixelTypeName(type), " layout ",
                                       static_cast<int>(layout), " request ", index++));
        }
      }
    }
  }
}

// Several blocks and bands, with tails in both directions.
TEST_P(WalkTest, LargeOddImageIsNearTheNaiveVersion) {
  for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
    const Pair pair = GoldenPair(301, 197, 3, PixelType::kUint8, layout);
    for (const Border border : kBorders) ExpectNearNaive(GetParam(), pair, Ssim({.border = border}), "301x197");
    ExpectNearNaive(GetParam(), pair, Pointwise(PointwiseLoss::kMeanSquare), "301x197");
    ExpectNearNaive(GetParam(), pair, Pointwise(PointwiseLoss::kHuber, 0.05), "301x197");
  }
  const Pair tall = GoldenPair(47, 391, 3, PixelType::kFloat32, Layout::kHwc);
  for (const Border border : kBorders) ExpectNearNaive(GetParam(), tall, Ssim({.border = border}), "47x391");
  // The map ends before the last block begins, by as much as it can: its gradient comes from the left alone.
  for (const int width : {43, 44, 46, 53, 86}) {
    ExpectNearNaive(GetParam(), GoldenPair(width, 13, 3, PixelType::kUint8, Layout::kHwc), Ssim(), "narrow");
  }
  for (const int width : {128, 129, 133, 138, 139}) {
    ExpectNearNaive(GetParam(), GoldenPair(width, 13, 1, PixelType::kUint8, Layout::kHwc), Ssim(), "narrow");
  }
}

// Blocks end before, within and after what is mirrored on the right; images so low that a row is mirrored both ways.
TEST_P(WalkTest, BordersOfEveryWidthAreNearTheNaiveVersion) {
  for (const auto& [channels, widths] : {std::pair(3, std::pair(30, 48)), std::pair(1, std::pair(116, 140))}) {
    for (int width = widths.first; width < widths.second; ++width) {
      const Pair pair = GoldenPair(width, 11, channels, PixelType::kUint8, Layout::kHwc);
      ExpectNearNaive(GetParam(), pair, Ssim({.border = Border::kReflect101}), absl::StrCat(width, " mirrored"));
      ExpectNearNaive(GetParam(), pair, Ssim({.border = Border::kZero}), absl::StrCat(width, " zeros"));
    }
  }
  const Pair wide = GoldenPair(300, 11, 3, PixelType::kFloat16, Layout::kHwc);
  ExpectNearNaive(GetParam(), wide, Ssim({.border = Border::kReflect101}), "300x11");
}

TEST_P(WalkTest, ThinImages) {
  for (const Shape& s : {Shape{1, 1, 1}, Shape{1, 37, 3}, Shape{37, 1, 3}, Shape{4, 3, 1}}) {
    const Pair pair = GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc);
    for (WalkRequest& request : PointwiseRequests()) ExpectNearNaive(GetParam(), pair, std::move(request), "thin");
  }
}

TEST_P(WalkTest, MixedTypesAndLayouts) {
  Pair pair = GoldenPair(53, 29, 3, PixelType::kUint8, Layout::kHwc);
  for (const PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
      pair.reference = MakeImage(53, 29, 3, type, layout, ReferenceLevel);
      for (const Layout distorted : {Layout::kHwc, Layout::kChw}) {
        pair.distorted = GoldenPair(53, 29, 3, PixelType::kUint8, distorted).distorted;
        for (const Border border : kBorders) ExpectNearNaive(GetParam(), pair, Ssim({.border = border}), "mixed");
        ExpectNearNaive(GetParam(), pair, Pointwise(PointwiseLoss::kHuber, 0.05), "mixed");
        // Not its gradient: which samples tie for the maximum is a matter of the last bit here.
        EXPECT_NEAR(RunOne(GetParam(), pair, Pointwise(PointwiseLoss::kMaximum)),
                    Naive(Pointwise(PointwiseLoss::kMaximum), pair.reference.values, pair.distorted.values).score,
                    1e-6);
      }
    }
  }
}

struct GoldenRow {
  const char* name;
  WalkRequest request;
  double score, gradient_sum, gradient_magnitude, gradient_probe, score_b;
};

// As in tests/golden, made with the reference code in double. "sk wang" has its scores only: skimage's own gradient is
// not the derivative; "piq ssim" is the same score up to 1e-9 there and its gradient is autograd's.
TEST_P(WalkTest, GoldenValues) {
  using enum PointwiseLoss;
  std::vector<GoldenRow> rows;
  const auto add = [&](const char* name, WalkRequest request, double a, double sum, double magnitude, double probe,
                       double b) {
    rows.push_back({name, std::move(request), a, sum, magnitude, probe, b});
  };
  add("mae", Pointwise(kMeanAbsolute), 0.0384606056, -0.4358181, 0.9579942, -6.78168e-06, 0.0378157145);
  add("mse", Pointwise(kMeanSquare), 0.00396485042, -0.03651057, 0.07692121, -3.19138e-07, 0.00394640238);
  add("psnr piq", Pointwise(kPsnr, 1e-8), 24.017721, 39.99217, 84.25633, 0.000349571, 24.0379754);
  add("psnr exact", Pointwise(kPsnr), 24.0177319, 39.99227, 84.25654, 0.000349572, 24.0379864);
  add("huber", Pointwise(kHuber, 0.05), 0.00108292454, -0.01553705, 0.02677398, -1.59569e-07, 0.00106257958);
  add("smooth_l1", Pointwise(kSmoothL1, 0.05), 0.0216584909, -0.310741, 0.5354796, -3.19138e-06, 0.0212515916);
  add("charbonnier", Pointwise(kCharbonnier, 1e-3), 0.0385330102, -0.435287, 0.9539843, -6.77557e-06, 0.0378922576);
  add("fs logcosh", Pointwise(kLogCosh), 0.00196942809, -0.01818866, 0.03822536, -1.5954e-07, 0.00196011706);
  add("fs smooth_loss", Pointwise(kShiftedCharbonnier, 1.0 / 255), 0.0351389422, -0.4290301, 0.913778, -6.68941e-06,
      0.0345138882);
  add("mbe", Pointwise(kMeanSigned), -0.0182552828, 1, 1, 6.78168e-06, -0.0166466144);
  add("piq ssim / sk wang", Ssim(), 0.750497423, 0.03790042, 7.104858, -1.19985e-05, 0.753046856);
  add("torchmetrics ssim", Ssim({.border = Border::kReflect101}), 0.752736747, 0.0389843, 7.28496, -1.09293e-05,
      0.738435531);
  add("fused-ssim", Ssim({.border = Border::kZero}), 0.765462262, 0.04846045, 6.723271, -1.09293e-05, 0.796272346);
  const Pair a = GoldenPair(256, 192, 3, PixelType::kUint8, Layout::kHwc);
  const Pair b = GoldenPair(67, 45, 3, PixelType::kUint8, Layout::kHwc);
  for (GoldenRow& row : rows) {
    SCOPED_TRACE(row.name);
    // 2e-6: ten times what float sums lose. The table's gradients have seven digits and its probe six.
    std::vector<WalkRequest> requests;
    requests.push_back(WithOutputs(std::move(row.request)));
    RunAll(GetParam(), a, requests);
    EXPECT_NEAR(requests[0].score, row.score, 2e-6 * std::abs(row.score));
    double sum = 0.0, magnitude = 0.0;
    const Tensor& gradient = requests[0].gradient;
    for (std::int64_t i = 0; i < gradient.sample_count(); ++i) {
      sum += gradient.data[i];
      magnitude += std::abs(gradient.data[i]);
    }
    EXPECT_NEAR(sum, row.gradient_sum, 1e-5 * row.gradient_magnitude);
    EXPECT_NEAR(magnitude, row.gradient_magnitude, 1e-5 * row.gradient_magnitude);
    EXPECT_NEAR(TensorAt(gradient, 0, 10, 20), row.gradient_probe, 1e-4 * std::abs(row.gradient_probe));
    RunAll(GetParam(), b, requests);
    EXPECT_NEAR(requests[0].score, row.score_b, 2e-6 * std::abs(row.score_b));
  }
}

TEST_P(WalkTest, IdentityIsExact) {
  for (const PixelType type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat16, PixelType::kFloat32}) {
    for (const int channels : {1, 3}) {
      Pair pair = GoldenPair(301, 67, channels, type, Layout::kHwc);
      pair.distorted = pair.reference;
      pair.distorted.view.data = pair.distorted.bytes.data();
      std::vector<WalkRequest> requests;
      for (WalkRequest& request : AllRequests()) requests.push_back(WithOutputs(std::move(request)));
      RunAll(GetParam(), pair, requests);
      for (const WalkRequest& request : requests) {
        double expected = 0.0;
        bool signed_mean = false;
        if (const auto* ssim = std::get_if<SsimWalk>(&request.walk)) {
          expected = ssim->scale + ssim->offset;
          for (std::int64_t i = 0; i < request.map.sample_count(); ++i) ASSERT_EQ(request.map.data[i], expected);
        } else {
          const auto& pointwise = std::get<PointwiseWalk>(request.walk);
          signed_mean = pointwise.loss == PointwiseLoss::kMeanSigned;
          if (pointwise.loss == PointwiseLoss::kCharbonnier) continue;
          if (pointwise.loss == PointwiseLoss::kPsnr) {
            expected = pointwise.parameter == 0 ? std::numeric_limits<double>::infinity() : 80.0;
          }
        }
        EXPECT_EQ(request.score, expected);
        for (std::int64_t i = 0; i < request.gradient.sample_count() && !signed_mean; ++i) {
          ASSERT_EQ(request.gradient.data[i], 0.0f) << request.walk.index() << " at " << i;
        }
      }
    }
  }
}

TEST_P(WalkTest, FlatImages) {
  const auto flat = [](int level) { return [level](int, int, int) { return level; }; };
  for (const auto& [first, second] : {std::pair(0, 255), std::pair(0, 0), std::pair(255, 255), std::pair(128, 130),
                                      std::pair(0, 1), std::pair(255, 254)}) {
    const Pair pair{MakeImage(64, 64, 3, PixelType::kUint8, Layout::kHwc, flat(first)),
                    MakeImage(64, 64, 3, PixelType::kUint8, Layout::kHwc, flat(second))};
    for (WalkRequest& request : AllRequests()) {
      if (first == second) {  // the naive version is not exact here
        std::vector<WalkRequest> requests;
        requests.push_back(WithOutputs(std::move(request)));
        RunAll(GetParam(), pair, requests);
        for (const Tensor* tensor : {&requests[0].map, &requests[0].gradient}) {
          for (std::int64_t i = 0; i < tensor->sample_count(); ++i) ASSERT_TRUE(std::isfinite(tensor->data[i]));
        }
        continue;
      }
      ExpectNearNaive(GetParam(), pair, std::move(request), absl::StrCat(first, " and ", second));
    }
  }
  const Pair extreme{MakeImage(64, 64, 3, PixelType::kUint8, Layout::kHwc, flat(0)),
                     MakeImage(64, 64, 3, PixelType::kUint8, Layout::kHwc, flat(255))};
  EXPECT_NEAR(RunOne(GetParam(), extreme, Ssim()), 9.999e-05, 2e-7);
}

// Sums of bytes are exact, whatever their size, and in every path that adds them.
TEST_P(WalkTest, IntegerSumsAreExact) {
  const auto extreme = [](int y, int x, int c) { return (x * 5 + y * 3 + c) % 7 == 0 ? 255 : 0; };
  const Pair pair{MakeImage(1111, 301, 3, PixelType::kUint8, Layout::kHwc, extreme, 5),
                  MakeImage(1111, 301, 3, PixelType::kUint8, Layout::kHwc,
                            [&](int y, int x, int c) { return extreme(y + 1, x, c) == 255 ? 1 : 254; })};
  std::int64_t absolute = 0, square = 0, sum = 0;
  for (int y = 0; y < 301; ++y) {
    for (int x = 0; x < 1111; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int e = (extreme(y + 1, x, c) == 255 ? 1 : 254) - extreme(y, x, c);
        absolute += std::abs(e), square += e * e, sum += e;
      }
    }
  }
  const double count = 1111.0 * 301 * 3;
  using enum PointwiseLoss;
  const std::tuple<WalkRequest, double> cases[] = {
      {Pointwise(kMeanAbsolute), static_cast<double>(absolute) / 255 / count},
      {Pointwise(kMeanSquare), static_cast<double>(square) / (255.0 * 255) / count},
      {Pointwise(kMeanSigned), static_cast<double>(sum) / 255 / count},
      {Pointwise(kMaximum), 254.0 / 255}};
  for (const auto& [request, expected] : cases) {
    for (const bool map : {false, true}) {
      WalkRequest copy;
      copy.walk = request.walk;
      copy.want_map = map;  // sends it through the tiles
      EXPECT_EQ(RunOne(GetParam(), pair, std::move(copy)), expected);
    }
  }
}

// Every uint8 and uint16 becomes the correctly rounded quotient. A map of |e| against zeros shows the values.
TEST_P(WalkTest, ValuesAreRoundedQuotients) {
  for (const auto& [type, value_of_one] : {std::pair(PixelType::kUint8, 255.0), std::pair(PixelType::kUint8, 100.0),
                                           std::pair(PixelType::kUint16, 65535.0), std::pair(PixelType::kUint16, 255.0),
                                           std::pair(PixelType::kUint16, 1023.0), std::pair(PixelType::kUint16, 1.0)}) {
    const int width = type == PixelType::kUint8 ? 256 : 65536;
    const auto zero = [](int, int, int) { return 0; };
    Pair pair{MakeImage(width, 1, 1, PixelType::kFloat32, Layout::kHwc, zero),
              MakeImage(width, 1, 1, type, Layout::kHwc, zero)};
    for (int x = 0; x < width; ++x) {
      if (type == PixelType::kUint8) pair.distorted.bytes[x] = static_cast<std::uint8_t>(x);
      if (type == PixelType::kUint16) {
        const auto sample = static_cast<std::uint16_t>(x);
        std::memcpy(&pair.distorted.bytes[2 * x], &sample, 2);
      }
    }
    pair.distorted.view.value_of_one = value_of_one;
    std::vector<WalkRequest> requests;
    requests.push_back(WithOutputs(Pointwise(PointwiseLoss::kMeanAbsolute)));
    RunAll(GetParam(), pair, requests);
    for (int x = 0; x < width; ++x) {
      ASSERT_EQ(requests[0].map.data[x], static_cast<float>(x) / static_cast<float>(value_of_one)) << x;
    }
  }
}

bool SameTensor(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         std::memcmp(a.data.get(), b.data.get(), static_cast<std::size_t>(a.sample_count()) * sizeof(float)) == 0;
}

// The same bits at any thread count, alone or in company, with outputs or without.
TEST_P(WalkTest, BitsDoNotDependOnCompany) {
  for (const PixelType type : {PixelType::kUint8, PixelType::kFloat32}) {
    for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
      const Pair pair = GoldenPair(301, 391, 3, type, layout);
      const std::size_t count = AllRequests().size();
      std::vector<WalkRequest> together;
      for (WalkRequest& request : AllRequests()) together.push_back(WithOutputs(std::move(request)));
      ThreadPool(1).Run([&] { RunAll(GetParam(), pair, together); });
      for (const int threads : {2, 7}) {
        std::vector<WalkRequest> again;
        for (WalkRequest& request : AllRequests()) again.push_back(WithOutputs(std::move(request)));
        ThreadPool(threads).Run([&] { RunAll(GetParam(), pair, again); });
        for (std::size_t k = 0; k < count; ++k) {
          EXPECT_EQ(again[k].score, together[k].score);
          EXPECT_TRUE(SameTensor(again[k].map, together[k].map));
          EXPECT_TRUE(SameTensor(again[k].gradient, together[k].gradient));
        }
      }
      for (std::size_t k = 0; k < count; ++k) {
        EXPECT_EQ(RunOne(GetParam(), pair, std::move(AllRequests()[k])), together[k].score) << k;
        for (const auto& [map, gradient] : {std::pair(true, false), std::pair(false, true)}) {
          std::vector<WalkRequest> alone;
          alone.push_back(std::move(AllRequests()[k]));
          alone[0].want_map = map;
          alone[0].want_gradient = gradient;
          RunAll(GetParam(), pair, alone);
          EXPECT_EQ(alone[0].score, together[k].score) << k;
          EXPECT_TRUE(!map || SameTensor(alone[0].map, together[k].map)) << k;
          EXPECT_TRUE(!gradient || SameTensor(alone[0].gradient, together[k].gradient)) << k;
          EXPECT_EQ(alone[0].map.empty(), !map);
          EXPECT_EQ(alone[0].gradient.empty(), !gradient);
        }
      }
      // One with a gradient beside one without.
      std::vector<WalkRequest> mixed;
      for (std::size_t k = 0; k < count; ++k) {
        mixed.push_back(std::move(AllRequests()[k]));
        mixed[k].want_gradient = k % 2 == 0;
      }
      RunAll(GetParam(), pair, mixed);
      for (std::size_t k = 0; k < count; ++k) EXPECT_EQ(mixed[k].score, together[k].score) << k;
    }
  }
}

TEST_P(WalkTest, FloatValuesOutsideOfTheUnitRange) {
  Pair pair = GoldenPair(67, 45, 3, PixelType::kFloat32, Layout::kHwc);
  std::minstd_rand random(5);
  for (TestImage* image : {&pair.reference, &pair.distorted}) {
    for (int y = 0; y < 45; ++y) {
      for (int x = 0; x < 67; ++x) {
        for (int c = 0; c < 3; ++c) {
          const float value = static_cast<float>(random() % 4096) / 1024.0f - 1.5f;
          std::memcpy(&image->bytes[static_cast<std::size_t>(((y * 67) + x) * 3 + c) * 4], &value, 4);
          image->values.at(c, y, x) = value;
        }
      }
    }
  }
  for (WalkRequest& request : AllRequests()) ExpectNearNaive(GetParam(), pair, std::move(request), "wild");
}

TEST_P(WalkTest, PsnrCap) {
  const Pair pair = GoldenPair(67, 45, 3, PixelType::kUint8, Layout::kHwc);
  WalkRequest request;
  request.walk = PointwiseWalk{.loss = PointwiseLoss::kPsnr, .cap = 20.0};
  ExpectNearNaive(GetParam(), pair, std::move(request), "capped");
}

TEST(CheckWalkTest, NamesWhatDoesNotFit) {
  const Pair pair = GoldenPair(10, 20, 3, PixelType::kUint8, Layout::kHwc);
  const ImageView& view = pair.reference.view;
  const auto code = [&](const WalkRequest& request, const ImageView& r, const ImageView& d) {
    return CheckWalk(request, r, d).code();
  };
  EXPECT_EQ(code(Pointwise(PointwiseLoss::kHuber, 0.1), view, view), absl::StatusCode::kOk);
  EXPECT_EQ(code(Ssim(), view, view), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Pointwise(PointwiseLoss::kHuber, -1), view, view), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Pointwise(PointwiseLoss::kHuber, NAN), view, view), absl::StatusCode::kInvalidArgument);
  ImageView other = view;
  other.width = 9;
  EXPECT_EQ(code(Pointwise(PointwiseLoss::kMeanAbsolute), view, other), absl::StatusCode::kInvalidArgument);
  other = view;
  other.channels = 4;
  EXPECT_EQ(code(Pointwise(PointwiseLoss::kMeanAbsolute), other, other), absl::StatusCode::kInvalidArgument);
  other = view;
  other.width = other.height = 11;
  EXPECT_EQ(code(Ssim(), other, other), absl::StatusCode::kOk);
  EXPECT_EQ(code(Ssim({.k1 = 0.0}), other, other), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Ssim({.border = Border::kReplicate}), other, other), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Ssim({.border = Border::kSymmetric}), other, other), absl::StatusCode::kInvalidArgument);
  WalkRequest flip;
  flip.walk = FlipWalk{};
  EXPECT_EQ(code(flip, view, view), absl::StatusCode::kOk);
  EXPECT_FALSE(RunsOnCpu(flip));
  flip.walk = FlipWalk{400.0};
  EXPECT_EQ(code(flip, view, view), absl::StatusCode::kInvalidArgument);
  WalkRequest ssimulacra2;
  ssimulacra2.walk = Ssimulacra2Walk{};
  EXPECT_EQ(code(ssimulacra2, view, view), absl::StatusCode::kOk);
  EXPECT_FALSE(RunsOnCpu(ssimulacra2));
  other.width = 7;
  EXPECT_EQ(code(ssimulacra2, other, other), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetWalkTable("avx9"), nullptr);
}

}  // namespace
}  // namespace likeness
