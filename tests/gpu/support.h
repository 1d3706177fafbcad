// What the programs of tests/gpu share: pairs, requests and the tasks that a slot scores. Needs no abseil, gRPC or
// GoogleTest, so that a machine with CMake, nvcc and a GPU can build it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/probe.h"
#include "kernels/metrics/slot_cuda.h"
#include "kernels/ops/conv_trunk/conv_plans.h"
#include "tests/support/scene.h"
#include "tests/support/synthetic_weights.h"

namespace likeness::cuda::testing {

// Exit codes.
inline constexpr int kPassed = 0, kFailed = 1, kCannotRead = 2, kSkipped = 77;

[[noreturn]] inline void CannotRead(const std::string& what) {
  std::fprintf(stderr, "cannot read %s\n", what.c_str());
  std::exit(kCannotRead);
}

inline std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

inline double Number(const std::string& text, const std::string& where) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') CannotRead("the number '" + text + "' in " + where);
  return value;
}

struct Pair {
  int width = 0, height = 0;
  std::vector<std::uint8_t> reference, distorted;

  Pair(int w, int h) : width(w), height(h), reference(std::size_t{3} * w * h), distorted(std::size_t{3} * w * h) {
    likeness::testing::FillScene(w, h, reference.data(), distorted.data());
  }
};

struct Request {
  const Program* program = nullptr;
  std::string convention;
  Parameters parameters;
  Precision precision = Precision::kExact;
};

// metric[:convention][?name=value[&name=value]], with every parameter filled in; precision=fast is none of them. No
// program: the metric is not compiled for CUDA.
inline Request ReadRequest(const std::string& text) {
  const std::vector<std::string> halves = Split(text, '?');
  const std::vector<std::string> names = Split(halves[0], ':');
  const Program* program = FindProgram(names[0]);
  if (program == nullptr) return {};
  const MetricInfo info = program->info();
  Request request{program, names.size() > 1 ? names[1] : info.conventions.front().name, {}};
  for (const ParameterInfo& parameter : info.parameters) {
    request.parameters[parameter.name] = parameter.default_value;
  }
  bool found = false;
  for (const ConventionInfo& convention : info.conventions) {
    if (convention.name != request.convention) continue;
    found = true;
    for (const auto& [name, value] : convention.parameters) request.parameters[name] = value;
  }
  if (!found) CannotRead("the convention in '" + text + "'");
  if (halves.size() > 1) {
    for (const std::string& item : Split(halves[1], '&')) {
      const std::vector<std::string> sides = Split(item, '=');
      if (item == "precision=fast") {
        request.precision = Precision::kFast;
        continue;
      }
      if (sides.size() != 2 || request.parameters.count(sides[0]) == 0) CannotRead("'" + item + "' in " + text);
      ParameterValue& value = request.parameters[sides[0]];
      if (std::holds_alternative<std::string>(value)) {
        value = sides[1];
      } else if (std::holds_alternative<bool>(value)) {
        value = sides[1] == "true";
      } else {
        value = Number(sides[1], text);
      }
    }
  }
  return request;
}

// Every metric that is compiled for CUDA, under its default convention or under each; learned ones in both precisions.
inline std::vector<std::string> AllRequests(bool every_convention) {
  std::vector<std::string> requests;
  for (const std::string_view id : ProgramIds()) {
    const MetricInfo info = FindProgram(id)->info();
    for (const ConventionInfo& convention : info.conventions) {
      requests.push_back(info.id + ":" + convention.name);
      if (info.learned) requests.push_back(requests.back() + "?precision=fast");
      if (!every_convention) break;
    }
  }
  return requests;
}

// Whether the request's metric takes images of this size.
inline bool Takes(const Request& request, int width, int height) {
  const MetricInfo info = request.program->info();
  const Settings settings(request.convention, request.parameters);
  return width >= info.min_width && height >= info.min_height &&
         request.program->check({width, height, 3}, settings).empty();
}

// Whether features of such images would take more than the tests that run on any GPU may ask for.
inline bool IsTooLarge(const Request& request, int width, int height) {
  return request.program->trunk != nullptr && std::int64_t{width} * height > 640 * 512;
}

// Weights from a formula (tests/support/synthetic_weights.h) for every learned metric, on the host and on the GPU,
// while one of these lives. The programs need no files, and no licence for them.
class Trunks {
 public:
  Trunks() = default;
  Trunks(const Trunks&) = delete;
  ~Trunks() { current_ = nullptr; }

  bool Create() {
    std::vector<DeviceTrunks::Source> sources;
    for (const std::string_view id : ProgramIds()) {
      const Program* program = FindProgram(id);
      if (program->trunk == nullptr) continue;
      auto& made = host_.emplace(program, program->trunk()).first->second;
      sources.push_back({&program->trunk(), &made.weights});
    }
    current_ = this;
    if (const Failure failure = DeviceTrunks::Create(sources, &device_); failure.failed()) {
      std::printf("FAIL %s: %s\n", failure.expression, cudaGetErrorName(failure.code));
      return false;
    }
    return true;
  }

  static const DeviceTrunks* device() { return current_ == nullptr ? nullptr : &current_->device_; }
  static const TrunkWeights* weights(const Program* program) {
    return program->trunk == nullptr || current_ == nullptr ? nullptr : &current_->host_.at(program).weights;
  }

 private:
  static inline Trunks* current_ = nullptr;
  std::map<const Program*, likeness::testing::SyntheticTrunk> host_;
  DeviceTrunks device_;
};

// A slot that scores learned metrics as well, with room for what libraries want: growing that later takes time, and
// memory that a soak would miss.
inline Failure CreateSlot(SlotSizes sizes, Slot* out) {
  std::size_t free_bytes = 0, total_bytes = 0;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemGetInfo(&free_bytes, &total_bytes));
  sizes.library_bytes = std::max(
      sizes.library_bytes, std::min<std::int64_t>(static_cast<std::int64_t>(total_bytes / 128) / 256 * 256, 512 << 20));
  return Slot::Create(0, sizes, out, Trunks::device());
}

// The fused walk of a request, if it has one.
inline std::optional<Walk> FusedWalk(const Request& request) {
  const std::optional<WalkRequest> walk = request.program->walk(Settings(request.convention, request.parameters));
  if (!walk) return std::nullopt;
  return walk->walk;
}

// A pair with one or more requests, ready to be scored. The task points into it, so it stays where it is.
class Asked {
 public:
  // The pair must outlive this.
  explicit Asked(const Pair& pair) {
    task.reference = {pair.reference.data(), pair.width, pair.height, 3};
    task.reference.row_bytes = 3 * pair.width;
    task.distorted = task.reference;
    task.distorted.data = pair.distorted.data();
  }
  Asked(const Asked&) = delete;

  // `fused`: by the request's walk, which it must have.
  Asked& Add(Request request, bool want_map, bool want_gradient, bool fused = false) {
    auto owned = std::make_unique<Owned>(Owned{std::move(request), nullptr});
    TrunkUse trunk;
    trunk.weights = Trunks::weights(owned->request.program);
    trunk.precision = owned->request.precision;
    owned->settings = std::make_unique<Settings>(owned->request.convention, owned->request.parameters, trunk);
    const MetricInfo info = owned->request.program->info();
    MetricTask& metric = task.metrics.emplace_back();
    metric.program = owned->request.program;
    metric.settings = owned->settings.get();
    if (fused) metric.walk = FusedWalk(owned->request);
    metric.want_map = want_map && !info.map.empty() && (!metric.walk || HasMap(*metric.walk));
    metric.want_gradient = want_gradient && info.has_gradient;
    owned_.push_back(std::move(owned));
    Plan(task);
    return *this;
  }

  PairTask task;

 private:
  struct Owned {
    Request request;
    std::unique_ptr<Settings> settings;
  };
  std::vector<std::unique_ptr<Owned>> owned_;
};

inline SlotSizes Widest(const SlotSizes& a, const SlotSizes& b) {
  return {std::max(a.input_bytes, b.input_bytes), std::max(a.output_bytes, b.output_bytes),
          std::max(a.table_bytes, b.table_bytes), std::max(a.work_bytes, b.work_bytes),
          std::max(a.library_bytes, b.library_bytes)};
}

inline bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         (a.empty() || std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0);
}
inline bool SameBits(const PairResult& a, const PairResult& b) {
  return std::memcmp(&a.score, &b.score, sizeof(double)) == 0 && SameBits(a.map, b.map) &&
         a.non_finite == b.non_finite && SameBits(a.gradient, b.gradient);
}

// Prints a failure. True when there is none.
inline bool Report(const Failure& failure) {
  if (failure.failed()) {
    std::printf("FAIL %s: %s (%s:%d)\n", failure.expression, cudaGetErrorName(failure.code), failure.file,
                failure.line);
  }
  return !failure.failed();
}

// Scores all tasks, in as many batches as the slot has room for.
inline bool ScoreAll(Slot& slot, const std::vector<PairTask*>& tasks) {
  for (std::size_t at = 0; at < tasks.size();) {
    int count = 0;
    if (!Report(slot.Score(std::span(tasks).subspan(at), &count))) return false;
    if (count == 0) {
      std::printf("FAIL a pair of %dx%d does not fit its slot\n", tasks[at]->distorted.width,
                  tasks[at]->distorted.height);
      return false;
    }
    for (int i = 0; i < count; ++i) {
      if (!Report(tasks[at + i]->failure)) return false;
    }
    at += count;
  }
  return true;
}

// A whole number of the command line.
inline int Count(const char* text, int least) {
  const double value = Number(text, "the command line");
  if (value != static_cast<int>(value) || value < least) CannotRead(std::string("the count '") + text + "'");
  return static_cast<int>(value);
}

// Says what runs here; false when there is no GPU.
inline bool AnnounceDevice() {
  const Probe device = FindDevice();
  std::printf("%s%s\n", device.found ? "" : "no GPU: nothing was run: ", device.description.c_str());
  return device.found;
}

}  // namespace likeness::cuda::testing
