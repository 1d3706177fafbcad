// How a metric's program meets the rest: its settings, how it is run on a pair, how its cost is read.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "kernels/image.h"
#include "kernels/metric.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/planes.h"
#include "kernels/scorer.h"
#include "kernels/walks/walk.h"

namespace likeness {

struct TrunkSpec;

namespace plan {
class SurveyDevice;
}

// What a program runs on.
struct RunInput {
  const ImageView& reference;
  const ImageView& distorted;
  const ImageView& weights;  // of the pixels, one channel; no data: all alike
  Averaging averaging;
  double alpha_background;
  const Settings& settings;
  bool want_map;
  bool want_gradient;
};

// What a plan is made from.
struct PlanInput {
  Shape shape;
  const Settings& settings;
  bool want_map;
  bool want_gradient;
  bool weighted;
  Averaging averaging;
};

// Colour channels on which a pair is scored: 3 as soon as one image is colour.
inline int ScoredChannels(const ImageView& reference, const ImageView& distorted) {
  return std::max(reference.color_channels(), distorted.color_channels());
}

// A metric's program, compiled for one target. Fills score, map and gradient of a result.
using ProgramRun = void (*)(const RunInput& input, Workspace& workspace, MetricResult& result);

// What a metric says about itself without computing anything.
struct MetricEntry {
  MetricInfo (*info)();
  // The weights that a learned metric needs; null: none.
  const TrunkSpec& (*trunk)();
  // The fused walk that computes the same; null or empty: none.
  std::optional<WalkRequest> (*walk)(const Settings& settings);
  // Why a shape will not do, beyond the minimum size; empty: it will. Null: any will.
  std::string (*check)(const Shape& shape, const Settings& settings);
  // Takes the program's steps without computing them, and adds its outputs' bytes to the plan.
  void (*plan)(const PlanInput& input, plan::SurveyDevice& device, Workspace& workspace, Plan& plan);
};

}  // namespace likeness
