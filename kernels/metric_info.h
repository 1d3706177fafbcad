// The facts and the parameters of a metric. Plain data, standard library only: programs for every device carry it.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace likeness {

enum class Direction {
  kLowerIsBetter,
  kHigherIsBetter,
  kZeroIsBest,  // signed: the sign says which way, 0 is best
};

// How a learned metric's convolutions are computed. Other metrics have one way.
enum class Precision {
  kExact,  // float32
  kFast,   // 16 bits in, float32 sums: bfloat16 on the CPU
};

// What a mean under weights is divided by.
enum class Averaging {
  kOverPixels,   // sum(w f) / n: a mask makes the score smaller; what faceswap trains with
  kOverWeights,  // sum(w f) / sum(w): the mean of the pixels that count
};

using ParameterValue = std::variant<bool, double, std::string>;
using Parameters = std::map<std::string, ParameterValue>;

// A number has bounds, both inclusive; a string has choices; a bool has neither.
struct ParameterInfo {
  std::string name;
  std::string description;
  ParameterValue default_value;
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool whole = false;  // the number must be an integer
  std::vector<std::string> choices;
};

// A convention fixes everything in which libraries disagree; the first in MetricInfo::conventions is the default.
struct ConventionInfo {
  std::string name;
  std::string description;
  Parameters parameters;  // those that differ from ParameterInfo::default_value under this convention
  // Of a metric with takes_weights: false where this convention's score is not the mean of a spatial map.
  bool takes_weights = true;
  // Of a learned metric: the weights file, without its ending, that has this convention's own heads; empty: the
  // metric's own file has them.
  std::string heads_file = {};
  std::string unavailable = {};  // as MetricInfo::unavailable, for this convention alone
};

// Another name for one convention of a metric, where users know it by that: "faceswap/ssim".
struct AliasInfo {
  std::string name;
  std::string convention;
};

// The facts of one metric. `likeness metrics`, ListMetrics and docs/metrics.md all print this.
struct MetricInfo {
  std::string id;       // "gmsd"; a request may say "gmsd:faceswap"
  int version = 1;      // changes when, and only when, a default score changes
  std::string family;   // "pointwise", "structural", "gradient", "pyramid", "frequency", "perceptual", "learned"
  std::string summary;  // one sentence
  Direction direction = Direction::kLowerIsBetter;
  double range_low = 0.0;  // both ends inclusive; infinite where unbounded
  double range_high = std::numeric_limits<double>::infinity();
  double identity = 0.0;  // the exact score of two equal images
  std::vector<ConventionInfo> conventions;
  std::vector<ParameterInfo> parameters;
  std::vector<AliasInfo> aliases;
  int min_width = 1;
  int min_height = 1;
  bool symmetric = false;  // score(a, b) == score(b, a)
  bool has_gradient = true;
  bool needs_convention = false;  // nobody's standard: a request must name a convention
  bool takes_weights = false;     // the score is the mean of a spatial map (MeanScore), which a mask may weight
  std::string map;                // what a map's sample is and its shape ("1 - GMS, H/2 x W/2"); empty: no map
  std::string color;              // what becomes of the channels: "per channel, then mean", "luma (YIQ, BT.601)"
  std::string good_values;        // how to read a score
  std::string reference;          // paper, and the code whose convention the default follows
  // Absolute or relative (whichever is larger) distance allowed between backends.
  double tolerance = 1e-5;
  bool learned = false;     // runs a convolution trunk: the server queues it in a lane of its own
  std::string unavailable;  // why this server cannot compute it, and the remedy; empty when it can
};

// Whether a mask may weight this convention of the metric.
inline bool TakesWeights(const MetricInfo& info, const std::string& convention) {
  for (const ConventionInfo& candidate : info.conventions) {
    if (candidate.name == convention) return info.takes_weights && candidate.takes_weights;
  }
  return false;
}

}  // namespace likeness
