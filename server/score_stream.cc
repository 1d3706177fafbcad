// ScoreStream: each message is a pair of the pipeline's, and its answer leaves when it is done.
//
// A pair moves from list to list: it is read, scored, answered, written. One that finds no room is held until an answer
// of its stream has left, which makes room; nothing is read meanwhile, and gRPC's flow control stops the caller.
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/base/status_macros.h"
#include "server/call.h"
#include "server/reason.h"
#include "server/service.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

// The contract's.
constexpr std::size_t kMaxPairs = 64;

}  // namespace

class Service::StreamCall final : public Call<grpc::ServerBidiReactor<v1::ScoreRequest, v1::ScoreResponse>> {
 public:
  StreamCall(Service* service, const grpc::CallbackServerContext& context) : Call(service, "ScoreStream", context) {
    {
      absl::MutexLock lock(&service_.mutex_);
      service_.streams_.insert(this);
    }
    // Draining that begins now either shows here or finds this call.
    bool over = false;
    {
      absl::MutexLock lock(&mutex_);
      draining_ = !service_.CheckAccepting().ok();
      over = Step();
    }
    if (over) End();
  }
  ~StreamCall() override {
    absl::MutexLock lock(&service_.mutex_);
    service_.streams_.erase(this);
  }

  // Reads no more. True: the call is over, and the caller must End it.
  bool Close() {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    return Step();
  }

  // The call may be gone when this returns.
  void End() {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      if (cancelled() || broken_) {
        status = absl::CancelledError("the caller left");  // for telemetry: nobody reads it
      } else if (!half_closed_) {
        status = service_.CheckAccepting();
      }
    }
    Reply(status);
  }

  void OnReadDone(bool ok) override {
    bool over = false;
    std::optional<Place> pair;
    {
      absl::MutexLock lock(&mutex_);
      if (!ok) half_closed_ = true;
      if (ok && !draining_) {
        pair = reading_.begin();
        scoring_.splice(scoring_.end(), reading_);
      }
      reading_.clear();
      over = Step();
    }
    if (pair.has_value()) Try(*pair);
    service_.ChangeInFlight(0);
    if (over) End();
  }

  void OnWriteDone(bool ok) override {
    bool over = false;
    std::optional<Place> pair;
    {
      absl::MutexLock lock(&mutex_);
      if (ok) service_.telemetry_.ObserveStage(Stage::kReply, absl::Now() - writing_.front().answered_at);
      if (!ok) broken_ = true;
      writing_.clear();
      if (!held_.empty()) {
        pair = held_.begin();
        scoring_.splice(scoring_.end(), held_, *pair);
      }
      over = Step();
    }
    if (pair.has_value()) Try(*pair);
    service_.ChangeInFlight(0);
    if (over) End();
  }

 private:
  struct Pair {
    v1::ScoreRequest request;
    v1::ScoreResponse response;
    std::optional<PairWork> work;  // made anew for each try
    absl::Time answered_at;
  };
  using Pairs = std::list<Pair>;
  using Place = Pairs::iterator;

  // Takes the steps that are due. True: the call is over, and who is told so must End it once the lock is released; it
  // is told once, and the call lives until then.
  bool Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (broken_) {
      held_.clear();
      answers_.clear();
    }
    if (writing_.empty() && !answers_.empty()) {
      writing_.splice(writing_.end(), answers_, answers_.begin());
      StartWrite(&writing_.front().response);
    }
    const std::size_t taken = scoring_.size() + held_.size() + answers_.size() + writing_.size();
    const bool reads = !half_closed_ && !draining_ && !broken_;
    if (reads && reading_.empty() && held_.empty() && taken < kMaxPairs) {
      reading_.emplace_back();
      StartRead(&reading_.front().request);
    }
    if (over_ || reads || taken > 0) return false;
    return over_ = true;
  }

  // `pair` is one of `scoring_`.
  void Try(Place pair) {
    pair->work.emplace(&service_.pipeline_.budget());
    absl::Status status = Start(pair);
    if (status.ok()) return;  // it is the pipeline's
    pair->work->status = std::move(status);
    OnPairDone(pair);
  }

  absl::Status Start(Place pair) {
    if (pair->request.request_id().empty()) {
      return WithReason(
          absl::InvalidArgumentError("request_id is empty; a pair of a stream needs one, to know its answer by"),
          kBadParameter);
    }
    PairWork& work = *pair->work;
    RETURN_IF_ERROR(FromProto(pair->request, work));
    Own(work);
    work.done = [this, pair] { OnPairDone(pair); };
    return service_.pipeline_.Start(work);
  }

  // On any thread. The call may be gone when this returns.
  void OnPairDone(Place pair) {
    const bool busy = ReasonOf(pair->work->status) == kServerBusy;
    if (!busy) Answer(*pair);  // copies maps and gradients: not under the lock
    bool over = false;
    {
      absl::MutexLock lock(&mutex_);
      const bool has_others = scoring_.size() > 1 || !answers_.empty() || !writing_.empty();
      if (busy && has_others) {
        pair->work.reset();  // and with it what room it has, that of its message included
        held_.splice(held_.end(), scoring_, pair);
      } else {
        if (busy) Answer(*pair);
        answers_.splice(answers_.end(), scoring_, pair);
      }
      over = Step();
    }
    if (over) End();
  }

  void Answer(Pair& pair) {
    pair.answered_at = absl::Now();
    PairWork& work = *pair.work;
    ToProto(pair.request, work, &pair.response);
    *pair.response.mutable_provenance() = service_.provenance_;
    service_.telemetry_.CountStreamPair(work.status.code());
    if (!pair.response.reason().empty()) service_.telemetry_.CountRejection(pair.response.reason());
    service_.Observe(work, pair.response.results());
    if (!work.reference_id.empty()) service_.ShowReferences();
  }

  absl::Mutex mutex_;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // nobody reads its answers
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  // One of `reading_` and one of `writing_` is gRPC's, those of `scoring_` are the pipeline's.
  Pairs reading_ ABSL_GUARDED_BY(mutex_);
  Pairs scoring_ ABSL_GUARDED_BY(mutex_);
  Pairs held_ ABSL_GUARDED_BY(mutex_);
  Pairs answers_ ABSL_GUARDED_BY(mutex_);
  Pairs writing_ ABSL_GUARDED_BY(mutex_);
};

void Service::StartDraining() {
  draining_.store(true);
  std::vector<StreamCall*> over;
  {
    absl::MutexLock lock(&mutex_);
    for (StreamCall* const stream : streams_) {
      if (stream->Close()) over.push_back(stream);
    }
  }
  for (StreamCall* const stream : over) stream->End();
}

grpc::ServerBidiReactor<v1::ScoreRequest, v1::ScoreResponse>* Service::ScoreStream(
    grpc::CallbackServerContext* context) {
  return new StreamCall(this, *context);
}

}  // namespace likeness::server
