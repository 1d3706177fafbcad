#include "server/telemetry.h"

#include <array>
#include <cmath>
#include <exception>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/exposer.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/composition.h"

namespace likeness::server {
namespace {

using prometheus::Histogram;

constexpr std::array<const char*, 5> kStageNames = {"receive", "decode", "queue", "compute", "reply"};

// 50 us to 100 s, three a decade: a score of a thumbnail and a gradient at 4K both fall inside.
Histogram::BucketBoundaries DurationBuckets() {
  return {5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05,
          0.1,  0.2,  0.5,  1.0,  2.0,  5.0,  10.0, 20.0, 50.0, 100.0};
}

// Twenty equal steps of a bounded range; decibels (unbounded and rising with quality) 5 to 100; else half decades.
Histogram::BucketBoundaries ScoreBuckets(const MetricInfo& info) {
  Histogram::BucketBoundaries buckets;
  if (std::isfinite(info.range_low) && std::isfinite(info.range_high)) {
    for (int i = 1; i <= 20; ++i) buckets.push_back(info.range_low + (info.range_high - info.range_low) * i / 20);
  } else if (info.direction == Direction::kHigherIsBetter) {
    for (int decibels = 5; decibels <= 100; decibels += 5) buckets.push_back(decibels);
  } else {
    for (int exponent = -10; exponent <= 12; ++exponent) buckets.push_back(std::pow(10.0, exponent / 2.0));
  }
  return buckets;
}

// What only the scorer knows, read when somebody asks.
class DeviceCollector : public prometheus::Collectable {
 public:
  explicit DeviceCollector(std::function<std::vector<DeviceState>()> devices) : devices_(std::move(devices)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    using prometheus::MetricType;
    const std::vector<DeviceState> devices = devices_();
    std::vector<prometheus::MetricFamily> families;
    if (devices.empty()) return families;
    const auto add = [&](const char* name, const char* help, MetricType type, auto value) {
      prometheus::MetricFamily& family = families.emplace_back();
      family.name = name;
      family.help = help;
      family.type = type;
      for (const DeviceState& device : devices) {
        prometheus::ClientMetric& metric = family.metric.emplace_back();
        metric.label.push_back({"gpu", absl::StrCat(device.index)});
        (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = static_cast<double>(value(device));
      }
    };
    add("likeness_gpu_slots", "Batches that a GPU works on at a time", MetricType::Gauge,
        [](const DeviceState& d) { return d.slot_count; });
    add("likeness_gpu_busy_slots", "Slots that work on a batch now", MetricType::Gauge,
        [](const DeviceState& d) { return d.busy_slots; });
    add("likeness_gpu_busy_seconds_total", "Time that slots worked, summed over slots", MetricType::Counter,
        [](const DeviceState& d) { return d.busy_seconds; });
    add("likeness_gpu_memory_bytes", "Memory of the GPU that the slots hold", MetricType::Gauge,
        [](const DeviceState& d) { return d.memory_bytes; });
    add("likeness_gpu_outstanding_bytes", "Images of the batches that a GPU works on", MetricType::Gauge,
        [](const DeviceState& d) { return d.outstanding_bytes; });
    add("likeness_gpu_batches_total", "Batches that a GPU scored", MetricType::Counter,
        [](const DeviceState& d) { return d.batches; });
    add("likeness_gpu_launches_total", "Kernels and library calls launched", MetricType::Counter,
        [](const DeviceState& d) { return d.launches; });
    add("likeness_gpu_errors_total", "Batches that a GPU failed", MetricType::Counter,
        [](const DeviceState& d) { return d.errors; });
    add("likeness_gpu_convolutions_shared_total",
        "Calls of cuDNN for several images that gave the bits of single ones when tried, and are made",
        MetricType::Counter, [](const DeviceState& d) { return d.convolutions_shared; });
    add("likeness_gpu_convolutions_apart_total",
        "Calls of cuDNN for several images that gave other bits when tried, and are not made", MetricType::Counter,
        [](const DeviceState& d) { return d.convolutions_apart; });
    return families;
  }

 private:
  const std::function<std::vector<DeviceState>()> devices_;
};

}  // namespace

struct Telemetry::Impl {
  struct ScoreSeries {
    Histogram* finite;
    prometheus::Counter* infinite;
  };

  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Family<prometheus::Counter>* requests;
  prometheus::Family<Histogram>* durations;
  std::array<Histogram*, kStageNames.size()> stages;
  prometheus::Family<prometheus::Counter>* stream_pairs;
  prometheus::Family<prometheus::Counter>* rejections;
  prometheus::Family<prometheus::Counter>* metric_failures;
  prometheus::Family<prometheus::Counter>* computed_anew;
  std::array<Histogram*, kLaneCount> batches;
  std::array<prometheus::Gauge*, kLaneCount> queue_jobs;
  std::array<prometheus::Gauge*, kLaneCount> queue_bytes;
  prometheus::Gauge* in_flight_requests;
  prometheus::Gauge* in_flight_bytes;
  prometheus::Gauge* reference_count;
  prometheus::Gauge* reference_bytes;
  std::map<std::string, ScoreSeries> scores;
  std::shared_ptr<DeviceCollector> devices;
  // Last: its threads read the registry and the devices until it is gone.
  std::unique_ptr<prometheus::Exposer> exposer;
};

Telemetry::Telemetry(const std::string& build, const std::string& backend, const std::string& instruction_set,
                     absl::Span<const MetricInfo> metrics)
    : impl_(std::make_unique<Impl>()) {
  prometheus::Registry& registry = *impl_->registry;
  const auto counters = [&registry](const char* name, const char* help) {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  };
  const auto gauges = [&registry](const char* name, const char* help) {
    return &prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  };
  const auto histograms = [&registry](const char* name, const char* help) {
    return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  };
  impl_->requests = counters("likeness_requests_total", "Calls answered, by method and status code");
  impl_->durations = histograms("likeness_request_duration_seconds", "From the message at hand to the reply sent");
  impl_->stream_pairs = counters("likeness_stream_pairs_total", "Pairs of streams answered, by status code");
  impl_->rejections = counters("likeness_rejections_total", "Calls and pairs of streams refused, by reason");
  impl_->metric_failures = counters("likeness_metric_failures_total", "Metrics that failed alone, by status code");
  impl_->computed_anew = counters("likeness_computed_anew_total",
                                  "Metrics asked for in fast precision that left its range and were computed exactly");

  auto* const stages = histograms("likeness_stage_duration_seconds", "Time that a request spent in each stage");
  for (std::size_t i = 0; i < kStageNames.size(); ++i) {
    impl_->stages[i] = &stages->Add({{"stage", kStageNames[i]}}, DurationBuckets());
  }
  auto* const batches = histograms("likeness_batch_pairs", "Pairs scored together");
  auto* const queue_jobs = gauges("likeness_queue_jobs", "Pairs that wait for a slot");
  auto* const queue_bytes = gauges("likeness_queue_bytes", "Images and outputs of the pairs that wait for a slot");
  for (const Lane lane : {Lane::kPixel, Lane::kLearned}) {
    const auto i = static_cast<std::size_t>(lane);
    const prometheus::Labels labels = {{"lane", LaneName(lane)}};
    impl_->batches[i] = &batches->Add(labels, Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64, 128, 256});
    impl_->queue_jobs[i] = &queue_jobs->Add(labels);
    impl_->queue_bytes[i] = &queue_bytes->Add(labels);
  }
  impl_->in_flight_requests =
      &gauges("likeness_in_flight_requests", "Calls that take work and are not yet answered")->Add({});
  impl_->reference_count = &gauges("likeness_references", "Images kept with PutReference")->Add({});
  impl_->reference_bytes = &gauges("likeness_reference_bytes", "What they and their features take")->Add({});
  impl_->in_flight_bytes =
      &gauges("likeness_in_flight_bytes", "Messages, images and replies counted against the budget")->Add({});

  auto* const scores = histograms("likeness_score", "Finite scores, by metric");
  auto* const infinite = counters("likeness_infinite_scores_total", "Infinite scores, by metric");
  for (const MetricInfo& info : metrics) {
    const prometheus::Labels labels = {{"metric", info.id}};
    impl_->scores[info.id] = {&scores->Add(labels, ScoreBuckets(info)), &infinite->Add(labels)};
  }
  gauges("likeness_build_info", "1; the labels say which build this is and what it runs on")
      ->Add({{"build", build}, {"backend", backend}, {"instruction_set", instruction_set}})
      .Set(1.0);
}

Telemetry::~Telemetry() = default;

void Telemetry::ObserveDevices(std::function<std::vector<DeviceState>()> devices) {
  impl_->devices = std::make_shared<DeviceCollector>(std::move(devices));
}

absl::StatusOr<int> Telemetry::Expose(const std::string& host, int port) {
  const std::string address = absl::StrCat(host, ":", port);
  // The library reports by exception; it must not leave this function.
  try {
    impl_->exposer = std::make_unique<prometheus::Exposer>(address, 1);
    impl_->exposer->RegisterCollectable(impl_->registry);
    if (impl_->devices != nullptr) impl_->exposer->RegisterCollectable(impl_->devices);
    return impl_->exposer->GetListeningPorts().at(0);
  } catch (const std::exception&) {  // its words say nothing of why
    return absl::FailedPreconditionError(
        absl::StrCat("cannot serve telemetry on ", address,
                     ": the port may be taken (choose another telemetry_port, 0 for any free one, or -1 for none), or ",
                     host, " may be no IPv4 address of this machine (telemetry_host)"));
  }
}

void Telemetry::CountRequest(const std::string& method, absl::StatusCode code, absl::Duration duration) {
  impl_->requests->Add({{"method", method}, {"code", absl::StatusCodeToString(code)}}).Increment();
  impl_->durations->Add({{"method", method}}, DurationBuckets()).Observe(absl::ToDoubleSeconds(duration));
}

void Telemetry::ObserveStage(Stage stage, absl::Duration duration) {
  impl_->stages[static_cast<std::size_t>(stage)]->Observe(absl::ToDoubleSeconds(duration));
}

void Telemetry::CountStreamPair(absl::StatusCode code) {
  impl_->stream_pairs->Add({{"code", absl::StatusCodeToString(code)}}).Increment();
}

void Telemetry::CountRejection(const std::string& reason) { impl_->rejections->Add({{"reason", reason}}).Increment(); }

void Telemetry::ObserveBatch(Lane lane, int pair_count) {
  impl_->batches[static_cast<std::size_t>(lane)]->Observe(pair_count);
}

void Telemetry::SetQueue(Lane lane, int job_count, std::int64_t bytes) {
  impl_->queue_jobs[static_cast<std::size_t>(lane)]->Set(job_count);
  impl_->queue_bytes[static_cast<std::size_t>(lane)]->Set(static_cast<double>(bytes));
}

void Telemetry::SetInFlight(std::int64_t request_count, std::int64_t bytes) {
  impl_->in_flight_requests->Set(static_cast<double>(request_count));
  impl_->in_flight_bytes->Set(static_cast<double>(bytes));
}

void Telemetry::SetReferences(std::int64_t count, std::int64_t bytes) {
  impl_->reference_count->Set(static_cast<double>(count));
  impl_->reference_bytes->Set(static_cast<double>(bytes));
}

void Telemetry::ObserveScore(const std::string& metric_id, double score) {
  const auto series = impl_->scores.find(metric_id);
  if (series == impl_->scores.end()) return;
  if (std::isfinite(score)) {
    series->second.finite->Observe(score);
  } else {
    series->second.infinite->Increment();
  }
}

void Telemetry::CountMetricFailure(const std::string& metric_id, absl::StatusCode code) {
  const bool known = impl_->scores.count(metric_id) > 0 || metric_id == kComposition;
  impl_->metric_failures->Add({{"metric", known ? metric_id : "unknown"}, {"code", absl::StatusCodeToString(code)}})
      .Increment();
}

void Telemetry::CountComputedAnew(const std::string& metric_id) {
  impl_->computed_anew->Add({{"metric", metric_id}}).Increment();
}

}  // namespace likeness::server
