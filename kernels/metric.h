// What a metric is, for everybody who asks for one: its facts, its parameters, a request for it and its result.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/image.h"
#include "kernels/metric_info.h"

namespace likeness {

// One metric of one request.
struct MetricRequest {
  std::string id;  // "ssim" or "ssim:torchmetrics"
  Parameters parameters;
  bool want_map = false;
  bool want_gradient = false;
  Precision precision = Precision::kExact;
};

struct MetricResult {
  // Not OK: the other fields mean nothing. One metric's failure leaves its neighbours' results alone.
  absl::Status status;
  double score = 0.0;  // never NaN; may be infinite (PSNR of equal images)
  Tensor map;          // empty unless asked for
  // d score / d distorted, where distorted is on the [0, 1] scale, in the channels and layout of the distorted image
  // as it was submitted. Empty unless asked for.
  Tensor gradient;
  // What it was computed with: ResolvedMetric::precision, or kExact where a number on the way left the range of 16 bits
  // and the metric was computed anew.
  Precision precision = Precision::kExact;
  // Between a backend and the Scorer, which then computes anew: such a number was seen, and the other fields mean
  // nothing.
  bool left_range = false;
};

// sum of weights[i] * results[i]: a composed loss, its map and its gradient. Consumes what it sums. The map and the
// gradient are there when every term has one; INVALID_ARGUMENT when maps differ in shape, the first term's status when
// one has failed.
MetricResult Compose(absl::Span<const double> weights, absl::Span<MetricResult* const> results);

}  // namespace likeness
