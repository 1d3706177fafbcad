// From a sum of pointwise terms to the score and to what the gradient still lacks, the same on every backend.
#pragma once

#include "kernels/base/target.h"
#include "kernels/walks/walk_request.h"

namespace likeness::walks {

// 10 / ln 10.
inline constexpr double kDecibelsPerNeper = 4.342944819032518;

// The loss whose term and sum stand for that of `walk` until the sum is known.
constexpr PointwiseLoss TermOf(const PointwiseWalk& walk) {
  switch (walk.loss) {
    case PointwiseLoss::kRootMeanSquare:
    case PointwiseLoss::kSumSquare:
    case PointwiseLoss::kPsnr:
      return PointwiseLoss::kMeanSquare;
    case PointwiseLoss::kSmoothL1:
      return walk.parameter == 0.0 ? PointwiseLoss::kMeanAbsolute : PointwiseLoss::kHuber;
    default:
      return walk.loss;
  }
}

// Whether the term of images of bytes on one scale is an integer, in units of one step or of its square.
constexpr bool HasIntegerTerm(PointwiseLoss term) {
  return term == PointwiseLoss::kMeanAbsolute || term == PointwiseLoss::kMeanSquare ||
         term == PointwiseLoss::kMeanSigned || term == PointwiseLoss::kMaximum;
}

// Whether the term is a function of the error with few instructions. The others are CUDA's alone, in a reading of their
// own.
constexpr bool IsOfError(PointwiseLoss term) { return term <= PointwiseLoss::kShiftedCharbonnier; }

// What a sum of terms is multiplied by to become the sum that the loss speaks of.
constexpr double TermScale(const PointwiseWalk& walk) {
  return walk.loss == PointwiseLoss::kSmoothL1 && walk.parameter > 0.0 ? 1.0 / walk.parameter : 1.0;
}

// Whether the gradient is known only when the score is.
constexpr bool HasLateGradient(const PointwiseWalk& walk) {
  return walk.loss == PointwiseLoss::kRootMeanSquare || walk.loss == PointwiseLoss::kPsnr ||
         walk.loss == PointwiseLoss::kMaximum;
}

// What the term's derivative is multiplied by, as far as it is known before the sum is.
constexpr double GradientScale(const PointwiseWalk& walk, double sample_count) {
  return HasLateGradient(walk) || walk.loss == PointwiseLoss::kSumSquare ? 1.0 : TermScale(walk) / sample_count;
}

struct PointwiseScore {
  double score;
  double late_scale = 1.0;  // the rest of the gradient's factor, not for kMaximum
};

// `sum`: of the terms, for kMaximum their maximum.
LIKENESS_HD PointwiseScore ScoreOf(const PointwiseWalk& walk, double sum, double sample_count) {
  const double mean = sum * TermScale(walk) / sample_count;
  switch (walk.loss) {
    case PointwiseLoss::kRootMeanSquare: {
      const double root = std::sqrt(mean);
      return {root, mean > 0.0 ? 0.5 / (sample_count * root) : 0.0};
    }
    case PointwiseLoss::kSumSquare:
    case PointwiseLoss::kMaximum:
      return {sum};
    case PointwiseLoss::kCharbonnier:
      return {mean + walk.parameter};
    case PointwiseLoss::kPsnr: {
      const double floored = mean + walk.parameter;
      const double uncapped = floored > 0.0 ? -10.0 * std::log10(floored) : std::numeric_limits<double>::infinity();
      const bool flat = floored == 0.0 || uncapped > walk.cap;
      return {uncapped < walk.cap ? uncapped : walk.cap, flat ? 0.0 : -kDecibelsPerNeper / (sample_count * floored)};
    }
    default:
      return {mean};
  }
}

// Equal differences of bytes may differ in the last bit as floats: samples this far below the maximum reach it too.
constexpr double MaximumSlack(bool integer, double value_of_one) { return integer ? 0.5 / value_of_one : 0.0; }

}  // namespace likeness::walks
