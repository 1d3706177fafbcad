#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/engine.h"
#include "client/client.h"

namespace likeness::cli {
namespace {

class ServerEngine : public Engine {
 public:
  ServerEngine(std::string address, absl::Duration timeout, std::unique_ptr<client::Client> client)
      : address_(std::move(address)), timeout_(timeout), client_(std::move(client)) {}

  absl::StatusOr<v1::ListMetricsResponse> ListMetrics() override { return Explain(client_->ListMetrics()); }

  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) override {
    return Explain(client_->Score(request));
  }

  // On average each pair has as long as a single one.
  absl::Status ScorePairs(std::size_t count, const std::function<bool(v1::ScoreRequest& request)>& next,
                          const std::function<void(v1::ScoreResponse response)>& answer) override {
    const auto info = client_->GetServerInfo();
    if (!info.ok()) return Explain(info.status());
    const std::int64_t most = info->limits().message_bytes();
    absl::Mutex mutex;
    const auto tell = [&](v1::ScoreResponse response) {
      if (!response.reason().empty()) absl::StrAppend(response.mutable_message(), " [", response.reason(), "]");
      absl::MutexLock lock(&mutex);
      answer(std::move(response));
    };
    // A message that is too long would end the stream, and every pair behind it.
    const auto next_that_fits = [&](v1::ScoreRequest& request) {
      while (next(request)) {
        const auto bytes = static_cast<std::int64_t>(request.ByteSizeLong());
        if (bytes <= most) return true;
        v1::ScoreResponse response;
        response.set_request_id(request.request_id());
        response.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
        response.set_message(absl::StrCat("both images together are ", bytes, " bytes; server ", address_,
                                          " takes messages of up to ", most,
                                          " (max_message_bytes): score smaller images, or with --local"));
        tell(std::move(response));
        request.Clear();
      }
      return false;
    };
    return Explain(client_->ScoreStream(next_that_fits, tell, timeout_ * static_cast<double>(count)));
  }

 private:
  template <typename T>
  absl::StatusOr<T> Explain(absl::StatusOr<T> answer) const {
    if (answer.ok()) return answer;
    return Explain(answer.status());
  }

  // Says which server, and for a server that is not there what to do about it.
  absl::Status Explain(const absl::Status& status) const {
    if (status.ok()) return status;
    const std::string reason = client::ErrorReason(status);
    std::string message = absl::StrCat("server ", address_, ": ", status.message());
    if (!reason.empty()) absl::StrAppend(&message, " [", reason, "]");
    if (absl::IsUnavailable(status) && reason.empty()) {
      absl::StrAppend(&message, "; start one with `likeness serve`, or score in this process with --local");
    }
    if (absl::IsDeadlineExceeded(status)) absl::StrAppend(&message, "; --timeout allows more time");
    return absl::Status(status.code(), message);
  }

  const std::string address_;
  const absl::Duration timeout_;
  const std::unique_ptr<client::Client> client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeServerEngine(const std::string& address, absl::Duration timeout) {
  client::ClientOptions options;
  options.target = address;
  options.timeout = timeout;
  auto client = client::Client::Create(options);
  if (!client.ok()) return client.status();
  return std::make_unique<ServerEngine>(address, timeout, *std::move(client));
}

}  // namespace likeness::cli
