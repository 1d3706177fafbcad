#include "server/server.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "kernels/base/status_macros.h"
#include "kernels/scorer.h"
#include "server/build_info.h"
#include "server/service.h"
#include "server/telemetry.h"
#include "spdlog/spdlog.h"

namespace likeness::server {
namespace {

constexpr char kServiceName[] = "likeness.v1.ScoringService";

// How long calls may still run when they were cancelled: a batch that is being scored finishes first.
constexpr absl::Duration kWatchdogDelay = absl::Seconds(5);

absl::StatusOr<ScorerOptions> OptionsOf(const ServerConfig& config) {
  ScorerOptions options;
  if (config.backend == "cpu") {
    options.backend = Backend::kCpu;
  } else if (config.backend == "cuda") {
    options.backend = Backend::kCuda;
  } else if (config.backend != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("backend is ", config.backend, "; it must be auto, cpu or cuda"));
  }
  options.threads = static_cast<int>(config.threads);
  options.slot_bytes = config.slot_bytes;
  options.weights_dir = config.weights_dir;
  options.instruction_set = config.instruction_set;
  return options;
}

}  // namespace

struct Server::Impl {
  ServerConfig config;
  std::unique_ptr<Scorer> scorer;
  std::unique_ptr<Telemetry> telemetry;
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> grpc_server;
  int port = 0;
  int telemetry_port = -1;
  std::atomic<bool> device_failed{false};

  void OnDeviceFailed(const absl::Status& why);
};

// Nothing but a new process scores on that GPU again: says so to load balancers, and ends this one in good order.
void Server::Impl::OnDeviceFailed(const absl::Status& why) {
  if (device_failed.exchange(true)) return;
  spdlog::critical("{}; draining to be started again", std::string(why.message()));
  if (grpc_server != nullptr) grpc_server->GetHealthCheckService()->SetServingStatus(false);
  kill(getpid(), SIGTERM);
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  ASSIGN_OR_RETURN(const ScorerOptions options, OptionsOf(config));
  ASSIGN_OR_RETURN(impl->scorer, Scorer::Create(options));
  const Scorer& scorer = *impl->scorer;
  impl->telemetry =
      std::make_unique<Telemetry>(BuildInfo(), scorer.backend(), scorer.instruction_set(), scorer.metrics());
  impl->telemetry->ObserveDevices([&scorer] { return scorer.devices(); });
  if (config.telemetry_port >= 0) {
    ASSIGN_OR_RETURN(impl->telemetry_port,
                     impl->telemetry->Expose(config.telemetry_host, static_cast<int>(config.telemetry_port)));
  }
  impl->service = std::make_unique<Service>(config, scorer, *impl->telemetry,
                                            [raw = impl.get()](const absl::Status& why) { raw->OnDeviceFailed(why); });

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  const std::string address = absl::StrCat(config.host, ":", config.port);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &impl->port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_message_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(config.max_streams_per_connection));
  // Two servers on one port would share its calls by chance; the second must fail to start.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(impl->service.get());
  impl->grpc_server = builder.BuildAndStart();
  if (impl->grpc_server == nullptr || impl->port == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot serve on ", address, ": the port may be taken (choose another, or 0 for any free one), or ",
        config.host, " may be no address of this machine (an IPv6 address goes in brackets, as in [::1])"));
  }
  impl->grpc_server->GetHealthCheckService()->SetServingStatus(kServiceName, true);
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::~Server() {
  if (impl_->grpc_server == nullptr) return;
  const absl::Status status = Drain();
  if (!status.ok()) spdlog::error("{}", std::string(status.message()));
}

bool Server::device_failed() const { return impl_->device_failed; }
int Server::port() const { return impl_->port; }
int Server::telemetry_port() const { return impl_->telemetry_port; }

std::string Server::Describe() const {
  const std::string& cuda = impl_->scorer->cuda_note();
  int available = 0;
  for (const MetricInfo& metric : impl_->scorer->metrics()) available += metric.unavailable.empty() ? 1 : 0;
  return absl::StrCat("likeness ", BuildInfo(), ", backend ", impl_->scorer->backend(), " (",
                      impl_->scorer->instruction_set(), "), ", available, " of ", impl_->scorer->metrics().size(),
                      " metrics available", cuda.empty() ? "" : "; ", cuda);
}

absl::Status Server::Drain() {
  const ServerConfig& config = impl_->config;
  impl_->grpc_server->GetHealthCheckService()->SetServingStatus(false);
  // Load balancers need time to see it; until then, answering beats refusing.
  absl::SleepFor(absl::Seconds(config.drain_delay_seconds));
  impl_->service->StartDraining();
  const bool idle = impl_->service->WaitIdle(absl::Now() + absl::Seconds(config.drain_seconds));
  const int left = impl_->service->in_flight();

  // Shutdown returns only when every call has, whatever its deadline: it cancels what is left, which the queue drops
  // when it is taken. A batch that is being scored cannot be stopped, and nobody waits for it any more.
  absl::Notification stopped;
  std::thread watchdog([&stopped] {
    if (stopped.WaitForNotificationWithTimeout(kWatchdogDelay)) return;
    spdlog::error("a batch is still being scored {} s after its calls were cancelled; exiting without it",
                  absl::ToInt64Seconds(kWatchdogDelay));
    spdlog::default_logger()->flush();
    _exit(1);
  });
  // The short grace is for calls that came while the last ones finished: they get their refusal.
  impl_->grpc_server->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
  impl_->grpc_server->Wait();
  stopped.Notify();
  watchdog.join();
  impl_->grpc_server.reset();
  if (idle) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(left, " calls were cancelled: they did not finish within ",
                                                  config.drain_seconds, " s (drain_seconds)"));
}

}  // namespace likeness::server
