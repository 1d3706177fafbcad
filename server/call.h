// What the calls that take work have in common: counted while they live, cancelled by their callers, answered once.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "server/error.h"
#include "server/reason.h"
#include "server/service.h"

namespace likeness::server {

// Deletes itself once its reply has been handed to the transport. Reactor: of a unary call, or of a stream.
template <class Reactor>
class Service::Call : public Reactor {
 public:
  // On any thread, also while the call is being answered.
  void OnCancel() final { cancelled_->store(true, std::memory_order_relaxed); }

  void OnDone() final {
    const absl::Time now = absl::Now();
    if (code_ == absl::StatusCode::kOk) OnSent(now);
    service_.telemetry_.CountRequest(method_, code_, now - received_at_);
    Service& service = service_;
    delete this;
    service.ChangeInFlight(-1);
  }

 protected:
  Call(Service* service, const char* method, const grpc::CallbackServerContext& context,
       absl::Time received_at = absl::Now())
      : service_(*service),
        method_(method),
        received_at_(received_at),
        deadline_(absl::FromChrono(context.deadline())) {
    service_.ChangeInFlight(1);
  }
  ~Call() override = default;

  // An answer that is OK has left.
  virtual void OnSent(absl::Time) {}

  // Fills the caller's part of a work that this call waits for.
  template <class Work>
  void Own(Work& work) const {
    work.deadline = deadline_;
    work.cancelled = cancelled_;
  }

  // The call may be gone when Finish returns.
  void Reply(const absl::Status& status) {
    code_ = status.code();
    const std::string reason = ReasonOf(status);
    if (!reason.empty()) service_.telemetry_.CountRejection(reason);
    this->Finish(ToGrpcStatus(status));
  }

  absl::Time received_at() const { return received_at_; }
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }

  Service& service_;

 private:
  const char* const method_;
  const absl::Time received_at_;
  const absl::Time deadline_;
  // Outlives the call where a job still looks at it.
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  absl::StatusCode code_ = absl::StatusCode::kOk;
};

}  // namespace likeness::server
