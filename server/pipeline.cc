#include "server/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

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

// What an image will take beside its message.
struct ImageCost {
  std::int64_t bytes = 0;
  std::int64_t scratch_bytes = 0;  // while it is decoded
};

// Reads the header or checks the raw samples; `view` has the shape from then on.
absl::StatusOr<ImageCost> Measure(Arrival& image, const ImageLimits& limits) {
  if (const auto* raw = std::get_if<RawSamples>(&image.source)) {
    // Scored where it lies in the message, which is counted already.
    ASSIGN_OR_RETURN(image.view, ViewRaw(*raw, limits, image.name));
    return ImageCost{};
  }
  ASSIGN_OR_RETURN(image.header, ReadHeader(std::get<EncodedFile>(image.source).bytes, limits, image.name));
  const FileHeader& header = image.header;
  image.view.width = header.width;
  image.view.height = header.height;
  image.view.channels = header.channels;
  image.view.type = header.type;
  image.view.value_of_one = DefaultValueOfOne(header.type);
  image.view.row_bytes = static_cast<std::ptrdiff_t>(header.width) * header.channels * BytesPerSample(header.type);
  return ImageCost{header.image_bytes(), header.scratch_bytes};
}

absl::Status Fetch(Arrival& image) {
  if (std::holds_alternative<RawSamples>(image.source)) {
    const absl::Status finite = CheckFinite(image.view, image.name);
    return finite.ok() ? finite : WithReason(finite, kNonFinitePixel);
  }
  ASSIGN_OR_RETURN(image.decoded, DecodeFile(std::get<EncodedFile>(image.source).bytes, image.header, image.name));
  image.view = image.decoded.view();
  return absl::OkStatus();
}

// Pixels of a message do not outlive it.
absl::StatusOr<Image> Copy(const ImageView& view) {
  ASSIGN_OR_RETURN(Image copy,
                   Image::Create(view.width, view.height, view.channels, view.type, view.layout, view.value_of_one));
  std::memcpy(copy.data(), view.data, static_cast<std::size_t>(view.size_bytes()));
  return copy;
}

// `done` may end the work that holds it: it must not live there while it runs.
template <class Work>
void CallDone(Work& work) {
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
      references_(options.references),
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
  RETURN_IF_ERROR(Charge(work.lease, work.message_bytes + kCallBytes));
  workers_.Post([this, &work] { Prepare(work); });
  return absl::OkStatus();
}

absl::Status Pipeline::Start(KeepWork& work) {
  RETURN_IF_ERROR(Charge(work.lease, work.message_bytes + kCallBytes));
  workers_.Post([this, &work] {
    work.status = CheckWanted(*work.cancelled, work.deadline, absl::Now());
    if (work.status.ok()) work.status = Keep(work);
    CallDone(work);
  });
  return absl::OkStatus();
}

absl::Status Pipeline::Keep(KeepWork& work) {
  ASSIGN_OR_RETURN(const ImageCost cost, Measure(work.image, options_.image_limits));
  RETURN_IF_ERROR(Charge(work.lease, work.image.view.size_bytes() + cost.scratch_bytes));
  RETURN_IF_ERROR(Fetch(work.image));
  if (std::holds_alternative<RawSamples>(work.image.source)) {
    ASSIGN_OR_RETURN(work.image.decoded, Copy(work.image.view));
  }
  work.kept = std::make_shared<StoredReference>(std::move(work.image.decoded), references_.feature_bytes());
  return absl::OkStatus();
}

absl::Status Pipeline::Charge(Lease& lease, std::int64_t bytes) {
  const std::int64_t held = lease.held_bytes();
  if (bytes > budget_.limit_bytes() - held) {
    return ImageTooLarge(absl::StrCat("the request needs ", held + bytes,
                                      " bytes for its message, images and outputs, and all requests together may have ",
                                      budget_.limit_bytes(),
                                      ": send smaller images, ask for fewer maps and gradients, or allow more "
                                      "(max_in_flight_bytes of a server, --memory of the command)"));
  }
  if (lease.TryGrow(bytes)) return absl::OkStatus();
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(absl::StrCat("the server is busy: the request needs ", bytes,
                                                           " bytes, and requests in flight hold ", budget_.used_bytes(),
                                                           " of ", budget_.limit_bytes(), "; try again later")),
                 kServerBusy),
      options_.retry_delay);
}

void Pipeline::Prepare(PairWork& work) {
  work.status = CheckWanted(*work.cancelled, work.deadline, absl::Now());
  if (work.status.ok()) work.status = Admit(work);
  if (work.status.ok()) work.status = Decode(work);
  work.decode_time = absl::Now() - work.received_at;
  if (!work.status.ok()) {
    CallDone(work);
    return;
  }
  telemetry_.ObserveStage(Stage::kDecode, work.decode_time);
  Enqueue(work);
}

absl::Status Pipeline::Admit(PairWork& work) {
  if (!work.reference_id.empty()) {
    ASSIGN_OR_RETURN(work.kept, references_.Find(work.reference_id, work.received_at));
  }
  std::int64_t decoded_bytes = 0;
  if (work.kept != nullptr) work.reference.view = work.kept->image.view();
  for (Arrival* image : {&work.reference, &work.distorted}) {
    if (image == &work.reference && work.kept != nullptr) continue;
    ASSIGN_OR_RETURN(const ImageCost cost, Measure(*image, options_.image_limits));
    decoded_bytes += cost.bytes;
    work.scratch_bytes = std::max(work.scratch_bytes, cost.scratch_bytes);
  }
  const ImageView& reference = work.reference.view;
  const ImageView& distorted = work.distorted.view;
  if (reference.width != distorted.width || reference.height != distorted.height) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("reference is ", SizeOf(reference), ", distorted is ",
                                                              SizeOf(distorted), "; sizes must match")),
                      kSizeMismatch);
  }
  ASSIGN_OR_RETURN(const RegionWeightsCost weights_cost,
                   CheckMasks(work.region_weights, options_.image_limits, distorted.width, distorted.height));
  work.scratch_bytes = std::max(work.scratch_bytes, weights_cost.scratch_bytes);
  RETURN_IF_ERROR(ResolveMetrics(work));
  return Charge(work.lease, decoded_bytes + weights_cost.plane_bytes + work.scratch_bytes);
}

absl::Status Pipeline::ResolveMetrics(PairWork& work) {
  work.outcomes.resize(work.metrics.size());
  const std::int64_t limit = std::min(options_.max_output_bytes, work.output_limit_bytes);
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
    if (sent_bytes > limit - wire_bytes) {
      status = absl::ResourceExhaustedError(absl::StrCat(
          "the map and gradient of ", ask.is_composition() ? kComposition : outcome.resolved.info->id, " are ",
          sent_bytes, " bytes, and this pair already has ", wire_bytes, "; this server sends up to ", limit,
          " for it (max_output_bytes); ask for float16 or for fewer in one request"));
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
  return Charge(work.lease, held_bytes);
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
    return scorer_.MakePlan(resolved, work.reference.view, work.distorted.view, !work.region_weights.empty());
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

absl::Status Pipeline::Decode(PairWork& work) {
  if (work.kept == nullptr) RETURN_IF_ERROR(Fetch(work.reference));
  RETURN_IF_ERROR(Fetch(work.distorted));
  if (!work.region_weights.empty()) {
    ASSIGN_OR_RETURN(work.weights, CombineMasks(work.region_weights, options_.image_limits, work.distorted.view.width,
                                                work.distorted.view.height));
  }
  work.lease.Shrink(work.scratch_bytes);
  return absl::OkStatus();
}

void Pipeline::Enqueue(PairWork& work) {
  const std::int64_t image_bytes =
      work.reference.view.size_bytes() + work.distorted.view.size_bytes() + work.weights.view().size_bytes();
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
    job->pair.reference = work.reference.view;
    job->pair.distorted = work.distorted.view;
    if (work.kept != nullptr) job->pair.kept = &work.kept->features;
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
  if (!work.reference_id.empty()) references_.Recount(work.reference_id, absl::Now());
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
