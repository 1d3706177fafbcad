#include "tests/service/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"

namespace likeness::testing {
namespace {

// Starts the binary with its stdout, and stderr if asked, on a pipe. Returns the reading end.
int Spawn(const std::vector<std::string>& flags, bool with_stderr, pid_t* pid) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  std::vector<char*> arguments;
  const std::string binary = LIKENESS_SERVER_BINARY;
  arguments.push_back(const_cast<char*>(binary.c_str()));
  for (const std::string& flag : flags) arguments.push_back(const_cast<char*>(flag.c_str()));
  arguments.push_back(nullptr);
  *pid = fork();
  if (*pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    if (with_stderr) dup2(ends[1], STDERR_FILENO);
    execv(arguments[0], arguments.data());
    std::fprintf(stderr, "cannot run %s: %s\n", arguments[0], std::strerror(errno));
    _exit(127);
  }
  close(ends[1]);
  return ends[0];
}

int CodeOf(int wait_status) { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status); }

std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
      char buffer[4096];
      ssize_t count = 0;
      while ((count = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<std::size_t>(count));
    }
  }
  close(fd);
  return text;
}

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return details;
}

}  // namespace

std::unique_ptr<ServerProcess> ServerProcess::Start(const std::vector<std::string>& flags) {
  std::vector<std::string> all = {"--port", "0", "--telemetry-port", "0", "--log-level", "warning"};
  all.insert(all.end(), flags.begin(), flags.end());
  std::unique_ptr<ServerProcess> server(new ServerProcess);
  const int fd = Spawn(all, false, &server->pid_);
  std::FILE* const out = fdopen(fd, "r");
  char line[512];
  while (out != nullptr && server->address_.empty() && std::fgets(line, sizeof(line), out) != nullptr) {
    char address[256];
    int port = 0;
    if (std::sscanf(line, "likeness: telemetry on 127.0.0.1:%d", &port) == 1) server->telemetry_port_ = port;
    if (std::sscanf(line, "likeness: serving on %255s", address) == 1) server->address_ = address;
  }
  if (out != nullptr) std::fclose(out);
  if (server->address_.empty()) {
    std::fprintf(stderr, "%s did not come up; it ended with %d\n", LIKENESS_SERVER_BINARY, server->WaitForExit(10));
    return nullptr;
  }
  return server;
}

ServerProcess::~ServerProcess() {
  if (!IsRunning()) return;
  Signal(SIGKILL);
  WaitForExit(10);
}

std::shared_ptr<grpc::Channel> ServerProcess::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // Channels of one process would otherwise share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::ScoringService::Stub> ServerProcess::NewStub() const {
  const std::shared_ptr<grpc::Channel> channel = NewChannel();
  // When many clients connect at one time, gRPC 1.51's first attempt now and then fails on the client's side, and all
  // calls of the following second fail with it. A channel tries again by itself.
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return v1::ScoringService::NewStub(channel);
}

void ServerProcess::Signal(int number) { kill(pid_, number); }

bool ServerProcess::IsRunning() { return WaitForExit(0) == -1; }

int ServerProcess::WaitForExit(int seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (exit_code_ == -1) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = CodeOf(status);
      break;
    }
    if (std::chrono::steady_clock::now() >= until) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return exit_code_;
}

std::int64_t ServerProcess::ResidentBytes() const {
  std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double ServerProcess::CpuSeconds() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The name in parentheses may hold spaces; after it, user and system time are the 12th and 13th fields.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0.0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0.0;
  double system = 0.0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string ServerProcess::FetchTelemetry() const { return HttpGet(telemetry_port_, "/metrics"); }

double ServerProcess::Telemetry(const std::string& series) const {
  std::istringstream lines(FetchTelemetry());
  std::string line;
  while (std::getline(lines, line)) {
    if (line.size() > series.size() && line.compare(0, series.size(), series) == 0 && line[series.size()] == ' ') {
      return std::strtod(line.c_str() + series.size(), nullptr);
    }
  }
  return 0.0;
}

bool ServerProcess::WaitForTelemetry(const std::string& series, double least) const {
  for (int i = 0; i < 2000; ++i) {
    if (Telemetry(series) >= least) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

int ServerProcess::CheckHealth(const std::string& service) const {
  // grpc.health.v1 by hand, since its messages are two fields: HealthCheckRequest.service is 1, the answer's status 1.
  std::string message;
  if (!service.empty()) message = std::string("\x0a") + static_cast<char>(service.size()) + service;
  const grpc::Slice slice(message);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::GenericStub stub(NewChannel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice answer;
  if (!status.ok() || !response.DumpToSingleSlice(&answer).ok() || answer.size() != 2) return -1;
  return answer.begin()[1];
}

ExitResult RunToExit(const std::vector<std::string>& flags) {
  pid_t pid = -1;
  const int fd = Spawn(flags, true, &pid);
  ExitResult result;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(fd, buffer, sizeof(buffer))) > 0) result.output.append(buffer, static_cast<std::size_t>(count));
  close(fd);
  int status = 0;
  waitpid(pid, &status, 0);
  result.code = CodeOf(status);
  return result;
}

v1::Image RawImage(const Pixels& pixels) {
  v1::Image image;
  v1::RawImage& raw = *image.mutable_raw();
  raw.set_data(pixels.bytes);
  raw.set_width(pixels.width);
  raw.set_height(pixels.height);
  raw.set_channels(pixels.channels);
  raw.set_data_type(pixels.bit_depth == 16 ? v1::DATA_TYPE_UINT16 : v1::DATA_TYPE_UINT8);
  return image;
}

v1::Image RawFloatImage(int width, int height, int channels, const std::vector<float>& samples) {
  v1::Image image;
  v1::RawImage& raw = *image.mutable_raw();
  raw.set_data(samples.data(), samples.size() * sizeof(float));
  raw.set_width(width);
  raw.set_height(height);
  raw.set_channels(channels);
  raw.set_data_type(v1::DATA_TYPE_FLOAT32);
  return image;
}

v1::Image EncodedImage(const std::string& file) {
  v1::Image image;
  image.set_encoded(file);
  return image;
}

v1::ScoreRequest MakeRequest(const v1::Image& reference, const v1::Image& distorted,
                             const std::vector<std::string>& metrics) {
  v1::ScoreRequest request;
  *request.mutable_reference() = reference;
  *request.mutable_distorted() = distorted;
  for (const std::string& metric : metrics) request.add_metrics()->set_metric(metric);
  return request;
}

grpc::Status Score(v1::ScoringService::Stub& stub, const v1::ScoreRequest& request, v1::ScoreResponse* response,
                   int timeout_ms) {
  grpc::ClientContext context;
  if (timeout_ms > 0) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
  }
  return stub.Score(&context, request, response);
}

std::string ReasonOf(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info.domain() == "likeness" ? info.reason() : "domain " + info.domain();
  }
  return {};
}

int RetryDelayMs(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::RetryInfo info;
    if (detail.UnpackTo(&info)) {
      return static_cast<int>(info.retry_delay().seconds() * 1000 + info.retry_delay().nanos() / 1000000);
    }
  }
  return -1;
}

std::string BitsOf(const v1::ScoreResponse& response) {
  std::string bits;
  for (const v1::MetricResult& result : response.results()) {
    const double score = result.score();
    bits += result.metric() + std::to_string(result.code());
    bits.append(reinterpret_cast<const char*>(&score), sizeof(score));
    bits += result.map().data();
    bits += result.gradient().data();
  }
  return bits;
}

std::string DefaultRequest(const v1::MetricInfo& metric) {
  return metric.needs_convention() ? metric.id() + ":" + metric.conventions(0).name() : metric.id();
}

std::vector<std::string> AvailableMetrics(v1::ScoringService::Stub& stub, bool with_gradient) {
  grpc::ClientContext context;
  v1::ListMetricsResponse response;
  std::vector<std::string> ids;
  if (!stub.ListMetrics(&context, {}, &response).ok()) return ids;
  for (const v1::MetricInfo& metric : response.metrics()) {
    if (metric.unavailable().empty() && (metric.has_gradient() || !with_gradient)) {
      ids.push_back(DefaultRequest(metric));
    }
  }
  return ids;
}

}  // namespace likeness::testing
