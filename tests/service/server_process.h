// A real server in a process of its own, and what tests say to it over loopback.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "likeness/v1/likeness.grpc.pb.h"
#include "tests/service/images.h"

namespace likeness::testing {

class ServerProcess {
 public:
  // Starts the server on free ports with `flags` and returns when it serves. Null, with the reason on stderr, when it
  // does not. Server logs go to this process's stderr.
  static std::unique_ptr<ServerProcess> Start(const std::vector<std::string>& flags = {});
  // Ends the process if it still runs.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  pid_t pid() const { return pid_; }
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::unique_ptr<v1::ScoringService::Stub> NewStub() const;

  void Signal(int number);
  bool IsRunning();
  // The exit code; 128 + the signal that ended it; -1 when it still runs after the time.
  int WaitForExit(int seconds);
  // Resident memory, 0 when the process is gone.
  std::int64_t ResidentBytes() const;
  // Processor time that it has used, all threads; 0 when it is gone.
  double CpuSeconds() const;

  // The text of /metrics.
  std::string FetchTelemetry() const;
  // One value of it; `series` with its labels in alphabetical order. 0 when there is no such line.
  double Telemetry(const std::string& series) const;
  // Waits until a value is at least `least`; false after 20 s.
  bool WaitForTelemetry(const std::string& series, double least) const;
  // Status of grpc.health.v1 for a service: 1 SERVING, 2 NOT_SERVING; -1 when the call fails.
  int CheckHealth(const std::string& service) const;

 private:
  ServerProcess() = default;

  pid_t pid_ = -1;
  int exit_code_ = -1;
  std::string address_;
  int telemetry_port_ = -1;
};

// Runs the server with `flags` until it ends by itself: exit code and what it wrote, both streams.
struct ExitResult {
  int code = 0;
  std::string output;
};
ExitResult RunToExit(const std::vector<std::string>& flags);

v1::Image RawImage(const Pixels& pixels);
v1::Image RawFloatImage(int width, int height, int channels, const std::vector<float>& samples);
v1::Image EncodedImage(const std::string& file);
v1::ScoreRequest MakeRequest(const v1::Image& reference, const v1::Image& distorted,
                             const std::vector<std::string>& metrics);

// Calls Score on a channel of its own or on `stub`; timeout 0: none.
grpc::Status Score(v1::ScoringService::Stub& stub, const v1::ScoreRequest& request, v1::ScoreResponse* response,
                   int timeout_ms = 60000);

// The reason of a status's ErrorInfo, empty when it has none; checks that the domain is ours.
std::string ReasonOf(const grpc::Status& status);
// Milliseconds of its RetryInfo, -1 when it has none.
int RetryDelayMs(const grpc::Status& status);

// Score, map and gradient of every result: equal strings are equal bits.
std::string BitsOf(const v1::ScoreResponse& response);

// How to ask for a metric's default: its id, with a convention where it has no default.
std::string DefaultRequest(const v1::MetricInfo& metric);
// Default requests for the metrics that this server can compute, or only for those with a gradient.
std::vector<std::string> AvailableMetrics(v1::ScoringService::Stub& stub, bool with_gradient = false);

}  // namespace likeness::testing
