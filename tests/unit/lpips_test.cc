// LPIPS against PyTorch, on synthetic weights (tests/support/weights.h) and on the real ones, on every instruction set
// that runs here.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "tests/support/scoring.h"
#include "tests/support/weights.h"

namespace likeness::testing {
namespace {

const Scorer& LpipsScorer(const std::string& instruction_set, const std::string& folder, int threads = 2) {
  static std::map<std::string, std::unique_ptr<Scorer>> scorers;
  std::unique_ptr<Scorer>& scorer = scorers[absl::StrCat(instruction_set, "|", folder, "|", threads)];
  if (scorer == nullptr) {
    ScorerOptions options;
    options.instruction_set = instruction_set;
    options.weights_dir = folder;
    options.threads = threads;
    auto made = Scorer::Create(options);
    if (!made.ok()) ADD_FAILURE() << made.status();
    scorer = *std::move(made);
  }
  return *scorer;
}

double Mean(const Tensor& tensor) { return Sum(tensor) / static_cast<double>(tensor.sample_count()); }

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         (a.empty() || std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0);
}

// Printed digits of the source.
struct Golden {
  const char* metric;
  double score, gradient_sum, gradient_sum_abs, gradient_probe, map_mean, map_probe;
};

// digits: relative, of the source.
void CheckGolden(const Golden& golden, const std::string& folder, const std::string& set, const Pair& pair,
                 double digits) {
  SCOPED_TRACE(absl::StrCat(golden.metric, " on ", set));
  const MetricResult result = ScoreOne(LpipsScorer(set, folder), Request(golden.metric, {}, true, true),
                                       pair.reference.view(), pair.distorted.view());
  ASSERT_TRUE(result.status.ok()) << result.status;
  // In double: the source's digits, and for map and gradient that they are returned in float. In float: some 1e3
  // operations in a row that each round to 6e-8, which mostly cancel; a gradient also flips at a tie within rounding.
  const bool oracle = set == "oracle";
  const double score_tolerance = oracle ? digits : 2e-6;
  const double gradient_tolerance = oracle ? 1e-6 : 1e-3;
  EXPECT_NEAR(result.score, golden.score, score_tolerance * golden.score);
  EXPECT_NEAR(Mean(result.map), golden.map_mean, std::max(score_tolerance, 1e-7) * golden.map_mean);
  EXPECT_NEAR(At(result.map, 20, 10, 0), golden.map_probe, 10 * std::max(score_tolerance, 1e-7) * golden.map_probe);
  EXPECT_NEAR(Sum(result.gradient), golden.gradient_sum, gradient_tolerance * golden.gradient_sum_abs);
  EXPECT_NEAR(SumAbs(result.gradient), golden.gradient_sum_abs, gradient_tolerance * golden.gradient_sum_abs);
  const double typical = golden.gradient_sum_abs / static_cast<double>(result.gradient.sample_count());
  EXPECT_NEAR(At(result.gradient, 20, 10, 0), golden.gradient_probe,
              5 * gradient_tolerance * std::max(typical, std::fabs(golden.gradient_probe)));
}

TEST(Lpips, SyntheticWeightsGiveTheSpecifiedNumbers) {
  // tools/parity/learned_rows.py: PyTorch in float64, pair C.
  const Golden goldens[] = {
      {"lpips_alex", 0.00288783354, -0.03168423, 0.1511791, -1.32814e-05, 0.00288406073, 0.00286894793},
      {"lpips_vgg", 0.00264625305, -0.02718047, 0.07729528, -1.4629e-06, 0.00264625305, 0.0015927662},
      {"lpips_squeeze", 0.00268718505, -0.03818048, 0.3151352, 5.04916e-05, 0.00269248231, 0.0020379193},
      {"lpips_alex:v0.0", 0.00305153546833, -0.0351590647587, 0.155088768621, 1.59668192631e-05, 0.00304824437734,
       0.003412631952},
      {"lpips_vgg:v0.0", 0.00266379277673, -0.0303958242201, 0.0763785954639, -2.11019969486e-06, 0.00266379277673,
       0.0021732558297},
      {"lpips_squeeze:v0.0", 0.00290252317413, -0.0472234334384, 0.289204672849, -5.0500343774e-05, 0.00290631844999,
       0.00394662970895},
      // The same trunks and heads in faceswap's form, of which the score is the map's mean.
      {"faceswap/lpips_alex", 0.000330795916372, -0.0031914197, 0.018196904, -1.52455515e-06, 0.000330795916372,
       9.503497836e-05},
      {"faceswap/lpips_vgg16", 0.000268191283358, -0.002633343, 0.0076984615, -1.95286843e-07, 0.000268191283358,
       0.000121635788},
      {"faceswap/lpips_squeeze", 0.00027036869673, -0.0033977516, 0.032620018, 7.43772474e-06, 0.00027036869673,
       0.0001386242523}};
  for (const std::string& set : AllInstructionSets()) {
    for (const Golden& golden : goldens) CheckGolden(golden, SyntheticFolder(), set, GoldenPair("C"), 1e-8);
  }
}

TEST(Lpips, RealWeightsGiveWhatPyTorchGives) {
  const char* wanted = std::getenv("LIKENESS_TEST_WEIGHTS");
  if (wanted != nullptr && std::string(wanted) == "none") GTEST_SKIP() << "WEIGHTS=none";
  // tools/parity/learned_rows.py: PyTorch 1.13.1 and lpips 0.1.4 in float64, the scene pairs of tests/support/pairs.h.
  const struct {
    const char* pair;
    Golden golden;
  } rows[] = {{"C", {"lpips_alex", 0.036501006, 0.03804455, 13.1643, 0.0025094, 0.0365017378, 0.0344225315}},
              {"B", {"lpips_alex", 0.0230194238, 0.0126493, 6.932059, 0.00412847, 0.0230232391, 0.0233579694}},
              {"C", {"lpips_vgg", 0.22094133, 0.03863993, 45.52901, -0.00248036, 0.22094133, 0.215469149}},
              {"B", {"lpips_vgg", 0.187684864, 0.02128625, 35.63016, -0.00298069, 0.187707975, 0.174759935}},
              {"C",
               {"lpips_alex:v0.0", 0.0180059707226, -0.00409889204072, 6.47393602425, 0.00129142128106, 0.0180066207936,
                0.0164759652363}},
              {"B",
               {"lpips_alex:v0.0", 0.013655443842, -0.0258556533973, 4.41400336389, 0.00263446192704, 0.0136560135232,
                0.0122539056752}},
              {"C",
               {"lpips_vgg:v0.0", 0.0829507413776, 0.011776450059, 17.7282778254, -0.00207737230684, 0.0829507413776,
                0.10195589569}},
              {"B",
               {"lpips_vgg:v0.0", 0.0731850666791, 0.010195473934, 14.1628175009, -0.00505613271161, 0.0731865739884,
                0.0798556551765}}};
  // Its shift and scale are float32, which moves the score by some 1e-8.
  for (const std::string& set : AllInstructionSets()) {
    for (const auto& row : rows) CheckGolden(row.golden, LIKENESS_WEIGHTS_DIR, set, GoldenPair(row.pair), 1e-7);
  }
}

TEST(Lpips, ConventionsDifferWhereFeaturesAreSmall) {
  // The first convolution scaled by 2^-12, pair C; the script as above, for torchmetrics with its normalisation.
  const std::string folder = MakeFolder();
  Tensors tensors = SyntheticWeights(kAlexTrunk);
  for (const char* name : {"conv0.weight", "conv0.bias"}) {
    for (float& value : tensors[name]) value /= 4096.0f;
  }
  WriteOwnWeights(folder, "lpips_alex", tensors);
  const Scorer& oracle = LpipsScorer("oracle", folder);
  const Pair pair = GoldenPair("C");
  const auto check = [&](const std::string& id, double score, double gradient_sum_abs) {
    const MetricResult result =
        ScoreOne(oracle, Request(id, {}, false, true), pair.reference.view(), pair.distorted.view());
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_NEAR(result.score, score, 1e-8 * score) << id;
    EXPECT_NEAR(SumAbs(result.gradient), gradient_sum_abs, 1e-6 * gradient_sum_abs) << id;
  };
  check("lpips_alex:v0.1", 0.00226741394, 0.1140809);
  check("lpips_alex:torchmetrics", 0.00224635202, 0.1128259);
}

TEST(Lpips, GradientAgreesWithCentralDifferences) {
  // Odd and minimum sizes; gray images go through three equal channels. The step is exact in float.
  constexpr double kStep = 1.0 / 65536.0;
  const struct {
    const char* metric;
    int width, height, channels;
  } cases[] = {{"lpips_alex", 31, 37, 3},          {"lpips_alex", 45, 31, 1},     {"lpips_vgg", 16, 17, 3},
               {"lpips_vgg", 19, 16, 1},           {"lpips_squeeze", 17, 18, 3},  {"lpips_squeeze", 28, 17, 1},
               {"lpips_alex:faceswap", 63, 65, 3}, {"lpips_alex:v0.0", 33, 31, 1}};
  for (const auto& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.metric, " ", c.width, "x", c.height, "x", c.channels));
    const Scorer& oracle = LpipsScorer("oracle", SyntheticFolder());
    Pair pair = RandomFloatPair(c.width, c.height, c.channels, 5, /*flat=*/false);
    const auto score = [&](bool gradient) {
      return ScoreOne(oracle, Request(c.metric, {}, false, gradient), pair.reference.view(), pair.distorted.view());
    };
    const MetricResult at = score(true);
    ASSERT_TRUE(at.status.ok()) << at.status;
    const double typical = SumAbs(at.gradient) / static_cast<double>(at.gradient.sample_count());
    auto* pixels = static_cast<float*>(pair.distorted.data());
    for (const int i : {0, c.width * c.channels - 1, (c.height / 2 * c.width + c.width / 3) * c.channels,
                        c.width * c.height * c.channels - 1}) {
      const float kept = pixels[i];
      pixels[i] = static_cast<float>(kept + kStep);
      const double above = score(false).score;
      pixels[i] = static_cast<float>(kept - kStep);
      const double below = score(false).score;
      pixels[i] = kept;
      // A ReLU or a maximum may change sides within the step: a thousandth of a gradient's size is still no formula's.
      EXPECT_NEAR(at.gradient.data[i], (above - below) / (2 * kStep), 5e-3 * typical + 1e-9) << "sample " << i;
    }
  }
}

TEST(Lpips, EqualImagesScoreZeroAndScoresAreSymmetric) {
  for (const std::string& set : AllInstructionSets()) {
    for (const char* metric : {"lpips_alex", "lpips_vgg", "lpips_squeeze"}) {
      SCOPED_TRACE(absl::StrCat(metric, " on ", set));
      const Scorer& scorer = LpipsScorer(set, SyntheticFolder());
      const Pair pair = ScenePair(45, 33);
      const auto score = [&](const Image& a, const Image& b) {
        return ScoreOne(scorer, Request(metric, {}, true, true), a.view(), b.view());
      };
      const MetricResult same = score(pair.reference, CopyOf(pair.reference).distorted);
      EXPECT_EQ(same.score, 0.0);
      EXPECT_EQ(SumAbs(same.map), 0.0);
      EXPECT_EQ(SumAbs(same.gradient), 0.0);
      EXPECT_EQ(score(pair.reference, pair.distorted).score, score(pair.distorted, pair.reference).score);
      const MetricResult flat = score(Constant(45, 33, 0), Constant(45, 33, 255));
      EXPECT_GT(flat.score, 0.0);
      for (std::int64_t i = 0; i < flat.gradient.sample_count(); ++i) {
        ASSERT_TRUE(std::isfinite(flat.gradient.data[i]));
      }
    }
  }
}

// All features 0: no direction to compare, and a gradient of 0 rather than NaN.
TEST(Lpips, FeaturesOfZeroGiveZero) {
  const std::string folder = MakeFolder();
  Tensors tensors = SyntheticWeights(kAlexTrunk);
  for (auto& [name, values] : tensors) {
    if (absl::StrContains(name, "bias")) std::fill(values.begin(), values.end(), -1000.0f);
  }
  WriteOwnWeights(folder, "lpips_alex", tensors);
  for (const std::string& set : AllInstructionSets()) {
    const Pair pair = ScenePair(40, 40);
    const MetricResult result = ScoreOne(LpipsScorer(set, folder), Request("lpips_alex", {}, false, true),
                                         pair.reference.view(), pair.distorted.view());
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.score, 0.0);
    EXPECT_EQ(SumAbs(result.gradient), 0.0);
  }
}

TEST(Lpips, SameBitsAloneInABatchAndAtAnyThreadCount) {
  for (const std::string& set : AllInstructionSets()) {
    if (set == "oracle") continue;
    for (const char* metric : {"lpips_alex", "lpips_vgg", "lpips_squeeze"}) {
      SCOPED_TRACE(absl::StrCat(metric, " on ", set));
      const Pair pair = ScenePair(77, 51), other = ScenePair(64, 40);
      const MetricRequest request = Request(metric, {}, true, true);
      const MetricResult alone =
          ScoreOne(LpipsScorer(set, SyntheticFolder(), 1), request, pair.reference.view(), pair.distorted.view());
      ASSERT_TRUE(alone.status.ok()) << alone.status;
      const MetricResult no_outputs = ScoreOne(LpipsScorer(set, SyntheticFolder(), 1), Request(metric),
                                               pair.reference.view(), pair.distorted.view());
      EXPECT_EQ(no_outputs.score, alone.score);
      for (const int threads : {1, 2, 3}) {
        const Scorer& scorer = LpipsScorer(set, SyntheticFolder(), threads);
        const ResolvedMetric resolved = *scorer.Resolve(request);
        std::vector<PairJob> jobs(5);
        std::vector<PairJob*> pointers;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
          const Pair& scored = i == 2 ? other : pair;
          jobs[i].reference = scored.reference.view();
          jobs[i].distorted = scored.distorted.view();
          jobs[i].metrics = {&resolved, 1};
          pointers.push_back(&jobs[i]);
        }
        scorer.Score(pointers);
        for (std::size_t i = 0; i < jobs.size(); ++i) {
          if (i == 2) continue;
          EXPECT_EQ(jobs[i].results[0].score, alone.score) << threads << " threads";
          EXPECT_TRUE(SameBits(jobs[i].results[0].map, alone.map));
          EXPECT_TRUE(SameBits(jobs[i].results[0].gradient, alone.gradient));
        }
      }
    }
  }
}

// Conventions of one trunk share all of it, and DISTS the convolutions before its first pooling.
TEST(Lpips, NetworksShareTheConvolutionsThatTheyHaveInCommon) {
  const Pair pair = ScenePair(45, 33);
  const std::vector<MetricRequest> requests = {
      Request("lpips_vgg", {}, true, true), Request("lpips_vgg:torchmetrics", {}, false, true),
      Request("dists", {}, false, true), Request("dists"), Request("lpips_vgg:v0.0", {}, true, true)};
  for (const std::string& set : AllInstructionSets()) {
    SCOPED_TRACE(set);
    const Scorer& scorer = LpipsScorer(set, SyntheticFolder());
    std::vector<ResolvedMetric> metrics;
    for (const MetricRequest& request : requests) metrics.push_back(*scorer.Resolve(request));
    const auto explanation = scorer.Explain(metrics, pair.reference.view(), pair.distorted.view());
    ASSERT_TRUE(explanation.ok()) << explanation.status();
    EXPECT_TRUE(explanation->shares);
    std::map<std::vector<int>, int> convolutions;
    for (const Explanation::Step& step : explanation->shared) convolutions[step.metrics] += step.op == "ConvRelu";
    EXPECT_EQ((convolutions[{0, 1, 2, 3}]), 2 * 2);
    EXPECT_EQ((convolutions[{0, 1}]), 2 * 11);
    EXPECT_EQ((convolutions[{2, 3}]), 2 * 11);

    PairJob job;
    job.reference = pair.reference.view();
    job.distorted = pair.distorted.view();
    job.metrics = metrics;
    PairJob* jobs[] = {&job};
    scorer.Score(jobs);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_TRUE(job.results[i].status.ok()) << job.results[i].status;
      const MetricResult alone = ScoreOne(scorer, requests[i], job.reference, job.distorted);
      EXPECT_EQ(job.results[i].score, alone.score);
      EXPECT_TRUE(SameBits(job.results[i].map, alone.map));
      EXPECT_TRUE(SameBits(job.results[i].gradient, alone.gradient));
    }
  }
}

// Features of the reference are taken from the job before, and no bit changes: also not for other metrics of the same
// trunk, another background under alpha, or where there is no room.
TEST(Lpips, AKeptReferenceChangesNoBit) {
  const Pair first = ScenePair(45, 33), other = RandomFloatPair(45, 33, 4, 7, /*flat=*/false);
  const std::vector<std::vector<MetricRequest>> asked = {
      {Request("lpips_alex", {}, true, true), Request("lpips_alex:v0.0", {}, true, true)},
      {Request("lpips_vgg"), Request("lpips_alex"), Request("dists", {}, false, true), Request("mae")},
      {Request("lpips_vgg:torchmetrics", {}, true, true), Request("lpips_squeeze"), Request("dists")}};
  for (const std::string& set : AllInstructionSets()) {
    if (set == "oracle") continue;
    SCOPED_TRACE(set);
    const Scorer& scorer = LpipsScorer(set, SyntheticFolder());
    for (const std::int64_t capacity : {std::int64_t{0}, std::int64_t{1} << 20, std::int64_t{1} << 30}) {
      KeptReference kept(capacity);
      std::int64_t bytes = 0;
      for (const double background : {1.0, 0.25}) {
        for (const std::vector<MetricRequest>& requests : asked) {
          std::vector<ResolvedMetric> metrics;
          for (const MetricRequest& request : requests) metrics.push_back(*scorer.Resolve(request));
          std::vector<PairJob> jobs(4);  // the last two keep nothing
          std::vector<PairJob*> pointers;
          for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].reference = other.reference.view();
            jobs[i].distorted = i % 2 == 0 ? other.distorted.view() : first.distorted.view();
            jobs[i].metrics = metrics;
            jobs[i].alpha_background = background;
            jobs[i].kept = i < 2 ? &kept : nullptr;
            pointers.push_back(&jobs[i]);
          }
          scorer.Score(pointers);
          for (int i = 0; i < 2; ++i) {
            for (std::size_t k = 0; k < requests.size(); ++k) {
              const MetricResult &with = jobs[i].results[k], &without = jobs[i + 2].results[k];
              SCOPED_TRACE(absl::StrCat(requests[k].id, " ", i));
              ASSERT_TRUE(with.status.ok()) << with.status;
              EXPECT_EQ(with.score, without.score);
              EXPECT_TRUE(SameBits(with.map, without.map));
              EXPECT_TRUE(SameBits(with.gradient, without.gradient));
            }
          }
          EXPECT_GE(kept.bytes(), bytes);
          EXPECT_LE(kept.bytes(), capacity);
          bytes = kept.bytes();
        }
      }
      EXPECT_EQ(bytes > 0, capacity > 0);
    }
  }
}

// The gate of Precision::kFast: how far it may be off. Elsewhere it is what was computed that is said.
TEST(Lpips, FastIsCloseWhereTheProcessorHasIt) {
  const Pair pair = ScenePair(96, 64);
  for (const std::string& set : AllInstructionSets()) {
    if (set == "oracle") continue;
    for (const char* metric : {"lpips_alex", "lpips_vgg", "lpips_squeeze", "dists"}) {
      SCOPED_TRACE(absl::StrCat(metric, " on ", set));
      const Scorer& scorer = LpipsScorer(set, SyntheticFolder());
      MetricRequest request = Request(metric, {}, false, true);
      const MetricResult exact = ScoreOne(scorer, request, pair.reference.view(), pair.distorted.view());
      request.precision = Precision::kFast;
      const bool has_fast = set == "avx3" && HasFastConvolutions(ConvIsa::kAvx512);
      EXPECT_EQ(scorer.Resolve(request)->precision, has_fast ? Precision::kFast : Precision::kExact);
      const MetricResult fast = ScoreOne(scorer, request, pair.reference.view(), pair.distorted.view());
      ASSERT_TRUE(fast.status.ok()) << fast.status;
      EXPECT_EQ(fast.score == exact.score, !has_fast);
      EXPECT_NEAR(fast.score, exact.score, 0.02 * exact.score);
      double dot = 0.0, exact_squares = 0.0, fast_squares = 0.0;
      for (std::int64_t i = 0; i < exact.gradient.sample_count(); ++i) {
        const double a = exact.gradient.data[i], b = fast.gradient.data[i];
        dot += a * b;
        exact_squares += a * a;
        fast_squares += b * b;
      }
      EXPECT_GT(dot, 0.95 * std::sqrt(exact_squares * fast_squares));
      const MetricResult same = ScoreOne(scorer, request, pair.reference.view(), pair.reference.view());
      EXPECT_EQ(same.score, 0.0);
    }
  }
}

TEST(Lpips, RefusesWhatIsTooSmallOrTooLarge) {
  const Scorer& scorer = LpipsScorer("", SyntheticFolder());
  const Pair small = ScenePair(30, 200);
  const MetricResult result = ScoreOne(scorer, Request("lpips_alex"), small.reference.view(), small.distorted.view());
  EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(result.status.message(), "31x31")) << result.status;

  // faceswap's crop leaves nothing of AlexNet's last tap below 63.
  const Pair cropped = ScenePair(62, 200);
  const absl::Status nothing_left =
      ScoreOne(scorer, Request("faceswap/lpips_alex"), cropped.reference.view(), cropped.distorted.view()).status;
  EXPECT_EQ(nothing_left.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(nothing_left.message(), "larger images")) << nothing_left;

  // A plan reads no pixels. Large images go through in windows; of 15360x8640 it is the images themselves that are more
  // than the default slot of 2 GiB, both figures in the message.
  ImageView view;
  view.channels = 3;
  const auto plan_of = [&](const MetricRequest& request, int width, int height) {
    view.width = width;
    view.height = height;
    view.row_bytes = std::ptrdiff_t{width} * 3;
    return scorer.MakePlan(*scorer.Resolve(request), view, view);
  };
  for (const char* metric : {"lpips_alex", "lpips_vgg", "lpips_squeeze", "dists"}) {
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      for (const bool gradient : {false, true}) {
        const bool map = gradient && metric != std::string("dists");
        MetricRequest request = Request(metric, {}, map, gradient);
        request.precision = precision;
        for (const auto& [width, height] : {std::pair(1920, 1080), std::pair(3840, 2160), std::pair(4000, 3000)}) {
          EXPECT_TRUE(plan_of(request, width, height).ok()) << plan_of(request, width, height).status();
        }
        const absl::Status refused = plan_of(request, 15360, 8640).status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
        EXPECT_TRUE(absl::StrContains(refused.message(), "2147483648")) << refused;
      }
    }
  }
  // 40 G multiply-adds for the two images of 256x256: 13 convolutions of VGG16.
  const Plan plan = *plan_of(Request("lpips_vgg"), 256, 256);
  EXPECT_NEAR(static_cast<double>(plan.operations), 2.0 * 2 * 20.06e9, 0.02 * 2 * 2 * 20.06e9);
}

}  // namespace
}  // namespace likeness::testing
