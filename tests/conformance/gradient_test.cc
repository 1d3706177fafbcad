// Every gradient against central differences of the same score in double, away from kinks.
//
// Pixels are multiples of 2^-10 and the step is 2^-18, so that both sides of a difference are exact in float32 input.
// ffl's default convention holds its weight constant for the gradient: there the difference of the score is another
// number, and the reference's own gradient (tests/golden/ffl.csv) is the check; its undetached convention is checked
// here.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

constexpr double kStep = 1.0 / 262144.0;

bool Detached(const std::string& id) { return id == "ffl:detached" || id == "imae:pixel_weighted"; }
// Rounding passes the gradient straight through: the score itself is a staircase.
bool Rounds(const std::string& id) {
  return id.find(":pyiqa") != std::string::npos && id != "nlpd:pyiqa";  // which rounds nothing
}

struct Probe {
  int x, y, c;
};

// Corners, edges, the odd tail of a row, the flat patch in the middle, and some anywhere.
std::vector<Probe> Probes(int width, int height, int channels) {
  std::vector<Probe> probes = {{0, 0, 0},
                               {width - 1, 0, channels - 1},
                               {0, height - 1, 0},
                               {width - 1, height - 1, 0},
                               {width / 2, height / 2, channels - 1},
                               {width - 1, height / 2, 0},
                               {width / 4 + 1, height / 4 + 1, 0}};
  std::mt19937 random(5);
  for (int i = 0; i < 6; ++i) {
    probes.push_back({static_cast<int>(random() % width), static_cast<int>(random() % height),
                      static_cast<int>(random() % channels)});
  }
  return probes;
}

void CheckGradient(const std::string& id, int width, int height, int channels, bool flat) {
  SCOPED_TRACE(id + " " + std::to_string(width) + "x" + std::to_string(height) + "x" + std::to_string(channels) +
               (flat ? " flat" : ""));
  const Scorer& oracle = ScorerFor("oracle");
  Pair pair = RandomFloatPair(width, height, channels, 11, flat);
  const MetricResult at = ScoreOne(oracle, Request(id, {}, false, true), pair.reference.view(), pair.distorted.view());
  if (at.status.code() == absl::StatusCode::kInvalidArgument) return;  // too small for the convention
  ASSERT_TRUE(at.status.ok()) << at.status;
  const double typical = SumAbs(at.gradient) / static_cast<double>(at.gradient.sample_count());
  auto* pixels = static_cast<float*>(pair.distorted.data());
  for (const Probe& probe : Probes(width, height, channels)) {
    float& pixel = pixels[(probe.y * width + probe.x) * channels + probe.c];
    const float kept = pixel;
    const auto score = [&](double step) {
      pixel = static_cast<float>(kept + step);
      const double value = ScoreOne(oracle, Request(id), pair.reference.view(), pair.distorted.view()).score;
      pixel = kept;
      return value;
    };
    const double difference = (score(kStep) - score(-kStep)) / (2.0 * kStep);
    const double gradient = At(at.gradient, probe.x, probe.y, probe.c);
    // The step's own error is of order step^2; 2e-3 of the typical size is far below any wrong formula.
    EXPECT_NEAR(gradient, difference, 2e-3 * std::max(std::fabs(difference), typical))
        << "at (" << probe.x << ", " << probe.y << ") channel " << probe.c;
  }
}

TEST(Gradient, AgreesWithCentralDifferences) {
  int checked = 0;
  for (const MetricInfo& info : ScorerFor("oracle").metrics()) {
    if (!info.has_gradient || info.learned || !info.unavailable.empty()) continue;
    for (const ConventionInfo& convention : info.conventions) {
      const std::string id = info.id + ":" + convention.name;
      if (Detached(id) || Rounds(id)) continue;
      const int width = std::max(info.min_width, 23) | 1, height = std::max(info.min_height, 17) | 1;
      CheckGradient(id, width, height, 3, false);
      CheckGradient(id, width, height, 1, false);
      CheckGradient(id, width + 1, height, 3, true);
      ++checked;
    }
  }
  EXPECT_GT(checked, 15);
}

// f(alpha, colour) of the loader: the gradient in the submitted channels is that of compositing.
TEST(Gradient, ReachesAlphaAndGray) {
  const Scorer& oracle = ScorerFor("oracle");
  for (const int channels : {2, 4}) {
    Image reference = *Image::Create(24, 18, channels, PixelType::kFloat32);
    Image distorted = *Image::Create(24, 18, channels, PixelType::kFloat32);
    std::mt19937 random(3);
    auto* r = static_cast<float*>(reference.data());
    auto* d = static_cast<float*>(distorted.data());
    for (int i = 0; i < 24 * 18 * channels; ++i) {
      r[i] = static_cast<float>((300 + random() % 400) / 1024.0);
      d[i] = static_cast<float>((300 + random() % 400) / 1024.0);
    }
    const auto score = [&] { return ScoreOne(oracle, Request("ssim"), reference.view(), distorted.view()).score; };
    const MetricResult at = ScoreOne(oracle, Request("ssim", {}, false, true), reference.view(), distorted.view());
    ASSERT_TRUE(at.status.ok()) << at.status;
    ASSERT_EQ(at.gradient.channels, channels);
    for (int c = 0; c < channels; ++c) {
      float& pixel = d[(9 * 24 + 12) * channels + c];
      const float kept = pixel;
      pixel = kept + static_cast<float>(kStep);
      const double up = score();
      pixel = kept - static_cast<float>(kStep);
      const double down = score();
      pixel = kept;
      EXPECT_NEAR(At(at.gradient, 12, 9, c), (up - down) / (2.0 * kStep), 1e-6)
          << "channel " << c << " of " << channels;
    }
  }
}

// A gray image scored against a colour one: its gradient is the sum over R, G and B.
TEST(Gradient, OfAGrayImageAgainstColourIsTheSumOverChannels) {
  const Scorer& oracle = ScorerFor("oracle");
  const Pair color = RandomFloatPair(24, 18, 3, 2, false);
  const Pair gray = RandomFloatPair(24, 18, 1, 4, false);
  const MetricResult at =
      ScoreOne(oracle, Request("mse", {}, false, true), color.reference.view(), gray.distorted.view());
  ASSERT_TRUE(at.status.ok()) << at.status;
  ASSERT_EQ(at.gradient.channels, 1);
  const auto* r = static_cast<const float*>(color.reference.view().data);
  const auto* d = static_cast<const float*>(gray.distorted.view().data);
  for (int i = 0; i < 24 * 18; ++i) {
    double expected = 0.0;
    for (int c = 0; c < 3; ++c) expected += 2.0 * (d[i] - r[3 * i + c]) / (24 * 18 * 3);
    ASSERT_NEAR(at.gradient.data[i], expected, 1e-9);
  }
}

}  // namespace
}  // namespace likeness::testing
