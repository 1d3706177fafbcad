#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/half.h"
#include "server/reason.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are little endian on the wire");

// OUT_OF_RANGE when a sample exceeds what float16 holds: an infinite gradient would be a silent lie.
absl::Status TensorToProto(const Tensor& tensor, bool half, const std::string& name, v1::Tensor* out) {
  const auto count = static_cast<std::size_t>(tensor.sample_count());
  std::string& data = *out->mutable_data();
  data.resize(count * (half ? sizeof(std::uint16_t) : sizeof(float)));
  if (half) {
    const bool halved = tensor.half != nullptr;  // by the GPU
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint16_t bits = halved ? tensor.half[i] : ToHalf(tensor.data[i]);
      if ((bits & 0x7fffu) == 0x7c00u && (halved || std::isfinite(tensor.data[i]))) {
        return absl::OutOfRangeError(absl::StrCat("the ", name, " holds ",
                                                  halved ? "a number over 65504" : absl::StrCat(tensor.data[i]),
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
  if (!result.map.empty()) RETURN_IF_ERROR(TensorToProto(result.map, half, "map", out->mutable_map()));
  result.map = {};
  if (!result.gradient.empty())
    RETURN_IF_ERROR(TensorToProto(result.gradient, half, "gradient", out->mutable_gradient()));
  result.gradient = {};
  return absl::OkStatus();
}

// What was computed, into a MetricResult or a TermResult.
template <class Result>
void ResolvedToProto(const Scored& scored, const std::string& asked, Result* out) {
  const ResolvedMetric& resolved = scored.resolved;
  const MetricInfo* const info = resolved.info;
  if (info == nullptr) {
    out->set_metric(asked.substr(0, asked.find(':')));
    return;
  }
  out->set_metric(info->id);
  out->set_direction(ToProto(info->direction));
  out->set_version(info->version);
  out->mutable_resolved()->set_convention(resolved.convention);
  out->mutable_resolved()->set_backend(resolved.backend);
  out->mutable_resolved()->set_precision(scored.result.precision == Precision::kFast ? "fast" : "exact");
  for (const auto& [key, value] : resolved.parameters) {
    ToProto(value, &(*out->mutable_resolved()->mutable_parameters())[key]);
  }
}

void CompositionToProto(const MetricAsk& ask, const MetricOutcome& outcome, v1::MetricResult* out) {
  out->set_metric(kComposition);
  const std::optional<Direction> direction = DirectionOf(ask, outcome);
  if (direction.has_value()) out->set_direction(ToProto(*direction));
  for (std::size_t i = 0; i < ask.terms.size(); ++i) {
    v1::TermResult* const term = out->add_terms();
    ResolvedToProto(outcome.terms[i], ask.terms[i].request.id, term);
    term->set_weight(ask.terms[i].weight);
    if (outcome.result.status.ok()) term->set_score(outcome.terms[i].result.score);
  }
}

// Of a response, or of one pair's part of one.
template <class Message>
void OutcomesToProto(PairWork& work, Message* message) {
  for (std::size_t i = 0; i < work.outcomes.size(); ++i) {
    const MetricAsk& ask = work.metrics[i];
    MetricOutcome& outcome = work.outcomes[i];
    v1::MetricResult* const out = message->add_results();
    absl::Status& status = outcome.result.status;
    if (status.ok()) status = TensorsToProto(outcome.result, ask.half_output, out);
    if (ask.is_composition()) {
      CompositionToProto(ask, outcome, out);
    } else {
      ResolvedToProto(outcome, ask.request.id, out);
    }
    if (status.ok()) {
      out->set_score(outcome.result.score);
    } else {
      out->clear_map();
      out->clear_gradient();
      out->set_code(status.raw_code());
      out->set_message(std::string(status.message()));
    }
  }
  v1::Timing* const timing = message->mutable_timing();
  timing->set_decode_seconds(absl::ToDoubleSeconds(work.decode_time));
  timing->set_queue_seconds(absl::ToDoubleSeconds(work.queue_time));
  timing->set_compute_seconds(absl::ToDoubleSeconds(work.compute_time));
  timing->set_batch_size(work.batch_size);
}

}  // namespace

void ToProto(const v1::ScoreRequest& request, PairWork& work, v1::ScoreResponse* response) {
  response->set_request_id(request.request_id());
  if (work.status.ok()) {
    OutcomesToProto(work, response);
    return;
  }
  response->set_code(work.status.raw_code());
  response->set_message(std::string(work.status.message()));
  response->set_reason(ReasonOf(work.status));
}

void ToProto(PairWork& work, v1::PairScores* scores) {
  if (work.status.ok()) {
    OutcomesToProto(work, scores);
    return;
  }
  scores->set_code(work.status.raw_code());
  scores->set_message(std::string(work.status.message()));
}

}  // namespace likeness::server
