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

Pipeline::Pipeline(const PipelineOptions& options, const Scorer& scorer, Telemetry& telemetry)
    : options_(options),
      scorer_(scorer),
      telemetry_(telemetry),
      budget_(options.max_in_flight_bytes),
      workers_(options.decode_threads),
      batcher_(
          options.batcher, [&scorer](absl::Span<PairJob* const> jobs) { scorer.Score(jobs); }, ObserveWith(telemetry)) {
}

absl::Status Pipeline::Start(PairWork& work) {
  work.received_at = absl::Now();
  if (work.metrics.empty()) {
    return WithReason(absl::InvalidArgumentError("the request names no metric; ListMetrics tells which there are"),
                      kBadParameter);
  }
  if (static_cast<std::int64_t>(work.metrics.size()) > options_.max_metrics) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("the request names ", work.metrics.size(),
                                                              " metrics; this server takes up to ",
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
  std::int64_t scratch_bytes = 0;
  const ImageSource* const sources[2] = {&work.reference, &work.distorted};
  for (int i = 0; i < 2; ++i) {
    if (const auto* raw = std::get_if<RawSamples>(sources[i])) {
      // Scored where it lies in the message, which is counted already.
      ASSIGN_OR_RETURN(work.views[i], ViewRaw(*raw, options_.image_limits, kNames[i]));
    } else {
      const absl::string_view file = std::get<EncodedFile>(*sources[i]).bytes;
      ASSIGN_OR_RETURN(headers[i], ReadHeader(file, options_.image_limits, kNames[i]));
      decoded_bytes += headers[i].image_bytes();
      scratch_bytes = std::max(scratch_bytes, headers[i].scratch_bytes);
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
  RETURN_IF_ERROR(ResolveMetrics(work));
  RETURN_IF_ERROR(Charge(work, decoded_bytes + scratch_bytes));
  return absl::OkStatus();
}

absl::Status Pipeline::ResolveMetrics(PairWork& work) {
  work.outcomes.resize(work.metrics.size());
  std::int64_t wire_bytes = 0;
  std::int64_t held_bytes = 0;
  std::size_t mistakes = 0;
  for (std::size_t i = 0; i < work.metrics.size(); ++i) {
    const MetricAsk& ask = work.metrics[i];
    MetricOutcome& outcome = work.outcomes[i];
    absl::StatusOr<ResolvedMetric> resolved = scorer_.Resolve(ask.request);
    if (!resolved.ok()) {
      outcome.result.status = resolved.status();
      if (IsCallersMistake(resolved.status())) ++mistakes;
      continue;
    }
    outcome.resolved = *std::move(resolved);
    const absl::StatusOr<Plan> plan = scorer_.MakePlan(outcome.resolved, work.views[0], work.views[1]);
    if (!plan.ok()) {
      outcome.result.status = plan.status();
      continue;
    }
    const std::int64_t output_wire_bytes = ask.half_output ? plan->output_bytes / 2 : plan->output_bytes;
    if (output_wire_bytes > options_.max_output_bytes - wire_bytes) {
      outcome.result.status = absl::ResourceExhaustedError(
          absl::StrCat("the map and gradient of ", outcome.resolved.info->id, " are ", output_wire_bytes,
                       " bytes, and this response already has ", wire_bytes, "; this server sends up to ",
                       options_.max_output_bytes, " (max_output_bytes); ask for float16 or for fewer in one request"));
      continue;
    }
    wire_bytes += output_wire_bytes;
    // As floats from the scorer, in the response, and in the transport.
    held_bytes += plan->output_bytes + 2 * output_wire_bytes;
    const auto lane = static_cast<int>(outcome.resolved.info->learned ? Lane::kLearned : Lane::kPixel);
    work.lane_metrics[lane].push_back(outcome.resolved);
    work.lane_outcomes[lane].push_back(static_cast<int>(i));
    work.lane_output_bytes[lane] += plan->output_bytes;
    work.lane_operations[lane] += plan->operations;
  }
  if (mistakes == work.metrics.size()) {
    const absl::Status& first = work.outcomes[0].result.status;
    return WithReason(absl::InvalidArgumentError(first.message()),
                      absl::IsNotFound(first) ? kUnknownMetric : kBadParameter);
  }
  return Charge(work, held_bytes);
}

absl::Status Pipeline::Decode(PairWork& work, const FileHeader (&headers)[2]) {
  const ImageSource* const sources[2] = {&work.reference, &work.distorted};
  std::int64_t scratch_bytes = 0;
  for (int i = 0; i < 2; ++i) {
    if (std::holds_alternative<RawSamples>(*sources[i])) {
      const absl::Status finite = CheckFinite(work.views[i], kNames[i]);
      if (!finite.ok()) return WithReason(finite, kNonFinitePixel);
    } else {
      scratch_bytes = std::max(scratch_bytes, headers[i].scratch_bytes);
      ASSIGN_OR_RETURN(work.decoded[i], DecodeFile(std::get<EncodedFile>(*sources[i]).bytes, headers[i], kNames[i]));
      work.views[i] = work.decoded[i].view();
    }
  }
  work.lease.Shrink(scratch_bytes);
  return absl::OkStatus();
}

void Pipeline::Enqueue(PairWork& work) {
  const std::int64_t image_bytes = work.views[0].size_bytes() + work.views[1].size_bytes();
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
    for (std::size_t k = 0; k < work.lane_outcomes[i].size(); ++k) {
      work.outcomes[work.lane_outcomes[i][k]].result = std::move(job.pair.results[k]);
    }
  }
  if (work.pending.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  Join(work);
  std::int64_t output_bytes = 0;
  for (const std::int64_t bytes : work.lane_output_bytes) output_bytes += bytes;
  // Converting and copying megabytes would keep this slot from its next batch; a few numbers would not.
  if (output_bytes > 0) {
    workers_.Post(std::move(work.done));
  } else {
    CallDone(work);
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

}  // namespace likeness::server
