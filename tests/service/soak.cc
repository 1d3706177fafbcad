// likeness-soak: many clients on one server for a while. Every score must have the bits that it had the first time, no
// call may fail, and the server's memory must stop growing once it is warm. Prints figures; exits 0, or 1 and says why.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "tests/service/server_process.h"

namespace likeness::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int clients = 64;
  double seconds = 300.0;
  double warm_up_seconds = 30.0;
  std::vector<std::string> metrics;
  int smallest_side = 176;
  int largest_side = 512;
  double memory_growth_percent = 5.0;
  std::vector<std::string> server_flags;
};

// A fixed set of different requests, made once: sizes, containers, metrics and outputs vary.
std::vector<v1::ScoreRequest> MakeRequests(const Options& options, const std::vector<std::string>& metrics) {
  std::mt19937 random(2026);
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 48; ++i) {
    const int least = std::min(options.smallest_side, options.largest_side);
    const int width = least + static_cast<int>(random() % (options.largest_side - least + 1));
    const int height = least + static_cast<int>(random() % (options.largest_side - least + 1));
    const int channels = i % 8 == 7 ? 4 : i % 8 == 6 ? 1 : 3;
    const Pixels reference = MakePixels(width, height, channels, i, i % 5 == 4 ? 16 : 8);
    const Pixels distorted = AddNoise(reference, 4 + i % 20, i);
    v1::Image image;
    switch (reference.bit_depth == 16 || channels != 3 ? i % 2 : i % 4) {
      case 0:
        image = RawImage(distorted);
        break;
      case 1:
        image = EncodedImage(EncodePng(distorted));
        break;
      case 2:
        image = EncodedImage(EncodeJpeg(distorted, 85));
        break;
      default:
        image = EncodedImage(EncodeWebp(distorted, false));
        break;
    }
    std::vector<std::string> asked;
    for (int k = 0; k < 3; ++k) asked.push_back(metrics[random() % metrics.size()]);
    requests.push_back(MakeRequest(RawImage(reference), image, asked));
    if (i % 6 == 0) requests.back().mutable_metrics(0)->set_want_gradient(true);
  }
  return requests;
}

struct Totals {
  std::mutex mutex;
  std::vector<float> latencies_ms;
  std::map<std::string, int> errors;
  std::atomic<std::int64_t> answers{0};
  std::atomic<std::int64_t> pixels{0};
};

void RunClient(const ServerProcess& server, const std::vector<v1::ScoreRequest>& requests,
               const std::vector<std::string>& expected, int seed, Clock::time_point until, Totals& totals) {
  const auto stub = server.NewStub();
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::vector<float> latencies_ms;
  std::map<std::string, int> errors;
  while (Clock::now() < until) {
    const std::size_t i = random() % requests.size();
    v1::ScoreResponse response;
    const auto begin = Clock::now();
    const grpc::Status status = Score(*stub, requests[i], &response, 120000);
    latencies_ms.push_back(std::chrono::duration<float, std::milli>(Clock::now() - begin).count());
    if (!status.ok()) {
      ++errors["code " + std::to_string(status.error_code()) + ": " + status.error_message()];
    } else if (BitsOf(response) != expected[i]) {
      ++errors["request " + std::to_string(i) + ": not the bits of its first answer"];
    }
    totals.answers.fetch_add(1);
    totals.pixels.fetch_add(std::int64_t{requests[i].reference().raw().width()} *
                            requests[i].reference().raw().height());
  }
  const std::lock_guard<std::mutex> lock(totals.mutex);
  totals.latencies_ms.insert(totals.latencies_ms.end(), latencies_ms.begin(), latencies_ms.end());
  for (const auto& [error, count] : errors) totals.errors[error] += count;
}

double Mebibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// The middle of the samples: one spike of the sampler must not decide.
std::int64_t Median(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  return samples.empty() ? 0 : samples[samples.size() / 2];
}

int Run(const Options& options) {
  const auto server = ServerProcess::Start(options.server_flags);
  if (server == nullptr) return 1;
  const auto stub = server->NewStub();
  const std::vector<std::string> metrics = options.metrics.empty() ? AvailableMetrics(*stub) : options.metrics;
  if (metrics.empty()) {
    std::fprintf(stderr, "the server has no metric to ask for\n");
    return 1;
  }
  const std::vector<v1::ScoreRequest> requests = MakeRequests(options, metrics);
  std::vector<std::string> expected;
  for (const v1::ScoreRequest& request : requests) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub, request, &response, 120000);
    for (const v1::MetricResult& result : response.results()) {
      if (result.code() != 0) {
        std::fprintf(stderr, "%s: %s\n", result.metric().c_str(), result.message().c_str());
        return 1;
      }
    }
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.error_message().c_str());
      return 1;
    }
    expected.push_back(BitsOf(response));
  }

  Totals totals;
  const double cpu_before = server->CpuSeconds();
  const auto begin = Clock::now();
  const auto until =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  std::vector<std::thread> clients;
  for (int i = 0; i < options.clients; ++i) {
    clients.emplace_back([&, i] { RunClient(*server, requests, expected, i, until, totals); });
  }
  // Resident memory over the measured time, in thirds: the last against the first shows growth.
  std::vector<std::int64_t> thirds[3];
  double next_line = 0.0;
  std::printf("%8s %10s %12s\n", "seconds", "answers", "server MiB");
  while (Clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    const std::int64_t resident = server->ResidentBytes();
    const double warm = elapsed - options.warm_up_seconds;
    const double measured = options.seconds - options.warm_up_seconds;
    if (warm > 0.0 && measured > 0.0) thirds[std::min(2, static_cast<int>(3.0 * warm / measured))].push_back(resident);
    if (elapsed >= next_line) {
      std::printf("%8.1f %10lld %12.1f\n", elapsed, static_cast<long long>(totals.answers.load()), Mebibytes(resident));
      std::fflush(stdout);
      next_line += std::max(1.0, options.seconds / 20.0);
    }
  }
  for (std::thread& client : clients) client.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  std::vector<float>& latencies = totals.latencies_ms;
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&latencies](double q) {
    return latencies.empty() ? 0.0f
                             : latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
  };
  std::string names;
  for (const std::string& metric : metrics) names += (names.empty() ? "" : ",") + metric;
  std::printf("clients %d, seconds %.1f, metrics %s, three of them a request\n", options.clients, seconds,
              names.c_str());
  std::printf("answers %lld, %.1f pairs/s, %.1f Mpixel/s\n", static_cast<long long>(totals.answers.load()),
              static_cast<double>(totals.answers.load()) / seconds,
              static_cast<double>(totals.pixels.load()) / seconds / 1e6);
  std::printf("server CPU: %.2f ms an answer\n",
              1e3 * (server->CpuSeconds() - cpu_before) / std::max<double>(1.0, static_cast<double>(totals.answers)));
  std::printf("latency ms: p50 %.1f, p90 %.1f, p99 %.1f, max %.1f\n", quantile(0.5), quantile(0.9), quantile(0.99),
              quantile(1.0));
  bool good = true;
  for (const auto& [error, count] : totals.errors) {
    std::printf("error (%d times): %s\n", count, error.c_str());
    good = false;
  }
  if (totals.errors.empty()) std::printf("errors 0; every score bit-identical to its first\n");
  if (totals.answers.load() == 0) {
    std::printf("no call was answered\n");
    good = false;
  }
  const std::int64_t first = Median(thirds[0]);
  const std::int64_t last = Median(thirds[2]);
  if (first > 0 && last > 0) {
    const double growth = 100.0 * (static_cast<double>(last) / static_cast<double>(first) - 1.0);
    std::printf("server memory after warm-up: %.1f MiB in the first third, %.1f MiB in the last, %+.1f %%\n",
                Mebibytes(first), Mebibytes(last), growth);
    if (growth > options.memory_growth_percent) {
      std::printf("server memory grew by more than %.1f %%\n", options.memory_growth_percent);
      good = false;
    }
  } else {
    std::printf("too short to judge memory: give more --seconds than --warm-up-seconds\n");
  }
  server->Signal(SIGTERM);
  const int code = server->WaitForExit(60);
  if (code != 0) {
    std::printf("the server ended with %d\n", code);
    good = false;
  }
  return good ? 0 : 1;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Many clients on one server: no errors, the same bits, no growth in memory");
  app.add_option("--clients", options.clients, "Concurrent clients")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--seconds", options.seconds, "How long")->check(CLI::Range(0.1, 86400.0))->capture_default_str();
  app.add_option("--warm-up-seconds", options.warm_up_seconds, "Memory is watched after this")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--metrics", options.metrics, "Metric ids; none: all that the server has")->delimiter(',');
  app.add_option("--largest-side", options.largest_side, "Largest width and height, in pixels")
      ->check(CLI::Range(32, 8192))
      ->capture_default_str();
  app.add_option("--smallest-side", options.smallest_side, "Smallest width and height, in pixels")
      ->check(CLI::Range(1, 8192))
      ->capture_default_str();
  app.add_option("--memory-growth-percent", options.memory_growth_percent, "More growth than this is a failure")
      ->capture_default_str();
  app.add_option("server_flags", options.server_flags, "Flags of the server, after --");
  CLI11_PARSE(app, argc, argv);
  return Run(options);
}

}  // namespace
}  // namespace likeness::testing

int main(int argc, char** argv) { return likeness::testing::Main(argc, argv); }
