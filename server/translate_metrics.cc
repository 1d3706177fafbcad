#include <variant>

#include "server/build_info.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

// What the docs' cost column and ListMetrics speak of.
ImageView ShapeOf1080p() {
  ImageView view;
  view.width = 1920;
  view.height = 1080;
  view.channels = 3;
  view.row_bytes = 1920 * 3;
  return view;
}

}  // namespace

v1::Direction ToProto(Direction direction) {
  switch (direction) {
    case Direction::kLowerIsBetter:
      return v1::DIRECTION_LOWER_IS_BETTER;
    case Direction::kHigherIsBetter:
      return v1::DIRECTION_HIGHER_IS_BETTER;
    case Direction::kZeroIsBest:
      return v1::DIRECTION_ZERO_IS_BEST;
  }
  return v1::DIRECTION_UNSPECIFIED;
}

void ToProto(const ParameterValue& value, v1::ParameterValue* out) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    out->set_bool_value(*flag);
  } else if (const auto* number = std::get_if<double>(&value)) {
    out->set_number_value(*number);
  } else {
    out->set_string_value(std::get<std::string>(value));
  }
}

void ToProto(const MetricInfo& info, const Plan* cost, v1::MetricInfo* out) {
  out->set_id(info.id);
  out->set_version(info.version);
  out->set_family(info.family);
  out->set_summary(info.summary);
  out->set_direction(ToProto(info.direction));
  out->set_range_low(info.range_low);
  out->set_range_high(info.range_high);
  out->set_identity(info.identity);
  for (const ConventionInfo& convention : info.conventions) {
    v1::ConventionInfo* const c = out->add_conventions();
    c->set_name(convention.name);
    c->set_description(convention.description);
    c->set_takes_weights(TakesWeights(info, convention.name));
    c->set_unavailable(convention.unavailable);
  }
  for (const ParameterInfo& parameter : info.parameters) {
    v1::ParameterInfo* const p = out->add_parameters();
    p->set_name(parameter.name);
    p->set_description(parameter.description);
    ToProto(parameter.default_value, p->mutable_default_value());
    p->set_minimum(parameter.minimum);
    p->set_maximum(parameter.maximum);
    p->set_whole(parameter.whole);
    for (const std::string& choice : parameter.choices) p->add_choices(choice);
  }
  out->set_min_width(info.min_width);
  out->set_min_height(info.min_height);
  out->set_symmetric(info.symmetric);
  out->set_has_map(!info.map.empty());
  out->set_has_gradient(info.has_gradient);
  out->set_map(info.map);
  out->set_color(info.color);
  out->set_good_values(info.good_values);
  out->set_reference(info.reference);
  out->set_learned(info.learned);
  out->set_unavailable(info.unavailable);
  out->set_takes_weights(info.takes_weights);
  out->set_needs_convention(info.needs_convention);
  for (const AliasInfo& alias : info.aliases) {
    v1::AliasInfo* const a = out->add_aliases();
    a->set_name(alias.name);
    a->set_convention(alias.convention);
  }
  if (cost == nullptr) return;
  out->mutable_cost_1080p()->set_workspace_bytes(cost->workspace_bytes);
  out->mutable_cost_1080p()->set_bytes_moved(cost->bytes_moved);
  out->mutable_cost_1080p()->set_operations(cost->operations);
}

void DescribeMetrics(const Scorer& scorer, v1::ListMetricsResponse* response) {
  const ImageView shape = ShapeOf1080p();
  for (const MetricInfo& metric : scorer.metrics()) {
    const absl::StatusOr<ResolvedMetric> resolved =
        scorer.Resolve({metric.id + ":" + metric.conventions.front().name, {}, false, false});
    // An unavailable metric has no plan, nor has one whose workspace exceeds a slot.
    absl::StatusOr<Plan> plan = absl::UnknownError("");
    if (resolved.ok()) plan = scorer.MakePlan(*resolved, shape, shape);
    ToProto(metric, plan.ok() ? &*plan : nullptr, response->add_metrics());
  }
}

v1::Provenance ProvenanceOf(const Scorer& scorer) {
  v1::Provenance provenance;
  provenance.set_backend(scorer.backend());
  provenance.set_instruction_set(scorer.instruction_set());
  provenance.set_build(BuildInfo());
  return provenance;
}

void ToProto(const ServerConfig& config, v1::Limits* out) {
  out->set_message_bytes(config.max_message_bytes);
  out->set_encoded_bytes(config.max_encoded_bytes);
  out->set_side(static_cast<std::int32_t>(config.max_side));
  out->set_pixels(config.max_pixels);
  out->set_workspace_bytes(config.slot_bytes);
  out->set_output_bytes(config.max_output_bytes);
  out->set_in_flight_bytes(config.max_in_flight_bytes);
  out->set_metrics(static_cast<std::int32_t>(config.max_metrics));
}

}  // namespace likeness::server
