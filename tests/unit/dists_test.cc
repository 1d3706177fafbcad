// DISTS against PyTorch, on synthetic weights (tests/support/weights.h) and on the real ones, on every instruction set
// that runs here.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/scoring.h"
#include "tests/support/weights.h"

namespace likeness::testing {
namespace {

const Scorer& DistsScorer(const std::string& instruction_set, const std::string& folder) {
  static std::map<std::string, std::unique_ptr<Scorer>> scorers;
  std::unique_ptr<Scorer>& scorer = scorers[absl::StrCat(instruction_set, "|", folder)];
  if (scorer == nullptr) {
    ScorerOptions options;
    options.instruction_set = instruction_set;
    options.weights_dir = folder;
    auto made = Scorer::Create(options);
    if (!made.ok()) ADD_FAILURE() << made.status();
    scorer = *std::move(made);
  }
  return *scorer;
}

MetricResult Score(const std::string& set, const std::string& folder, const Image& reference, const Image& distorted,
                   bool gradient) {
  return ScoreOne(DistsScorer(set, folder), Request("dists", {}, false, gradient), reference.view(), distorted.view());
}

struct Golden {
  const char* pair;
  double score, gradient_sum, gradient_sum_abs, gradient_probe;
};

void CheckGolden(const Golden& golden, const std::string& folder) {
  for (const std::string& set : AllInstructionSets()) {
    SCOPED_TRACE(absl::StrCat(golden.pair, " on ", set));
    const Pair pair = GoldenPair(golden.pair);
    const MetricResult result = Score(set, folder, pair.reference, pair.distorted, true);
    ASSERT_TRUE(result.status.ok()) << result.status;
    // In float some 1e3 operations in a row round to 6e-8 each, which mostly cancels; a gradient also flips at a tie
    // within rounding.
    const bool oracle = set == "oracle";
    EXPECT_NEAR(result.score, golden.score, (oracle ? 5e-9 : 1e-5) * golden.score);
    const double tolerance = (oracle ? 1e-6 : 1e-3) * golden.gradient_sum_abs;
    EXPECT_NEAR(Sum(result.gradient), golden.gradient_sum, tolerance);
    EXPECT_NEAR(SumAbs(result.gradient), golden.gradient_sum_abs, tolerance);
    EXPECT_NEAR(At(result.gradient, 20, 10, 0), golden.gradient_probe,
                10 * tolerance / static_cast<double>(result.gradient.sample_count()));
  }
}

TEST(Dists, SyntheticWeightsGiveTheSpecifiedNumbers) {
  // tools/parity/learned_rows.py: dists-pytorch 0.1 in float64.
  CheckGolden({"C", 0.0322431165, -1.0284272, 2.745872, 2.547721e-05}, SyntheticFolder());
  CheckGolden({"B", 0.0345727191, -0.97326387, 2.0962084, -5.903323e-05}, SyntheticFolder());
}

TEST(Dists, RealWeightsGiveWhatPyTorchGives) {
  const char* wanted = std::getenv("LIKENESS_TEST_WEIGHTS");
  if (wanted != nullptr && std::string(wanted) == "none") GTEST_SKIP() << "WEIGHTS=none";
  // The same with PyTorch 1.13.1 and the converted convolutions.
  CheckGolden({"C", 0.172570166849, 0.0348212, 21.039716, -0.00121343958}, LIKENESS_WEIGHTS_DIR);
  CheckGolden({"B", 0.164477441846, -0.0466834, 23.655394, -0.0162542126}, LIKENESS_WEIGHTS_DIR);
}

TEST(Dists, GradientAgreesWithCentralDifferences) {
  // Odd and small sizes; gray images go through three equal channels. The step is exact in float.
  constexpr double kStep = 1.0 / 65536.0;
  const struct { int width, height, channels; } cases[] = {{16, 17, 3}, {19, 16, 1}, {7, 3, 3}};
  for (const auto& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.width, "x", c.height, "x", c.channels));
    Pair pair = RandomFloatPair(c.width, c.height, c.channels, 5, /*flat=*/false);
    const MetricResult at = Score("oracle", SyntheticFolder(), pair.reference, pair.distorted, true);
    ASSERT_TRUE(at.status.ok()) << at.status;
    const double typical = SumAbs(at.gradient) / static_cast<double>(at.gradient.sample_count());
    auto* pixels = static_cast<float*>(pair.distorted.data());
    const auto score = [&] { return Score("oracle", SyntheticFolder(), pair.reference, pair.distorted, false).score; };
    for (const int i : {0, c.width * c.channels - 1, (c.height / 2 * c.width + c.width / 3) * c.channels,
                        c.width * c.height * c.channels - 1}) {
      const float kept = pixels[i];
      pixels[i] = static_cast<float>(kept + kStep);
      const double above = score();
      pixels[i] = static_cast<float>(kept - kStep);
      const double below = score();
      pixels[i] = kept;
      // A ReLU may change sides within the step: a thousandth of a gradient's size is still no formula's.
      EXPECT_NEAR(at.gradient.data[i], (above - below) / (2 * kStep), 5e-3 * typical + 1e-9) << "sample " << i;
    }
  }
}

TEST(Dists, EqualImagesScoreZeroAndScoresAreSymmetric) {
  for (const std::string& set : AllInstructionSets()) {
    SCOPED_TRACE(set);
    for (const auto& [width, height] : {std::pair{45, 33}, std::pair{2, 1}, std::pair{1, 1}}) {
      const Pair pair = ScenePair(width, height);
      const Image copy = CopyOf(pair.reference).distorted;
      const MetricResult same = Score(set, SyntheticFolder(), pair.reference, copy, true);
      ASSERT_TRUE(same.status.ok()) << same.status;
      EXPECT_EQ(same.score, 0.0);
      EXPECT_EQ(SumAbs(same.gradient), 0.0);
      EXPECT_EQ(Score(set, SyntheticFolder(), pair.reference, pair.distorted, false).score,
                Score(set, SyntheticFolder(), pair.distorted, pair.reference, false).score);
    }
    const MetricResult flat = Score(set, SyntheticFolder(), Constant(45, 33, 0), Constant(45, 33, 255), true);
    EXPECT_GT(flat.score, 0.0);
    for (std::int64_t i = 0; i < flat.gradient.sample_count(); ++i) {
      ASSERT_TRUE(std::isfinite(flat.gradient.data[i]));
    }
  }
}

}  // namespace
}  // namespace likeness::testing
