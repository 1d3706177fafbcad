// A running server: scorer, service, telemetry and the gRPC server around them. START HERE for server/.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config.h"

namespace likeness::server {

class Server {
 public:
  // Returns when it serves. FAILED_PRECONDITION: an address that is not to be had, or a backend or instruction set that
  // this machine lacks.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config);
  // Drains first, unless Drain was called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // -1 when telemetry is off.
  int telemetry_port() const;
  // A GPU failed for good. The server then sends SIGTERM to its own process, whose exit code should say so.
  bool device_failed() const;
  // One line for the log: build, backend, metrics.
  std::string Describe() const;

  // Stops without losing an answer: health says NOT_SERVING, new calls are refused, calls in flight finish and their
  // replies leave. Blocks; DEADLINE_EXCEEDED when calls had to be cancelled after config.drain_seconds. Ends the
  // process when even cancelled calls do not return.
  absl::Status Drain();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace likeness::server
