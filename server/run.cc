#include "server/run.h"

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/config.h"
#include "server/server.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace likeness {
namespace {

constexpr int kCannotStart = 2;
constexpr int kDeviceFailed = 3;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "likeness: %s\n", std::string(status.message()).c_str());
  return kCannotStart;
}

void StartLog(const std::string& level) {
  // stdout is for the lines that programs read.
  spdlog::set_default_logger(spdlog::stderr_logger_mt("likeness"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  spdlog::set_level(spdlog::level::from_str(level));
}

}  // namespace

int RunServer(int argc, const char* const* argv) {
  const std::string called = argc > 0 ? argv[0] : "likeness-server";
  const std::string program = called == "serve" ? "likeness serve" : called.substr(called.rfind('/') + 1);
  const absl::StatusOr<server::CommandLine> command = server::ParseCommandLine(argc, argv, program);
  if (!command.ok()) return Fail(command.status());
  if (command->print_and_exit) {
    std::fputs(command->text.c_str(), stdout);
    return 0;
  }
  const server::ServerConfig& config = command->config;
  StartLog(config.log_level);

  // Threads inherit the mask, so that the signals are left for sigwait below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const absl::StatusOr<std::unique_ptr<server::Server>> started = server::Server::Start(config);
  if (!started.ok()) return Fail(started.status());
  server::Server& server = **started;
  spdlog::info("{}", server.Describe());
  if (server.telemetry_port() >= 0) {
    std::printf("likeness: telemetry on %s:%d\n", config.telemetry_host.c_str(), server.telemetry_port());
  }
  std::printf("likeness: serving on %s:%d\n", config.host.c_str(), server.port());
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("draining: got {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  // A second signal means now.
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const absl::Status drained = server.Drain();
  if (drained.ok()) {
    spdlog::info("drained: every call in flight was answered");
  } else {
    spdlog::error("{}", std::string(drained.message()));
  }
  spdlog::default_logger()->flush();
  if (server.device_failed()) return kDeviceFailed;
  return drained.ok() ? 0 : 1;
}

}  // namespace likeness
