#include "server/pipeline.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

constexpr const char* kNames[2] = {"reference", "distorted"};

// What a call costs beside its bytes: its state, its metadata, its share of a connection's buffers. Counting it bounds
// the number of tiny calls as well.
constexpr std::int64_t kCallBytes = 16 << 10;

bool IsCallersMistake(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status);
}

BatcherObserver ObserveWith(Telemetry& telemetry) {
  BatcherObserver observer;
  observer.queue_changed = [&telemetry](Lane lane, int jobs, std::int64_t bytes) {
    telemetry.SetQueue(lane, jobs, bytes);
  };
  observer.batch_started = [&telemetry](Lane lane, int pairs) { telemetry.ObserveBatch(lane, pairs); };
  return observer;
}

std::string SizeOf(const ImageView& view) { return absl::StrCat(view.width, "x", view.height); }

// `done` may end the work that holds it: it must not live there while it runs.
void CallDone(PairWork& work) {
  const std::function<void()> done = std::move(work.done);
  done();
}

}  // namespace

Pipeline::Pipeline(const PipelineOptions& options, const Scorer& scorer, Telemetry& telemetry,
                   DeviceFailed device_failed)
    : options_(options),
      scorer_(scorer),
      telemetry_(telemetry),
      budget_(options.max_in_flight_bytes),
      workers_(options.decode_threads),
      batcher_(
          options.batcher,
          [&scorer, device_failed = std::move(device_failed)](absl::Span<PairJob* const> jobs) {
            scorer.Score(jobs);
            if (const absl::Status health = scorer.health(); !health.ok() && device_failed) device_failed(health);
          },
          ObserveWith(telemetry)) {}

absl::Status Pipeline::Start(PairWork& work) {
  work.received_at = absl::Now();
  if (work.metrics.empty()) {
    return WithReason(absl::InvalidArgumentError("the request names no metric; ListMetrics tells which there are"),
                      kBadParameter);
  }
  std::int64_t metric_count = 0;
  for (const MetricAsk& ask : work.metrics) {
    metric_count += ask.is_composition() ? static_cast<std::int64_t>(ask.terms.size()) : 1;
  }
  if (metric_count > options_.max_metrics) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("the request names ", metric_count,
                                                " metrics, terms of compositions counted; this server takes up to ",
                                                options_.max_metrics, " (max_metrics)")),
        kBadParameter);
  }
  if (!(work.alpha_background >= 0.0 && work.alpha_background <= 1.0)) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("alpha_background is ", work.alpha_background, "; it must be 0 to 1")),
        kBadParameter);
  }
  RETURN_IF_ERROR(Charge(work, work.message_bytes + kCallBytes));
  workers_.Post([this, &work] { Prepare(work); });
  return absl::OkStatus();
}

absl::Status Pipeline::Charge(PairWork& work, std::int64_t bytes) {
  const std::int64_t held = work.lease.held_bytes();
  if (bytes > budget_.limit_bytes() - held) {
    return ImageTooLarge(absl::StrCat("the request needs ", held + bytes,
                                      " bytes for its message, images and outputs; this server holds ",
                                      budget_.limit_bytes(),
                                      " in all (max_in_flight_bytes); send smaller images or "
                                      "ask for fewer maps and gradients"));
  }
  if (work.lease.TryGrow(bytes)) return absl::OkStatus();
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(absl::StrCat("the server is busy: the request needs ", bytes,
                                                           " bytes, and requests in flight hold ", budget_.used_bytes(),
                                                           " of ", budget_.limit_bytes(), "; try again later")),
                 kServerBusy),
      options_.retry_delay);
}

void Pipeline::Prepare(PairWork& work) {
  FileHeader headers[2];
  work.status = CheckWanted(*work.cancelled, work.deadline, absl::Now());
  if (work.status.ok()) work.status = Admit(work, headers);
  if (work.status.ok()) work.status = Decode(work, headers);
  work.decode_time = absl::Now() - work.received_at;
  if (!work.status.ok()) {
    CallDone(work);
    return;
  }
  telemetry_.ObserveStage(Stage::kDecode, work.decode_time);
  Enqueue(work);
}

absl::Status Pipeline::Admit(PairWork& work, FileHeader (&headers)[2]) {
  std::int64_t decoded_bytes = 0;
  const ImageSource* const sources[2] = {&work.reference, &work.distorted};
  for (int i = 0; i < 2; ++i) {
    if (const auto* raw = std::get_if<RawSamples>(sources[i])) {
      // Scored where it lies in the message, which is counted already.
      ASSIGN_OR_RETURN(work.views[i], ViewRaw(*raw, options_.image_limits, kNames[i]));
    } else {
      const absl::string_view file = std::get<EncodedFile>(*sources[i]).bytes;
      ASSIGN_OR_RETURN(headers[i], ReadHeader(file, options_.image_limits, kNames[i]));
      decoded_bytes += headers[i].image_bytes();
      work.scratch_bytes = std::max(work.scratch_bytes, headers[i].scratch_bytes);
      // The shape is what plans are made of; the pixels follow.
      work.views[i].width = headers[i].width;
      work.views[i].height = headers[i].height;
      work.views[i].channels = headers[i].channels;
      work.views[i].type = headers[i].type;
      work.views[i].value_of_one = DefaultValueOfOne(headers[i].type);
      work.views[i].row_bytes =
          static_cast<std::ptrdiff_t>(headers[i].width) * headers[i].channels * BytesPerSample(headers[i].type);
    }
  }
  const ImageView& reference = work.views[0];
  const ImageView& distorted = work.views[1];
  if (reference.width != distorted.width || reference.height != distorted.height) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("reference is ", SizeOf(reference), ", distorted is ",
                                                              SizeOf(distorted), "; sizes must match")),
                      kSizeMismatch);
  }
  ASSIGN_OR_RETURN(const RegionWeightsCost weights_cost,
                   CheckMasks(work.region_weights, options_.image_limits, distorted.width, distorted.height));
  work.scratch_bytes = std::max(work.scratch_bytes, weights_cost.scratch_bytes);
  RETURN_IF_ERROR(ResolveMetrics(work));
  return Charge(work, decoded_bytes + weights_cost.plane_bytes + work.scratch_bytes);
}

absl::Status Pipeline::ResolveMetrics(PairWork& work) {
  work.outcomes.resize(work.metrics.size());
  std::int64_t wire_bytes = 0;
  std::int64_t held_bytes = 0;
  std::size_t mistakes = 0;
  for (std::size_t i = 0; i < work.metrics.size(); ++i) {
    const MetricAsk& ask = work.metrics[i];
    MetricOutcome& outcome = work.outcomes[i];
    absl::Status& status = outcome.result.status;
    status = Resolve(ask, outcome);
    if (!status.ok()) {
      if (IsCallersMistake(status)) ++mistakes;
      continue;
    }
    const absl::StatusOr<std::vector<Plan>> plans = MakePlans(work, ask, outcome);
    status = plans.status();
    if (!status.ok()) continue;
    // All terms' tensors are made; one of each kind leaves.
    std::int64_t made_bytes = 0;
    std::int64_t sent_bytes = 0;
    for (const Plan& plan : *plans) {
      made_bytes += plan.output_bytes;
      sent_bytes = std::max(sent_bytes, plan.output_bytes);
    }
    if (ask.half_output) sent_bytes /= 2;
    if (sent_bytes > options_.max_output_bytes - wire_bytes) {
      status = absl::ResourceExhaustedError(absl::StrCat(
          "the map and gradient of ", ask.is_composition() ? kComposition : outcome.resolved.info->id, " are ",
          sent_bytes, " bytes, and this response already has ", wire_bytes, "; this server sends up to ",
          options_.max_output_bytes, " (max_output_bytes); ask for float16 or for fewer in one request"));
      continue;
    }
    wire_bytes += sent_bytes;
    // As floats from the scorer, in the response, and in the transport.
    held_bytes += made_bytes + 2 * sent_bytes;
    if (!ask.is_composition()) AddToLane(work, outcome, plans->front());
    for (std::size_t k = 0; k < outcome.terms.size(); ++k) AddToLane(work, outcome.terms[k], (*plans)[k]);
  }
  if (mistakes == work.metrics.size()) {
    const absl::Status& first = work.outcomes[0].result.status;
    return WithReason(absl::InvalidArgumentError(first.message()),
                      absl::IsNotFound(first) ? kUnknownMetric : kBadParameter);
  }
  return Charge(work, held_bytes);
}

absl::Status Pipeline::Resolve(const MetricAsk& ask, MetricOutcome& outcome) const {
  if (!ask.is_composition()) {
    ASSIGN_OR_RETURN(outcome.resolved, scorer_.Resolve(ask.request));
    outcome.resolved.takes_half = ask.half_output;
    return absl::OkStatus();
  }
  outcome.terms.resize(ask.terms.size());
  for (std::size_t i = 0; i < ask.terms.size(); ++i) {
    absl::StatusOr<ResolvedMetric> resolved = scorer_.Resolve(ask.terms[i].request);
    if (!resolved.ok()) return OfTerm(ask, static_cast<int>(i), resolved.status());
    outcome.terms[i].resolved = *std::move(resolved);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Plan>> Pipeline::MakePlans(const PairWork& work, const MetricAsk& ask,
                                                      const MetricOutcome& outcome) const {
  const auto plan = [&](const ResolvedMetric& resolved) {
    return scorer_.MakePlan(resolved, work.views[0], work.views[1], !work.region_weights.empty());
  };
  std::vector<Plan> plans;
  if (!ask.is_composition()) {
    ASSIGN_OR_RETURN(plans.emplace_back(), plan(outcome.resolved));
  }
  for (std::size_t i = 0; i < outcome.terms.size(); ++i) {
    const absl::StatusOr<Plan> of_term = plan(outcome.terms[i].resolved);
    if (!of_term.ok()) return OfTerm(ask, static_cast<int>(i), of_term.status());
    plans.push_back(*of_term);
  }
  return plans;
}

void Pipeline::AddToLane(PairWork& work, Scored& scored, const Plan& plan) {
  const auto lane = static_cast<int>(scored.resolved.info->learned ? Lane::kLearned : Lane::kPixel);
  work.lane_metrics[lane].push_back(scored.resolved);
  work.lane_results[lane].push_back(&scored.result);
  work.lane_output_bytes[lane] += plan.output_bytes;
  work.lane_operations[lane] += plan.operations;
}

absl::Status Pipeline::Decode(PairWork& work, const FileHeader (&headers)[2]) {
  const ImageSource* const sources[2] = {&work.reference, &work.distorted};
  for (int i = 0; i < 2; ++i) {
    if (std::holds_alternative<RawSamples>(*sources[i])) {
      const absl::Status finite = CheckFinite(work.views[i], kNames[i]);
      if (!finite.ok()) return WithReason(finite, kNonFinitePixel);
    } else {
      ASSIGN_OR_RETURN(work.decoded[i], DecodeFile(std::get<EncodedFile>(*sources[i]).bytes, headers[i], kNames[i]));
      work.views[i] = work.decoded[i].view();
    }
  }
  if (!work.region_weights.empty()) {
    ASSIGN_OR_RETURN(work.weights, CombineMasks(work.region_weights, options_.image_limits, work.views[1].width,
                                                work.views[1].height));
  }
  work.lease.Shrink(work.scratch_bytes);
  return absl::OkStatus();
}

void Pipeline::Enqueue(PairWork& work) {
  const std::int64_t image_bytes =
      work.views[0].size_bytes() + work.views[1].size_bytes() + work.weights.view().size_bytes();
  int job_count = 0;
  for (const auto& metrics : work.lane_metrics) job_count += metrics.empty() ? 0 : 1;
  if (job_count == 0) {
    CallDone(work);
    return;
  }
  work.pending = job_count;
  for (const Lane lane : {Lane::kPixel, Lane::kLearned}) {
    const auto i = static_cast<int>(lane);
    // From the last Submit on, `work` may be gone.
    if (work.lane_metrics[i].empty()) continue;
    const bool last = --job_count == 0;
    auto job = std::make_unique<Job>();
    job->pair.reference = work.views[0];
    job->pair.distorted = work.views[1];
    job->pair.metrics = work.lane_metrics[i];
    job->pair.alpha_background = work.alpha_background;
    job->pair.weights = work.weights.view();
    job->pair.averaging = work.region_weights.averaging;
    job->bytes = image_bytes + work.lane_output_bytes[i];
    job->operations = work.lane_operations[i];
    job->deadline = work.deadline;
    job->cancelled = work.cancelled;
    job->done = [this, &work, lane](Job& done, const absl::Status& status) { OnJobDone(work, lane, done, status); };
    batcher_.Submit(lane, std::move(job));
    if (last) return;
  }
}

void Pipeline::OnJobDone(PairWork& work, Lane lane, Job& job, const absl::Status& status) {
  const auto i = static_cast<int>(lane);
  work.lane_status[i] = status;
  work.lane_queue_time[i] = job.started_at - job.queued_at;
  work.lane_compute_time[i] = job.finished_at - job.started_at;
  work.lane_batch_size[i] = job.batch_size;
  telemetry_.ObserveStage(Stage::kQueue, work.lane_queue_time[i]);
  if (status.ok()) {
    telemetry_.ObserveStage(Stage::kCompute, work.lane_compute_time[i]);
    for (std::size_t k = 0; k < work.lane_results[i].size(); ++k) {
      *work.lane_results[i][k] = std::move(job.pair.results[k]);
    }
  }
  if (work.pending.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  Join(work);
  std::int64_t output_bytes = 0;
  for (const std::int64_t bytes : work.lane_output_bytes) output_bytes += bytes;
  // Summing, converting and copying megabytes would keep this slot from its next batch; a few numbers would not.
  if (output_bytes > 0) {
    workers_.Post([&work] { Finish(work); });
  } else {
    Finish(work);
  }
}

void Pipeline::Join(PairWork& work) {
  for (int i = 0; i < kLaneCount; ++i) {
    if (work.status.ok()) work.status = work.lane_status[i];
    work.queue_time = std::max(work.queue_time, work.lane_queue_time[i]);
    work.compute_time = std::max(work.compute_time, work.lane_compute_time[i]);
    work.batch_size = std::max(work.batch_size, work.lane_batch_size[i]);
  }
}

void Pipeline::Finish(PairWork& work) {
  for (std::size_t i = 0; work.status.ok() && i < work.metrics.size(); ++i) {
    MetricOutcome& outcome = work.outcomes[i];
    // One that was never scored has its status already.
    if (work.metrics[i].is_composition() && outcome.result.status.ok()) SumTerms(work.metrics[i], outcome);
  }
  CallDone(work);
}

}  // namespace likeness::server
