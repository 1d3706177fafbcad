// The gRPC face: translates, hands on, answers. Never decodes, blocks or scores.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "kernels/scorer.h"
#include "likeness/v1/likeness.grpc.pb.h"
#include "server/config.h"
#include "server/pipeline.h"
#include "server/telemetry.h"

namespace likeness::server {

// Thread safe. Must outlive the grpc::Server that it is registered with.
class Service final : public v1::ScoringService::CallbackService {
 public:
  // `scorer` and `telemetry` must outlive it. `device_failed`: see Pipeline.
  Service(const ServerConfig& config, const Scorer& scorer, Telemetry& telemetry, DeviceFailed device_failed = {});

  // From now on calls that take work are answered with UNAVAILABLE and DRAINING. Those in flight go on, but streams
  // take no more pairs.
  void StartDraining();
  // True when no call that takes work is in flight, its reply handed to the transport included; false at the deadline.
  bool WaitIdle(absl::Time deadline);
  int in_flight() const;

  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override;
  grpc::ServerUnaryReactor* ScoreMany(grpc::CallbackServerContext* context, const v1::ScoreManyRequest* request,
                                      v1::ScoreManyResponse* response) override;
  grpc::ServerUnaryReactor* ListMetrics(grpc::CallbackServerContext* context, const v1::ListMetricsRequest* request,
                                        v1::ListMetricsResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;
  grpc::ServerBidiReactor<v1::ScoreRequest, v1::ScoreResponse>* ScoreStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* PutReference(grpc::CallbackServerContext* context, const v1::PutReferenceRequest* request,
                                         v1::PutReferenceResponse* response) override;
  grpc::ServerUnaryReactor* DeleteReference(grpc::CallbackServerContext* context,
                                            const v1::DeleteReferenceRequest* request,
                                            v1::DeleteReferenceResponse* response) override;

 private:
  template <class Reactor>
  class Call;
  class ScoreCall;
  class KeepCall;
  class ManyCall;
  class StreamCall;
  class TimedMessages;
  class TimedAllocator;

  // Counts and answers a call that needs no work.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const char* method,
                                   const absl::Status& status);
  // UNAVAILABLE while draining.
  absl::Status CheckAccepting() const;
  // Counts calls that begin and end, and shows what all of them hold.
  void ChangeInFlight(int by);
  // Tells telemetry what became of a pair.
  void Observe(const PairWork& work, const google::protobuf::RepeatedPtrField<v1::MetricResult>& results);
  void ShowReferences();

  Telemetry& telemetry_;
  const std::int64_t max_output_bytes_;
  v1::Provenance provenance_;
  v1::ListMetricsResponse metrics_;
  v1::GetServerInfoResponse info_;
  std::atomic<bool> draining_{false};
  mutable absl::Mutex mutex_;
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<StreamCall*> streams_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::MessageAllocator<v1::ScoreRequest, v1::ScoreResponse>> allocator_;
  // Last: its threads finish calls, which use the rest.
  Pipeline pipeline_;
};

}  // namespace likeness::server
