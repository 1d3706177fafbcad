// What metrics of the pointwise family share, in whichever folder they live.
#pragma once

#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

// Facts that the family shares.
inline MetricInfo PointwiseInfo(const char* id, const char* summary, const char* map, const char* reference) {
  MetricInfo info;
  info.id = id;
  info.family = "pointwise";
  info.summary = summary;
  info.map = map;
  info.color = "every channel alike";
  info.reference = reference;
  info.conventions = {{"standard", "the textbook formula on the [0, 1] scale, mean over samples", {}}};
  info.symmetric = true;
  info.takes_weights = true;
  return info;
}

// The loss of the mean of f.
template <class T, class F, bool tracked>
Output<tracked> MeanOfMap(T& t, F f, const Planes<false>& reference, const Planes<tracked>& distorted,
                          const Linear& loss = {1.0, 0.0}) {
  return MappedScore(t, f, 0, loss, reference, distorted);
}

// The walk that computes a loss of the family in one pass, with all others that are asked for.
inline std::optional<WalkRequest> WalkFor(PointwiseLoss loss, double parameter = 0.0, double factor = 1.0) {
  WalkRequest request;
  request.walk = PointwiseWalk{.loss = loss, .parameter = parameter, .factor = factor};
  return request;
}

LIKENESS_END_TARGET
