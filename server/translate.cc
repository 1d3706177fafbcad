#include "server/translate.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/build_info.h"
#include "server/half.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

static_assert(std::endian::native == std::endian::little, "raw samples and tensors are little endian on the wire");

absl::StatusOr<PixelType> ToPixelType(v1::DataType type, const std::string& name) {
  switch (type) {
    case v1::DATA_TYPE_UINT8:
      return PixelType::kUint8;
    case v1::DATA_TYPE_UINT16:
      return PixelType::kUint16;
    case v1::DATA_TYPE_FLOAT16:
      return PixelType::kFloat16;
    case v1::DATA_TYPE_FLOAT32:
      return PixelType::kFloat32;
    default:
      return BadImage(absl::StrCat(name, ".raw.data_type is ", static_cast<int>(type),
                                   "; it must be uint8, uint16, float16 or float32"));
  }
}

absl::StatusOr<Layout> ToLayout(v1::Layout layout, const std::string& name) {
  switch (layout) {
    case v1::LAYOUT_UNSPECIFIED:
    case v1::LAYOUT_HWC:
      return Layout::kHwc;
    case v1::LAYOUT_CHW:
      return Layout::kChw;
    default:
      return BadImage(absl::StrCat(name, ".raw.layout is ", static_cast<int>(layout), "; it must be HWC or CHW"));
  }
}

absl::StatusOr<ImageSource> ToSource(const v1::Image& image, const std::string& name) {
  switch (image.source_case()) {
    case v1::Image::kRaw: {
      const v1::RawImage& raw = image.raw();
      RawSamples samples;
      samples.data = raw.data();
      samples.width = raw.width();
      samples.height = raw.height();
      samples.channels = raw.channels();
      ASSIGN_OR_RETURN(samples.type, ToPixelType(raw.data_type(), name));
      ASSIGN_OR_RETURN(samples.layout, ToLayout(raw.layout(), name));
      samples.value_of_one = raw.has_value_of_one() ? raw.value_of_one() : DefaultValueOfOne(samples.type);
      return ImageSource(samples);
    }
    case v1::Image::kEncoded:
      return ImageSource(EncodedFile{image.encoded()});
    case v1::Image::kReferenceId:
      return absl::UnimplementedError(
          absl::StrCat(name, ": this version keeps no images; send reference_id's image as raw or encoded"));
    case v1::Image::SOURCE_NOT_SET:
      break;
  }
  return BadImage(absl::StrCat(name, " has no image; set raw or encoded"));
}

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

// OUT_OF_RANGE when a sample exceeds what float16 holds: an infinite gradient would be a silent lie.
absl::Status ToProto(const Tensor& tensor, bool half, const std::string& name, v1::Tensor* out) {
  const auto count = static_cast<std::size_t>(tensor.sample_count());
  std::string& data = *out->mutable_data();
  data.resize(count * (half ? sizeof(std::uint16_t) : sizeof(float)));
  if (half) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint16_t bits = ToHalf(tensor.data[i]);
      if ((bits & 0x7fffu) == 0x7c00u && std::isfinite(tensor.data[i])) {
        return absl::OutOfRangeError(absl::StrCat("the ", name, " holds ", tensor.data[i],
                                                  ", which float16 cannot hold; ask for DATA_TYPE_FLOAT32"));
      }
      std::memcpy(data.data() + i * sizeof(bits), &bits, sizeof(bits));
    }
  } else {
    std::memcpy(data.data(), tensor.data.get(), data.size());
  }
  out->set_width(tensor.width);
  out->set_height(tensor.height);
  out->set_channels(tensor.channels);
  out->set_data_type(half ? v1::DATA_TYPE_FLOAT16 : v1::DATA_TYPE_FLOAT32);
  out->set_layout(tensor.layout == Layout::kHwc ? v1::LAYOUT_HWC : v1::LAYOUT_CHW);
  out->set_offset_x(tensor.offset_x);
  out->set_offset_y(tensor.offset_y);
  return absl::OkStatus();
}

absl::Status TensorsToProto(MetricResult& result, bool half, v1::MetricResult* out) {
  if (!result.map.empty()) RETURN_IF_ERROR(ToProto(result.map, half, "map", out->mutable_map()));
  result.map.data.reset();
  if (!result.gradient.empty()) RETURN_IF_ERROR(ToProto(result.gradient, half, "gradient", out->mutable_gradient()));
  result.gradient.data.reset();
  return absl::OkStatus();
}

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

absl::Status FromProto(const v1::ScoreRequest& request, PairWork& work) {
  ASSIGN_OR_RETURN(work.reference, ToSource(request.reference(), "reference"));
  ASSIGN_OR_RETURN(work.distorted, ToSource(request.distorted(), "distorted"));
  if (request.has_alpha_background()) work.alpha_background = request.alpha_background();
  work.message_bytes = static_cast<std::int64_t>(request.ByteSizeLong());
  work.metrics.reserve(request.metrics_size());
  for (const v1::MetricRequest& metric : request.metrics()) {
    MetricAsk ask;
    ask.request.id = metric.metric();
    ask.request.want_map = metric.want_map();
    ask.request.want_gradient = metric.want_gradient();
    for (const auto& [key, value] : metric.parameters()) {
      switch (value.value_case()) {
        case v1::ParameterValue::kBoolValue:
          ask.request.parameters[key] = value.bool_value();
          break;
        case v1::ParameterValue::kNumberValue:
          ask.request.parameters[key] = value.number_value();
          break;
        case v1::ParameterValue::kStringValue:
          ask.request.parameters[key] = value.string_value();
          break;
        case v1::ParameterValue::VALUE_NOT_SET:
          return WithReason(absl::InvalidArgumentError(absl::StrCat("parameter ", key, " of ", metric.metric(),
                                                                    " has no value; set one or leave it out")),
                            kBadParameter);
      }
    }
    switch (metric.output_type()) {
      case v1::DATA_TYPE_UNSPECIFIED:
      case v1::DATA_TYPE_FLOAT32:
        break;
      case v1::DATA_TYPE_FLOAT16:
        ask.half_output = true;
        break;
      default:
        return WithReason(absl::InvalidArgumentError(absl::StrCat(
                              "output_type of ", metric.metric(), " is ", static_cast<int>(metric.output_type()),
                              "; it must be DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT16")),
                          kBadParameter);
    }
    work.metrics.push_back(std::move(ask));
  }
  return absl::OkStatus();
}

void ToProto(const v1::ScoreRequest& request, PairWork& work, v1::ScoreResponse* response) {
  response->set_request_id(request.request_id());
  for (std::size_t i = 0; i < work.outcomes.size(); ++i) {
    MetricOutcome& outcome = work.outcomes[i];
    v1::MetricResult* const out = response->add_results();
    const MetricInfo* const info = outcome.resolved.info;
    if (info == nullptr) {
      const std::string& asked = work.metrics[i].request.id;
      out->set_metric(asked.substr(0, asked.find(':')));
    } else {
      out->set_metric(info->id);
      out->set_direction(ToProto(info->direction));
      out->set_version(info->version);
      out->mutable_resolved()->set_convention(outcome.resolved.convention);
      for (const auto& [key, value] : outcome.resolved.parameters) {
        ToProto(value, &(*out->mutable_resolved()->mutable_parameters())[key]);
      }
    }
    if (outcome.result.status.ok()) {
      outcome.result.status = TensorsToProto(outcome.result, work.metrics[i].half_output, out);
    }
    if (outcome.result.status.ok()) {
      out->set_score(outcome.result.score);
    } else {
      out->clear_map();
      out->clear_gradient();
      out->set_code(outcome.result.status.raw_code());
      out->set_message(std::string(outcome.result.status.message()));
    }
  }
  v1::Timing* const timing = response->mutable_timing();
  timing->set_decode_seconds(absl::ToDoubleSeconds(work.decode_time));
  timing->set_queue_seconds(absl::ToDoubleSeconds(work.queue_time));
  timing->set_compute_seconds(absl::ToDoubleSeconds(work.compute_time));
  timing->set_batch_size(work.batch_size);
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
  if (cost == nullptr) return;
  out->mutable_cost_1080p()->set_workspace_bytes(cost->workspace_bytes);
  out->mutable_cost_1080p()->set_bytes_moved(cost->bytes_moved);
  out->mutable_cost_1080p()->set_operations(cost->operations);
}

void DescribeMetrics(const Scorer& scorer, v1::ListMetricsResponse* response) {
  const ImageView shape = ShapeOf1080p();
  for (const MetricInfo& metric : scorer.metrics()) {
    const absl::StatusOr<ResolvedMetric> resolved = scorer.Resolve({metric.id, {}, false, false});
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
  provenance.set_precision("exact");
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
