#include "server/service.h"

#include <algorithm>
#include <utility>

#include "kernels/base/status_macros.h"
#include "server/build_info.h"
#include "server/call.h"
#include "server/error.h"
#include "server/reason.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

// They stay on the CPU where CUDA came without cuDNN.
bool GpuComputesLearned(const Scorer& scorer) {
  for (const MetricInfo& metric : scorer.metrics()) {
    if (!metric.learned || !metric.unavailable.empty()) continue;
    const auto resolved = scorer.Resolve({metric.id, {}});
    if (resolved.ok() && absl::string_view(resolved->backend) == "cuda") return true;
  }
  return false;
}

PipelineOptions OptionsOf(const ServerConfig& config, const Scorer& scorer) {
  PipelineOptions options;
  options.image_limits.encoded_bytes = config.max_encoded_bytes;
  options.image_limits.side = static_cast<int>(config.max_side);
  options.image_limits.pixels = config.max_pixels;
  const int at_once = scorer.batches_at_once();
  options.batcher.slot_count = {
      std::max(static_cast<int>(config.pixel_slots), at_once),
      std::max(static_cast<int>(config.learned_slots), GpuComputesLearned(scorer) ? at_once : 1)};
  options.batcher.batch_bytes = config.batch_bytes;
  options.batcher.batch_operations = config.batch_operations;
  options.decode_threads = static_cast<int>(config.decode_threads);
  options.max_output_bytes = config.max_output_bytes;
  options.max_in_flight_bytes = config.max_in_flight_bytes;
  options.max_metrics = config.max_metrics;
  options.references.capacity_bytes = config.reference_bytes;
  options.references.time_to_live = absl::Seconds(config.reference_seconds);
  options.retry_delay = absl::Milliseconds(config.retry_delay_ms);
  return options;
}

}  // namespace

// Request and response of one call, with the time at which the request's bytes were at hand: gRPC asks for the messages
// when it has the bytes and before it parses them.
class Service::TimedMessages final : public grpc::MessageHolder<v1::ScoreRequest, v1::ScoreResponse> {
 public:
  TimedMessages() {
    set_request(&request_);
    set_response(&response_);
  }
  void Release() override { delete this; }
  absl::Time received_at() const { return received_at_; }

 private:
  const absl::Time received_at_ = absl::Now();
  v1::ScoreRequest request_;
  v1::ScoreResponse response_;
};

class Service::TimedAllocator final : public grpc::MessageAllocator<v1::ScoreRequest, v1::ScoreResponse> {
 public:
  grpc::MessageHolder<v1::ScoreRequest, v1::ScoreResponse>* AllocateMessages() override { return new TimedMessages; }
};

class Service::ScoreCall final : public Call<grpc::ServerUnaryReactor> {
 public:
  ScoreCall(Service* service, grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
            v1::ScoreResponse* response)
      : Call(service, "Score", *context,
             static_cast<const TimedMessages*>(context->GetRpcAllocatorState())->received_at()),
        request_(*request),
        response_(response),
        work_(&service->pipeline_.budget()) {
    service_.telemetry_.ObserveStage(Stage::kReceive, absl::Now() - received_at());
    if (absl::Status status = Start(); !status.ok()) Reply(status);
  }

 private:
  absl::Status Start() {
    RETURN_IF_ERROR(service_.CheckAccepting());
    RETURN_IF_ERROR(FromProto(request_, work_));
    Own(work_);
    work_.done = [this] { OnScored(); };
    return service_.pipeline_.Start(work_);
  }

  void OnScored() {
    if (!work_.status.ok()) {
      Reply(work_.status);
      return;
    }
    replied_at_ = absl::Now();
    ToProto(request_, work_, response_);
    *response_->mutable_provenance() = service_.provenance_;
    service_.Observe(work_, response_->results());
    if (!work_.reference_id.empty()) service_.ShowReferences();
    Reply(absl::OkStatus());
  }

  void OnSent(absl::Time now) override { service_.telemetry_.ObserveStage(Stage::kReply, now - replied_at_); }

  const v1::ScoreRequest& request_;
  v1::ScoreResponse* const response_;
  absl::Time replied_at_;
  PairWork work_;
};

class Service::KeepCall final : public Call<grpc::ServerUnaryReactor> {
 public:
  KeepCall(Service* service, const grpc::CallbackServerContext& context, const v1::PutReferenceRequest& request,
           v1::PutReferenceResponse* response)
      : Call(service, "PutReference", context), response_(*response), work_(&service->pipeline_.budget()) {
    if (absl::Status status = Start(request); !status.ok()) Reply(status);
  }

 private:
  absl::Status Start(const v1::PutReferenceRequest& request) {
    RETURN_IF_ERROR(service_.CheckAccepting());
    RETURN_IF_ERROR(service_.pipeline_.references().CheckRoom(0));
    RETURN_IF_ERROR(FromProto(request.image(), work_));
    Own(work_);
    work_.done = [this] { OnKept(); };
    return service_.pipeline_.Start(work_);
  }

  void OnKept() {
    absl::Status status = work_.status;
    ReferenceStore& store = service_.pipeline_.references();
    if (status.ok()) status = store.CheckRoom(work_.kept->bytes());
    if (status.ok()) {
      response_.set_reference_id(store.Put(std::move(work_.kept), absl::Now()));
      service_.ShowReferences();
    }
    Reply(status);
  }

  v1::PutReferenceResponse& response_;
  KeepWork work_;
};

Service::Service(const ServerConfig& config, const Scorer& scorer, Telemetry& telemetry, DeviceFailed device_failed)
    : telemetry_(telemetry),
      max_output_bytes_(config.max_output_bytes),
      allocator_(std::make_unique<TimedAllocator>()),
      pipeline_(OptionsOf(config, scorer), scorer, telemetry, std::move(device_failed)) {
  SetMessageAllocatorFor_Score(allocator_.get());

  provenance_ = ProvenanceOf(scorer);
  DescribeMetrics(scorer, &metrics_);

  info_.set_build(BuildInfo());
  info_.set_backend(scorer.backend());
  info_.set_instruction_set(scorer.instruction_set());
  info_.add_backends_built("cpu");
#ifdef LIKENESS_ENABLE_CUDA
  info_.add_backends_built("cuda");
#endif
  ToProto(config, info_.mutable_limits());
}

void Service::Observe(const PairWork& work, const google::protobuf::RepeatedPtrField<v1::MetricResult>& results) {
  const auto observe_precision = [&](const Scored& scored) {
    if (scored.resolved.precision == scored.result.precision || !scored.result.status.ok()) return;
    telemetry_.CountComputedAnew(scored.resolved.info->id);
  };
  for (int i = 0; i < results.size(); ++i) {
    observe_precision(work.outcomes[i]);
    for (const Scored& term : work.outcomes[i].terms) observe_precision(term);
    const absl::Status& status = work.outcomes[i].result.status;
    const std::string& metric = results[i].metric();
    if (status.ok()) {
      telemetry_.ObserveScore(metric, work.outcomes[i].result.score);
    } else {
      telemetry_.CountMetricFailure(metric, status.code());
    }
    for (const v1::TermResult& term : results[i].terms()) {
      if (term.has_score()) telemetry_.ObserveScore(term.metric(), term.score());
    }
  }
}

absl::Status Service::CheckAccepting() const {
  if (!draining_.load()) return absl::OkStatus();
  return WithReason(absl::UnavailableError("this server is shutting down; send the request to another one"), kDraining);
}

bool Service::WaitIdle(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return in_flight_ == 0; };
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
}

int Service::in_flight() const {
  absl::MutexLock lock(&mutex_);
  return in_flight_;
}

void Service::ChangeInFlight(int by) {
  absl::MutexLock lock(&mutex_);
  in_flight_ += by;
  telemetry_.SetInFlight(in_flight_, pipeline_.budget().used_bytes());
}

grpc::ServerUnaryReactor* Service::Score(grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
                                         v1::ScoreResponse* response) {
  return new ScoreCall(this, context, request, response);
}

grpc::ServerUnaryReactor* Service::Answer(grpc::CallbackServerContext* context, const char* method,
                                          const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  telemetry_.CountRequest(method, status.code(), absl::ZeroDuration());
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* Service::ListMetrics(grpc::CallbackServerContext* context, const v1::ListMetricsRequest*,
                                               v1::ListMetricsResponse* response) {
  *response = metrics_;
  return Answer(context, "ListMetrics", absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
                                                 v1::GetServerInfoResponse* response) {
  *response = info_;
  return Answer(context, "GetServerInfo", absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::PutReference(grpc::CallbackServerContext* context,
                                                const v1::PutReferenceRequest* request,
                                                v1::PutReferenceResponse* response) {
  return new KeepCall(this, *context, *request, response);
}

grpc::ServerUnaryReactor* Service::DeleteReference(grpc::CallbackServerContext* context,
                                                   const v1::DeleteReferenceRequest* request,
                                                   v1::DeleteReferenceResponse*) {
  const absl::Status status = pipeline_.references().Delete(request->reference_id(), absl::Now());
  ShowReferences();
  return Answer(context, "DeleteReference", status);
}

void Service::ShowReferences() {
  const ReferenceStore::Usage usage = pipeline_.references().usage();
  telemetry_.SetReferences(usage.count, usage.bytes);
}

}  // namespace likeness::server
