// ScoreMany: one reference, kept for the length of the call, and a pair of the pipeline's for each image.
#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/call.h"
#include "server/reason.h"
#include "server/service.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

constexpr int kMaxImages = 256;

}  // namespace

class Service::ManyCall final : public Call<grpc::ServerUnaryReactor> {
 public:
  ManyCall(Service* service, const grpc::CallbackServerContext& context, const v1::ScoreManyRequest& request,
           v1::ScoreManyResponse* response)
      : Call(service, "ScoreMany", context),
        request_(request),
        response_(*response),
        reference_(&service->pipeline_.budget()) {
    if (absl::Status status = Start(); !status.ok()) Reply(status);
  }

 private:
  absl::Status Start() {
    RETURN_IF_ERROR(service_.CheckAccepting());
    if (request_.distorted_size() < 1 || request_.distorted_size() > kMaxImages) {
      return WithReason(absl::InvalidArgumentError(absl::StrCat("the request has ", request_.distorted_size(),
                                                                " distorted images; it may have 1 to ", kMaxImages)),
                        kBadParameter);
    }
    // What is wrong with the metrics or weights is wrong with all pairs: the call fails.
    for (int i = 0; i < request_.distorted_size(); ++i) {
      PairWork& pair = pairs_.emplace_back(&service_.pipeline_.budget());
      pair.status = FromProto(request_, i, pair);
      if (ReasonOf(pair.status) == kBadParameter) return pair.status;
      pair.output_limit_bytes = service_.max_output_bytes_ / request_.distorted_size();
    }
    if (request_.reference().has_reference_id()) {
      ASSIGN_OR_RETURN(const std::string id, ToReferenceId(request_.reference()));
      ASSIGN_OR_RETURN(kept_, service_.pipeline_.references().Find(id, received_at()));
      StartPairs();
      return absl::OkStatus();
    }
    reference_.image.name = "reference";
    RETURN_IF_ERROR(FromProto(request_.reference(), reference_));
    Own(reference_);
    reference_.done = [this] {
      if (!reference_.status.ok()) {
        Reply(reference_.status);
        return;
      }
      kept_ = reference_.kept;
      StartPairs();
    };
    return service_.pipeline_.Start(reference_);
  }

  void StartPairs() {
    // One more than there are pairs: none of them ends the call while others are being started.
    pending_ = static_cast<int>(pairs_.size()) + 1;
    for (PairWork& pair : pairs_) {
      pair.kept = kept_;
      Own(pair);
      pair.done = [this] { OnPairDone(); };
      // Once started, a pair is the pipeline's.
      absl::Status status = pair.status;
      if (status.ok()) status = service_.pipeline_.Start(pair);
      if (status.ok()) continue;
      pair.status = std::move(status);
      OnPairDone();
    }
    OnPairDone();
  }

  void OnPairDone() {
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    // Where every pair failed for one reason, the call did.
    const absl::Status& first = pairs_.front().status;
    if (!first.ok() && std::all_of(pairs_.begin(), pairs_.end(), [&](const PairWork& pair) {
          return pair.status.code() == first.code() && ReasonOf(pair.status) == ReasonOf(first);
        })) {
      Reply(first);
      return;
    }
    response_.set_request_id(request_.request_id());
    for (PairWork& pair : pairs_) {
      v1::PairScores* const scores = response_.add_pairs();
      ToProto(pair, scores);
      service_.Observe(pair, scores->results());
    }
    *response_.mutable_provenance() = service_.provenance_;
    if (request_.reference().has_reference_id()) {
      service_.pipeline_.references().Recount(request_.reference().reference_id(), absl::Now());
      service_.ShowReferences();
    }
    Reply(absl::OkStatus());
  }

  const v1::ScoreManyRequest& request_;
  v1::ScoreManyResponse& response_;
  std::shared_ptr<StoredReference> kept_;
  KeepWork reference_;
  std::deque<PairWork> pairs_;
  std::atomic<int> pending_{0};
};

grpc::ServerUnaryReactor* Service::ScoreMany(grpc::CallbackServerContext* context, const v1::ScoreManyRequest* request,
                                             v1::ScoreManyResponse* response) {
  return new ManyCall(this, *context, *request, response);
}

}  // namespace likeness::server
