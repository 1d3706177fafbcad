#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
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

// What the machine has, or the container where that may have less.
std::int64_t MachineBytes() {
  std::int64_t bytes = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  for (const char* const path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::int64_t limit = 0;
    if (std::ifstream(path) >> limit) bytes = std::min(bytes, limit);  // the word "max" is no number
  }
  return bytes;
}

std::int64_t MemoryBytes(const LocalOptions& options) {
  return options.memory_bytes > 0 ? options.memory_bytes : MachineBytes() / 2;
}

// No limits but memory: others keep a server's callers from one another.
server::PipelineOptions Unlimited(std::int64_t memory_bytes) {
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  server::PipelineOptions options;
  options.image_limits = {kNone, std::numeric_limits<int>::max(), kNone};
  options.max_output_bytes = kNone;
  options.max_metrics = kNone;
  options.max_in_flight_bytes = memory_bytes;
  return options;
}

// A call's way through the server without the wire: the same admission, decoding, queue and scorer, so that a score, a
// refusal and its message are the server's.
class LocalEngine : public Engine {
 public:
  LocalEngine(std::unique_ptr<Scorer> scorer, std::int64_t memory_bytes)
      : scorer_(std::move(scorer)),
        telemetry_(server::BuildInfo(), scorer_->backend(), scorer_->instruction_set(), scorer_->metrics()),
        pipeline_(Unlimited(memory_bytes), *scorer_, telemetry_) {}

  absl::StatusOr<v1::ListMetricsResponse> ListMetrics() override {
    v1::ListMetricsResponse response;
    server::DescribeMetrics(*scorer_, &response);
    return response;
  }

  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) override {
    v1::ScoreResponse response;
    RETURN_IF_ERROR(WithReasonInText(ScoreInto(request, &response)));
    return response;
  }

  absl::Status ScorePairs(std::size_t count, const std::function<bool(v1::ScoreRequest& request)>& next,
                          const std::function<void(v1::ScoreResponse response)>& answer) override {
    absl::Mutex sending, answering;
    const auto call = [&] {
      while (true) {
        v1::ScoreRequest request;
        {
          absl::MutexLock lock(&sending);
          if (!next(request)) return;
        }
        v1::ScoreResponse response;
        absl::Status status = ScoreInto(request, &response);
        // Without room beside the others a pair waits for them; one that has none by itself is not called busy.
        for (; server::ReasonOf(status) == server::kServerBusy; status = ScoreInto(request, &response)) {
          absl::SleepFor(server::RetryDelayOf(status));
        }
        if (!status.ok()) {
          status = WithReasonInText(status);
          response.set_request_id(request.request_id());
          response.set_code(status.raw_code());
          response.set_message(std::string(status.message()));
        }
        absl::MutexLock lock(&answering);
        answer(std::move(response));
      }
    };
    std::vector<std::thread> callers(std::min<std::size_t>(count, kCallers));
    for (std::thread& caller : callers) caller = std::thread(call);
    for (std::thread& caller : callers) caller.join();
    return absl::OkStatus();
  }

 private:
  // Enough to have files decoded and others waiting while a batch is scored.
  static constexpr std::size_t kCallers = 8;

  // Thread safe.
  absl::Status ScoreInto(const v1::ScoreRequest& request, v1::ScoreResponse* response) {
    server::PairWork work(&pipeline_.budget());
    RETURN_IF_ERROR(server::FromProto(request, work));
    work.cancelled = std::make_shared<std::atomic<bool>>(false);
    absl::Notification done;
    work.done = [&done] { done.Notify(); };
    RETURN_IF_ERROR(pipeline_.Start(work));
    done.WaitForNotification();
    RETURN_IF_ERROR(work.status);
    server::ToProto(request, work, response);
    *response->mutable_provenance() = server::ProvenanceOf(*scorer_);
    return absl::OkStatus();
  }

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

absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(const LocalOptions& options) {
  std::error_code error;
  if (!options.weights_dir.empty() && !std::filesystem::is_directory(options.weights_dir, error)) {
    return absl::NotFoundError(absl::StrCat("--weights is \"", options.weights_dir,
                                            "\", which is no folder; `make weights` fills build/weights"));
  }
  ScorerOptions scorer_options;
  scorer_options.threads = options.threads;
  scorer_options.weights_dir = options.weights_dir;
  scorer_options.cpu_workspace_bytes = MemoryBytes(options);
  // What is asked for by hand is for a GPU's slot too, and for all metrics that share steps.
  scorer_options.slot_bytes =
      options.memory_bytes > 0 ? options.memory_bytes : std::min(scorer_options.slot_bytes, MemoryBytes(options));
  return Scorer::Create(scorer_options);
}

absl::StatusOr<std::unique_ptr<Engine>> MakeLocalEngine(const LocalOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Scorer> scorer, MakeScorer(options));
  return std::make_unique<LocalEngine>(std::move(scorer), MemoryBytes(options));
}

}  // namespace likeness::cli
