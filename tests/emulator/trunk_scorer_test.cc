// The learned metrics on the emulated GPU, with synthetic weights, against the same programs in double: odd and minimum
// sizes, gray images, both precisions.
#include "tests/emulator/trunk_scorer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/scorer.h"
#include "tests/emulator/control.h"
#include "tests/support/scoring.h"
#include "tests/support/weights.h"

namespace likeness::testing {
namespace {

const Scorer& Oracle() {
  static const std::unique_ptr<Scorer> scorer = MakeScorer(Backend::kCpu, SyntheticFolder());
  return *scorer;
}
const Scorer& OnCuda() {
  static const std::unique_ptr<Scorer> scorer = MakeScorer(Backend::kCuda, SyntheticFolder());
  return *scorer;
}

struct Case {
  const char* metric;
  int width, height, channels;
};

MetricRequest RequestOf(const std::string& id, Precision precision) {
  MetricRequest request = Request(id, {}, !absl::StartsWith(id, "dists"), true);
  request.precision = precision;
  return request;
}

// The distance of two tensors, relative to the length of the second.
double Apart(const Tensor& a, const Tensor& b) {
  if (a.sample_count() != b.sample_count()) return INFINITY;
  double apart = 0.0, length = 0.0;
  for (std::int64_t i = 0; i < a.sample_count(); ++i) {
    apart += (double{a.data[i]} - b.data[i]) * (double{a.data[i]} - b.data[i]);
    length += double{b.data[i]} * b.data[i];
  }
  return apart == 0.0 ? 0.0 : std::sqrt(apart / length);
}

struct Tolerance {
  double score, map, gradient;
};

void ExpectNear(const Case& c, Precision precision, const Tolerance& tolerance) {
  SCOPED_TRACE(absl::StrCat(c.metric, " ", c.width, "x", c.height, "x", c.channels));
  const Pair pair = RandomFloatPair(c.width, c.height, c.channels, 7, /*flat=*/true);
  const ImageView r = pair.reference.view(), d = pair.distorted.view();
  const MetricResult on_cuda = ScoreOne(OnCuda(), RequestOf(c.metric, precision), r, d);
  const MetricResult expected = ScoreOne(Oracle(), RequestOf(c.metric, Precision::kExact), r, d);
  ASSERT_TRUE(on_cuda.status.ok()) << on_cuda.status;
  ASSERT_TRUE(expected.status.ok()) << expected.status;
  EXPECT_EQ(on_cuda.precision, precision);
  EXPECT_NEAR(on_cuda.score, expected.score, tolerance.score * expected.score);
  EXPECT_LE(Apart(on_cuda.map, expected.map), tolerance.map);
  EXPECT_LE(Apart(on_cuda.gradient, expected.gradient), tolerance.gradient);
}

constexpr Case kCases[] = {{"lpips_alex", 31, 31, 3},
                           {"lpips_alex", 45, 34, 1},
                           {"lpips_squeeze", 17, 23, 3},
                           {"lpips_squeeze", 40, 17, 1},
                           {"lpips_vgg", 16, 17, 3},
                           {"lpips_vgg", 35, 16, 1},
                           {"lpips_vgg:torchmetrics", 17, 23, 3},
                           {"lpips_alex:v0.0", 31, 33, 3},
                           {"lpips_vgg:v0.0", 17, 18, 1},
                           {"lpips_squeeze:v0.0", 19, 17, 3},
                           {"dists", 1, 1, 3},
                           {"dists", 2, 1, 3},
                           {"dists", 17, 23, 3},
                           {"dists", 7, 3, 1},
                           {"lpips_alex:faceswap", 63, 65, 3},
                           {"lpips_squeeze:faceswap", 70, 64, 3}};

TEST(CudaTrunks, ScoreAsTheOracleDoes) {
  for (const Case& c : kCases) {
    // Some hundred roundings to 6e-8 in a row, which mostly cancel; a ReLU or a maximum within rounding of a tie moves
    // single samples of a gradient.
    ExpectNear(c, Precision::kExact, {5e-6, 5e-6, 1e-3});
  }
}

// Half rounds to 5e-4, features and weights alike, and that moves some features across their ReLU.
TEST(CudaTrunks, FastScoresAreNear) {
  for (const Case& c : kCases) ExpectNear(c, Precision::kFast, {2e-3, 2e-3, 1e-1});
}

TEST(CudaTrunks, EqualImagesScoreZeroInBothPrecisions) {
  const Pair pair = ScenePair(45, 33);
  const Image copy = CopyOf(pair.reference).distorted;
  for (const char* metric : {"lpips_alex", "lpips_squeeze", "lpips_vgg", "dists"}) {
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      const MetricResult same = ScoreOne(OnCuda(), RequestOf(metric, precision), pair.reference.view(), copy.view());
      ASSERT_TRUE(same.status.ok()) << same.status;
      EXPECT_EQ(same.score, 0.0) << metric;
      EXPECT_EQ(SumAbs(same.map), 0.0) << metric;
      EXPECT_EQ(SumAbs(same.gradient), 0.0) << metric;
    }
  }
}

// Alone, beside others of its size and of another, and beside other metrics that share its convolutions.
TEST(CudaTrunks, SameBitsInAnyCompany) {
  const Pair pair = ScenePair(33, 31), other = ScenePair(40, 35);
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    std::vector<ResolvedMetric> metrics;
    std::vector<MetricResult> alone;
    for (const char* id : {"lpips_vgg", "lpips_alex", "dists", "lpips_vgg:torchmetrics"}) {
      const MetricRequest request = RequestOf(id, precision);
      metrics.push_back(*OnCuda().Resolve(request));
      EXPECT_STREQ(metrics.back().backend, "cuda");
      EXPECT_EQ(metrics.back().precision, precision);
      alone.push_back(ScoreOne(OnCuda(), request, pair.reference.view(), pair.distorted.view()));
      ASSERT_TRUE(alone.back().status.ok()) << alone.back().status;
    }
    std::vector<PairJob> jobs(4);
    std::vector<PairJob*> pointers;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const Pair& scored = i == 1 ? other : pair;
      jobs[i].reference = scored.reference.view();
      jobs[i].distorted = scored.distorted.view();
      jobs[i].metrics = metrics;
      pointers.push_back(&jobs[i]);
    }
    OnCuda().Score(pointers);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (i == 1) continue;
      for (std::size_t k = 0; k < metrics.size(); ++k) {
        const MetricResult& result = jobs[i].results[k];
        ASSERT_TRUE(result.status.ok()) << result.status;
        EXPECT_EQ(result.score, alone[k].score) << metrics[k].info->id;
        EXPECT_TRUE(SameBits(result.map, alone[k].map)) << metrics[k].info->id;
        EXPECT_TRUE(SameBits(result.gradient, alone[k].gradient)) << metrics[k].info->id;
      }
    }
  }
}

// Features of the reference stay on the GPU: no bit changes, and a score takes half the convolutions.
TEST(CudaTrunks, AKeptReferenceChangesNoBitAndSavesWork) {
  const Pair pair = ScenePair(24, 19), other = RandomFloatPair(24, 19, 3, 7, /*flat=*/false);
  const ImageView reference = pair.reference.view();
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    const auto metrics = ResolveAll(OnCuda(), {"lpips_vgg", "gmsd", "dists"}, precision, /*gradient=*/true);
    const auto of_other = ScoreKept(OnCuda(), metrics, reference, other.distorted.view(), nullptr);
    const auto of_pair = ScoreKept(OnCuda(), metrics, reference, pair.distorted.view(), nullptr);
    for (const std::int64_t capacity : {std::int64_t{0}, std::int64_t{50} << 10, std::int64_t{1} << 30}) {
      KeptReference kept(capacity);
      ExpectSame(ScoreKept(OnCuda(), metrics, reference, other.distorted.view(), &kept), of_other);
      EXPECT_EQ(kept.bytes() > 0, capacity > 0);
      EXPECT_LE(kept.bytes(), capacity);
      ExpectSame(ScoreKept(OnCuda(), metrics, reference, pair.distorted.view(), &kept), of_pair);
    }
  }
  const auto work = [&](KeptReference* kept) {
    const std::int64_t start = EmulatedWorkCount();
    ScoreKept(OnCuda(), ResolveAll(OnCuda(), {"lpips_vgg"}, Precision::kExact, false), reference, pair.distorted.view(),
              kept);
    return EmulatedWorkCount() - start;
  };
  std::int64_t with_features = 0;
  {
    KeptReference kept(std::int64_t{1} << 30);
    const std::int64_t whole = work(&kept);
    // VGG16 has 13 convolutions. Of those before, eight were calls of their own, and five shared with the other image.
    EXPECT_LE(work(&kept), whole - 8);
    with_features = EmulatedAllocationCount();
  }
  EXPECT_EQ(EmulatedAllocationCount(), with_features - 5);  // VGG16's taps
}

// A reference's pairs go where its features are, also in one batch with others.
TEST(CudaTrunks, KeptReferencesStayOnTheirGpu) {
  std::vector<std::unique_ptr<KeptReference>> kept;
  for (int i = 0; i < 3; ++i) kept.push_back(std::make_unique<KeptReference>(std::int64_t{1} << 30));
  SetEmulatedDevices({std::int64_t{2} << 30, std::int64_t{2} << 30});
  {
    const auto scorer = MakeScorer(Backend::kCuda, SyntheticFolder());
    ASSERT_EQ(scorer->devices().size(), 2u);
    const Pair pair = ScenePair(33, 31);
    const auto metrics = ResolveAll(*scorer, {"lpips_alex"}, Precision::kExact, true);
    const auto expected = ScoreKept(OnCuda(), ResolveAll(OnCuda(), {"lpips_alex"}, Precision::kExact, true),
                                    pair.reference.view(), pair.distorted.view(), nullptr);
    for (int round = 0; round < 2; ++round) {
      std::vector<PairJob> jobs(8);
      std::vector<PairJob*> pointers;
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        jobs[i].reference = pair.reference.view();
        jobs[i].distorted = pair.distorted.view();
        jobs[i].metrics = metrics;
        if (i % 4 < 3) jobs[i].kept = kept[i % 4].get();
        pointers.push_back(&jobs[i]);
      }
      scorer->Score(pointers);
      for (const PairJob& job : jobs) ExpectSame(job.results, expected);
      for (const auto& one : kept) EXPECT_GT(one->bytes(), 0);
    }
    for (const DeviceState& device : scorer->devices()) EXPECT_EQ(device.errors, 0);
  }
  kept.clear();  // after the scorer: the memory does not need it
  SetEmulatedDevices({std::int64_t{2} << 30});
}

// A plan reads no pixels: VGG16's features of a large image exceed the slot, and both figures are in the message.
TEST(CudaTrunks, RefusesWhatExceedsASlot) {
  ImageView view;
  view.width = 1920;
  view.height = 1080;
  view.channels = 3;
  view.row_bytes = 1920 * 3;
  const absl::Status refused =
      OnCuda().MakePlan(*OnCuda().Resolve(RequestOf("lpips_vgg", Precision::kExact)), view, view).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  // Half takes half of it.
  const auto bytes = [&](Precision precision) {
    ImageView small = view;
    small.width = small.height = 64;
    small.row_bytes = 64 * 3;
    return OnCuda().MakePlan(*OnCuda().Resolve(RequestOf("lpips_vgg", precision)), small, small)->workspace_bytes;
  };
  EXPECT_LT(bytes(Precision::kFast), 0.6 * bytes(Precision::kExact));
}

// Where cuDNN refuses a trunk's convolutions its metric is the CPU's, and the log's line says so.
TEST(CudaTrunks, StayOnTheCpuWhereCudnnRefuses) {
  const std::string folder = MakeFolder();
  WriteOwnWeights(folder, "lpips_alex", SyntheticWeights(kAlexTrunk));
  RefuseEmulatedConvolutions(1);
  const auto scorer = MakeScorer(Backend::kCuda, folder);
  RefuseEmulatedConvolutions(0);
  EXPECT_TRUE(absl::StrContains(scorer->cuda_note(), "lpips_alex stays on the CPU")) << scorer->cuda_note();
  EXPECT_STREQ(scorer->Resolve(Request("lpips_alex"))->backend, "cpu");
  EXPECT_STREQ(scorer->Resolve(Request("gmsd"))->backend, "cuda");
  const Pair pair = ScenePair(40, 33);
  const MetricResult result = ScoreOne(*scorer, Request("lpips_alex"), pair.reference.view(), pair.distorted.view());
  EXPECT_TRUE(result.status.ok()) << result.status;
}

// Weights that make features beyond 65504: the result is the exact one, and says so.
TEST(CudaTrunks, WhatLeavesTheRangeOfHalfIsComputedExactly) {
  const std::string folder = MakeFolder();
  Tensors tensors = SyntheticWeights(kVgg16Trunk);
  tensors["conv0.bias"][5] = 1e5f;  // read by the next convolution alone
  WriteOwnWeights(folder, "lpips_vgg", tensors);
  // Gradients beyond it, of a score that is finite.
  tensors = SyntheticWeights(kAlexTrunk);
  for (float& value : tensors["head0.weight"]) value *= 1e9f;
  WriteOwnWeights(folder, "lpips_alex", tensors);
  const auto scorer = MakeScorer(Backend::kCuda, folder);
  const Pair pair = ScenePair(40, 33);
  for (const char* metric : {"lpips_vgg", "lpips_alex"}) {
    const auto score = [&](Precision precision) {
      return ScoreOne(*scorer, RequestOf(metric, precision), pair.reference.view(), pair.distorted.view());
    };
    const MetricResult exact = score(Precision::kExact), fast = score(Precision::kFast);
    ASSERT_TRUE(fast.status.ok()) << fast.status;
    EXPECT_EQ(fast.precision, Precision::kExact) << metric;
    EXPECT_EQ(fast.score, exact.score);
    EXPECT_EQ(Apart(fast.gradient, exact.gradient), 0.0);
    EXPECT_TRUE(std::isfinite(SumAbs(exact.gradient))) << metric;
  }
  // Such features of a kept reference would not be looked through again, so they are not kept.
  KeptReference kept(std::int64_t{1} << 30);
  const auto exact = ScoreKept(*scorer, ResolveAll(*scorer, {"lpips_vgg"}, Precision::kExact, true),
                               pair.reference.view(), pair.distorted.view(), nullptr);
  for (int i = 0; i < 2; ++i) {
    ExpectSame(ScoreKept(*scorer, ResolveAll(*scorer, {"lpips_vgg"}, Precision::kFast, true), pair.reference.view(),
                         pair.distorted.view(), &kept),
               exact);
  }
}

}  // namespace
}  // namespace likeness::testing
