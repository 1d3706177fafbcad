#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/engine.h"
#include "kernels/base/status_macros.h"
#include "kernels/scorer.h"
#include "server/build_info.h"
#include "server/pipeline.h"
#include "server/reason.h"
#include "server/telemetry.h"
#include "server/translate.h"

namespace likeness::cli {
namespace {

// A call's way through the server without the wire: the same admission, decoding, queue and scorer, so that a score, a
// refusal and its message are the server's. The limits are those of a server without settings.
class LocalEngine : public Engine {
 public:
  explicit LocalEngine(std::unique_ptr<Scorer> scorer)
      : scorer_(std::move(scorer)),
        telemetry_(server::BuildInfo(), scorer_->backend(), scorer_->instruction_set(), scorer_->metrics()),
        pipeline_(server::PipelineOptions(), *scorer_, telemetry_) {}

  absl::StatusOr<v1::ListMetricsResponse> ListMetrics() override {
    v1::ListMetricsResponse response;
    server::DescribeMetrics(*scorer_, &response);
    return response;
  }

  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) override {
    server::PairWork work(&pipeline_.budget());
    RETURN_IF_ERROR(WithReasonInText(server::FromProto(request, work)));
    work.cancelled = std::make_shared<std::atomic<bool>>(false);
    absl::Notification done;
    work.done = [&done] { done.Notify(); };
    RETURN_IF_ERROR(WithReasonInText(pipeline_.Start(work)));
    done.WaitForNotification();
    RETURN_IF_ERROR(WithReasonInText(work.status));

    v1::ScoreResponse response;
    server::ToProto(request, work, &response);
    *response.mutable_provenance() = server::ProvenanceOf(*scorer_);
    return response;
  }

 private:
  static absl::Status WithReasonInText(const absl::Status& status) {
    const std::string reason = server::ReasonOf(status);
    if (reason.empty()) return status;
    return absl::Status(status.code(), absl::StrCat(status.message(), " [", reason, "]"));
  }

  const std::unique_ptr<Scorer> scorer_;
  server::Telemetry telemetry_;
  server::Pipeline pipeline_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeLocalEngine(const LocalOptions& options) {
  ScorerOptions scorer_options;
  scorer_options.threads = options.threads;
  scorer_options.weights_dir = options.weights_dir;
  ASSIGN_OR_RETURN(std::unique_ptr<Scorer> scorer, Scorer::Create(scorer_options));
  return std::make_unique<LocalEngine>(std::move(scorer));
}

}  // namespace likeness::cli
