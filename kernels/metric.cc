#include "kernels/metric.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace likeness {
namespace {

void Scale(double weight, Tensor& tensor) {
  const auto w = static_cast<float>(weight);
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) tensor.data[i] *= w;
}

void AddScaled(double weight, const Tensor& term, Tensor& sum) {
  const auto w = static_cast<float>(weight);
  for (std::int64_t i = 0; i < sum.sample_count(); ++i) sum.data[i] += w * term.data[i];
}

bool SameShape(const Tensor& a, const Tensor& b) {
  return a.width == b.width && a.height == b.height && a.channels == b.channels && a.layout == b.layout &&
         a.offset_x == b.offset_x && a.offset_y == b.offset_y;
}

std::string ShapeOf(const Tensor& t) {
  return absl::StrCat(t.width, "x", t.height, "x", t.channels, " at (", t.offset_x, ", ", t.offset_y, ")");
}

}  // namespace

MetricResult Compose(absl::Span<const double> weights, absl::Span<MetricResult* const> results) {
  MetricResult sum;
  bool maps = true;
  bool gradients = true;
  for (const MetricResult* result : results) {
    if (!result->status.ok()) {
      sum.status = result->status;
      return sum;
    }
    maps = maps && !result->map.empty();
    gradients = gradients && !result->gradient.empty();
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    MetricResult& term = *results[i];
    if (weights[i] != 0.0) sum.score += weights[i] * term.score;
    if (maps && i > 0 && !SameShape(term.map, sum.map)) {
      MetricResult failed;
      failed.status = absl::InvalidArgumentError(
          absl::StrCat("the terms' maps differ in shape: ", ShapeOf(sum.map), " and ", ShapeOf(term.map),
                       "; ask for the composition without map, or for each term's map by itself"));
      return failed;
    }
    if (i == 0) {
      if (maps) sum.map = std::move(term.map);
      if (gradients) sum.gradient = std::move(term.gradient);
      Scale(weights[0], sum.map);
      Scale(weights[0], sum.gradient);
    } else {
      if (maps) AddScaled(weights[i], term.map, sum.map);
      if (gradients) AddScaled(weights[i], term.gradient, sum.gradient);
    }
  }
  if (std::isnan(sum.score)) {
    MetricResult failed;
    failed.status = absl::InvalidArgumentError(
        "the terms' infinite scores cancel: the composition has no value; give psnr a cap or an eps");
    return failed;
  }
  return sum;
}

}  // namespace likeness
