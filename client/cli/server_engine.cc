#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/engine.h"
#include "client/client.h"

namespace likeness::cli {
namespace {

class ServerEngine : public Engine {
 public:
  ServerEngine(std::string address, std::unique_ptr<client::Client> client)
      : address_(std::move(address)), client_(std::move(client)) {}

  absl::StatusOr<v1::ListMetricsResponse> ListMetrics() override { return Explain(client_->ListMetrics()); }

  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) override {
    return Explain(client_->Score(request));
  }

 private:
  // Says which server, and for a server that is not there what to do about it.
  template <typename T>
  absl::StatusOr<T> Explain(absl::StatusOr<T> answer) const {
    if (answer.ok()) return answer;
    const absl::Status& status = answer.status();
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
  const std::unique_ptr<client::Client> client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeServerEngine(const std::string& address, absl::Duration timeout) {
  client::ClientOptions options;
  options.target = address;
  options.timeout = timeout;
  auto client = client::Client::Create(options);
  if (!client.ok()) return client.status();
  return std::make_unique<ServerEngine>(address, *std::move(client));
}

}  // namespace likeness::cli
