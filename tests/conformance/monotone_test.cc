// A metric that does not get worse with a stronger distortion is of little use: each is held to it on real photographs.
//
// Claimed, for every metric's default request: on each photograph of tests/photos the score gets strictly worse from
// each strength of a distortion to the next. What is not claimed is listed in kNotClaimed, with the reason.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "server/decode/decode.h"
#include "tests/service/images.h"
#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

struct Exception {
  const char* metric;
  const char* distortion;
};
const std::vector<Exception> kNotClaimed = {
    // A black pixel of the reference divides by almost nothing: how many turn gray decides, not how gray.
    {"mape", "jpeg"},
};

constexpr const char* kPhotos[] = {"astronaut_480x480.png", "chelsea_301x197.png", "coffee_299x199.jpg"};

Image Decode(const std::string& file, const std::string& name) {
  const auto header = server::ReadHeader(file, {}, name);
  EXPECT_TRUE(header.ok()) << header.status();
  auto image = server::DecodeFile(file, *header, name);
  EXPECT_TRUE(image.ok()) << image.status();
  return *std::move(image);
}

Image Photo(const std::string& name) {
  std::ifstream in(std::string(LIKENESS_PHOTOS) + "/" + name, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  return Decode(bytes.str(), name);
}

const std::uint8_t* Samples(const Image& image) { return static_cast<const std::uint8_t*>(image.view().data); }

// An image of the same shape whose samples are f(x, y, c), rounded.
template <class F>
Image Remade(const Image& image, F f) {
  const ImageView& view = image.view();
  Image out = *Image::Create(view.width, view.height, view.channels, PixelType::kUint8);
  auto* to = static_cast<std::uint8_t*>(out.data());
  for (int y = 0; y < view.height; ++y) {
    for (int x = 0; x < view.width; ++x) {
      for (int c = 0; c < view.channels; ++c) {
        *to++ = static_cast<std::uint8_t>(std::clamp(std::lround(f(x, y, c)), 0L, 255L));
      }
    }
  }
  return out;
}

Image Blurred(const Image& image, double sigma) {
  const ImageView view = image.view();
  const int radius = static_cast<int>(std::ceil(3.0 * sigma));
  std::vector<double> taps(2 * radius + 1);
  double sum = 0.0;
  for (int i = -radius; i <= radius; ++i) sum += taps[i + radius] = std::exp(-i * i / (2.0 * sigma * sigma));
  std::vector<double> across(static_cast<std::size_t>(view.pixel_count()) * view.channels);
  const std::uint8_t* from = Samples(image);
  const auto index = [&](int x, int y, int c) { return (std::size_t(y) * view.width + x) * view.channels + c; };
  for (int y = 0; y < view.height; ++y) {
    for (int x = 0; x < view.width; ++x) {
      for (int c = 0; c < view.channels; ++c) {
        double value = 0.0;
        for (int i = -radius; i <= radius; ++i) {
          value += taps[i + radius] / sum * from[index(std::clamp(x + i, 0, view.width - 1), y, c)];
        }
        across[index(x, y, c)] = value;
      }
    }
  }
  return Remade(image, [&](int x, int y, int c) {
    double value = 0.0;
    for (int i = -radius; i <= radius; ++i) {
      value += taps[i + radius] / sum * across[index(x, std::clamp(y + i, 0, view.height - 1), c)];
    }
    return value;
  });
}

// The same grain at every strength.
Image Noisy(const Image& image, double deviation) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  const std::uint8_t* from = Samples(image);
  std::size_t i = 0;
  return Remade(image, [&](int, int, int) { return from[i++] + deviation * normal(random); });
}

Image Jpeg(const Image& image, double quality) {
  const ImageView& view = image.view();
  Pixels pixels{view.width, view.height, view.channels, 8, {}};
  pixels.bytes.assign(reinterpret_cast<const char*>(Samples(image)), static_cast<std::size_t>(view.size_bytes()));
  return Decode(EncodeJpeg(pixels, static_cast<int>(quality)), "jpeg");
}

struct Distortion {
  const char* name;
  std::function<Image(const Image&, double)> apply;
  std::vector<double> strengths;  // weak to strong
};
const std::vector<Distortion> kDistortions = {{"blur", Blurred, {0.6, 1.2, 2.4, 4.8}},
                                              {"noise", Noisy, {3.0, 8.0, 20.0, 50.0}},
                                              {"jpeg", Jpeg, {90.0, 50.0, 20.0, 7.0}}};

bool Claimed(const std::string& metric, const std::string& distortion) {
  return std::none_of(kNotClaimed.begin(), kNotClaimed.end(), [&](const Exception& exception) {
    return metric == exception.metric && distortion == exception.distortion;
  });
}

// How bad a score is: rises with distance from the best.
double Badness(const MetricInfo& info, double score) {
  switch (info.direction) {
    case Direction::kHigherIsBetter:
      return -score;
    case Direction::kLowerIsBetter:
      return score;
    case Direction::kZeroIsBest:
      break;
  }
  return std::fabs(score);
}

TEST(Monotone, StrongerDistortionsScoreWorse) {
  const Scorer& scorer = ScorerFor(AllInstructionSets().front(), true, 2);
  std::vector<ResolvedMetric> metrics;
  for (const MetricInfo& info : scorer.metrics()) {
    // A signed bias says which way, not how much.
    if (!info.unavailable.empty() || info.direction == Direction::kZeroIsBest) continue;
    const auto resolved = scorer.Resolve(Request(info.id));
    if (resolved.ok()) metrics.push_back(*resolved);
  }
  std::printf("%-22s %-6s %-24s %s\n", "metric", "by", "photograph", "scores, weak to strong");
  for (const char* name : kPhotos) {
    const Image photo = Photo(name);
    for (const Distortion& distortion : kDistortions) {
      std::vector<std::vector<MetricResult>> steps;
      for (const double strength : distortion.strengths) {
        const Image distorted = distortion.apply(photo, strength);
        PairJob job;
        job.reference = photo.view();
        job.distorted = distorted.view();
        job.metrics = metrics;
        PairJob* jobs[] = {&job};
        scorer.Score(jobs);
        steps.push_back(std::move(job.results));
      }
      for (std::size_t m = 0; m < metrics.size(); ++m) {
        const MetricInfo& info = *metrics[m].info;
        bool monotone = true;
        std::string scores;
        for (std::size_t s = 0; s < steps.size(); ++s) {
          const MetricResult& result = steps[s][m];
          ASSERT_TRUE(result.status.ok()) << result.status;
          char number[32];
          std::snprintf(number, sizeof(number), " %.6g", result.score);
          scores += number;
          if (s > 0) monotone = monotone && Badness(info, result.score) > Badness(info, steps[s - 1][m].score);
        }
        const bool claimed = Claimed(info.id, distortion.name);
        std::printf("%-22s %-6s %-24s%s%s\n", info.id.c_str(), distortion.name, name, scores.c_str(),
                    claimed ? "" : "  (not claimed)");
        if (claimed) {
          EXPECT_TRUE(monotone) << info.id << " under " << distortion.name << " of " << name << ":" << scores;
        }
      }
    }
  }
}

}  // namespace
}  // namespace likeness::testing
