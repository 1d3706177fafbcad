// Holds the programs that are compiled for CUDA to the golden rows (tests/golden/*.csv, tolerance in float), each
// scored twice on one slot with equal bits. Needs no abseil, gRPC or GoogleTest, so that a machine with CMake, nvcc and
// a GPU can run it; built against tests/emulator it runs on any.
//
//   check GOLDEN.csv...       exit 0: every row passed; 1: one failed; 2: cannot read; 77: no GPU, nothing was run
//
// Rows of metrics that are not compiled for CUDA are counted by name; with no others it fails.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/probe.h"
#include "kernels/metrics/slot_cuda.h"
#include "tests/support/scene.h"

namespace likeness::cuda {
namespace {

constexpr int kFailed = 1, kCannotRead = 2, kSkipped = 77;

struct Row {
  std::string pair, request, quantity;
  double expected = 0.0, tolerance = 0.0;
};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

[[noreturn]] void CannotRead(const std::string& what) {
  std::fprintf(stderr, "check: cannot read %s\n", what.c_str());
  std::exit(kCannotRead);
}

double Number(const std::string& text, const std::string& where) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') CannotRead("the number '" + text + "' in " + where);
  return value;
}

std::vector<Row> ReadRows(const std::string& path) {
  std::ifstream in(path);
  if (!in) CannotRead(path);
  std::vector<Row> rows;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> cells = Split(line, ',');
    if (cells.size() < 7) CannotRead("'" + line + "' in " + path);
    rows.push_back({cells[0], cells[1], cells[2], Number(cells[3], path), Number(cells[5], path)});
  }
  if (rows.empty()) CannotRead(path + ": no rows");
  return rows;
}

struct Pair {
  int width = 0, height = 0;
  std::vector<std::uint8_t> reference, distorted;

  Pair(int w, int h) : width(w), height(h), reference(3 * w * h), distorted(3 * w * h) {
    testing::FillScene(w, h, reference.data(), distorted.data());
  }
};

Pair Constant(int side, int reference, int distorted) {
  Pair pair(side, side);
  std::fill(pair.reference.begin(), pair.reference.end(), reference);
  std::fill(pair.distorted.begin(), pair.distorted.end(), distorted);
  return pair;
}

// The left columns of A.
Pair LeftOfA(int width) {
  const Pair whole(256, 192);
  Pair pair(width, 192);
  for (int y = 0; y < 192; ++y) {
    std::copy_n(&whole.reference[3 * 256 * y], 3 * width, &pair.reference[3 * width * y]);
    std::copy_n(&whole.distorted[3 * 256 * y], 3 * width, &pair.distorted[3 * width * y]);
  }
  return pair;
}

// By the names of tests/support/pairs.h.
Pair NamedPair(const std::string& name) {
  if (name == "A") return Pair(256, 192);
  if (name == "B") return Pair(67, 45);
  if (name == "C") return Pair(64, 64);
  if (name == "D") return Pair(8, 8);
  if (name == "E") return Pair(200, 9);
  if (name == "F") return Pair(515, 391);
  if (name == "A192") return LeftOfA(192);
  if (name == "A_negative") {
    Pair pair = LeftOfA(192);
    for (std::size_t i = 0; i < pair.reference.size(); ++i) pair.distorted[i] = 255 - pair.reference[i];
    return pair;
  }
  if (name == "black_white") return Constant(64, 0, 255);
  if (name == "black_white_100") return Constant(100, 0, 255);
  if (name == "flat_128_130") return Constant(64, 128, 130);
  if (name == "flat_128_130_100") return Constant(100, 128, 130);
  if (name == "A_A") {
    Pair pair(256, 192);
    pair.distorted = pair.reference;
    return pair;
  }
  CannotRead("the pair '" + name + "': no such pair here");
}

struct Request {
  const Program* program = nullptr;
  std::string convention;
  Parameters parameters;
};

// metric[:convention][?name=value[&name=value]], with every parameter filled in. No program: the metric is not compiled
// for CUDA.
Request ReadRequest(const std::string& text) {
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

struct Measured {
  double value = 0.0;
  double scale = 0.0;  // what the tolerance is relative to, as in tests/golden/golden_test.cc
};

Measured Measure(const Row& row, const PairResult& result) {
  if (row.quantity == "score") return {result.score, std::fabs(row.expected)};
  const Tensor& tensor = row.quantity == "map_mean" ? result.map : result.gradient;
  double sum = 0.0, sum_abs = 0.0;
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) {
    sum += tensor.data[i];
    sum_abs += std::fabs(tensor.data[i]);
  }
  const double mean = sum_abs / static_cast<double>(tensor.sample_count());
  if (row.quantity == "map_mean") return {sum / static_cast<double>(tensor.sample_count()), std::fabs(row.expected)};
  if (row.quantity == "sum") return {sum, sum_abs};
  if (row.quantity == "sum_abs") return {sum_abs, std::fabs(row.expected)};
  if (row.quantity == "probe") {
    return {tensor.data[(std::int64_t{10} * tensor.width + 20) * tensor.channels],
            std::fmax(std::fabs(row.expected), mean)};
  }
  CannotRead("the quantity '" + row.quantity + "'");
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         (a.empty() || std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0);
}

bool Report(const Failure& failure) {
  if (failure.failed()) {
    std::printf("FAIL %s: %s (%s:%d)\n", failure.expression, cudaGetErrorName(failure.code), failure.file,
                failure.line);
  }
  return !failure.failed();
}

bool CheckRow(const Row& row, const Request& request) {
  const Pair pair = NamedPair(row.pair);
  const Settings settings(request.convention, request.parameters);
  const auto make_task = [&] {
    PairTask task;
    task.reference = {pair.reference.data(), pair.width, pair.height, 3};
    task.reference.row_bytes = 3 * pair.width;
    task.distorted = task.reference;
    task.distorted.data = pair.distorted.data();
    MetricTask& metric = task.metrics.emplace_back();
    metric.program = request.program;
    metric.settings = &settings;
    metric.want_map = row.quantity == "map_mean";
    metric.want_gradient = row.quantity != "score" && !metric.want_map;
    Plan(task);
    return task;
  };
  PairTask tasks[2] = {make_task(), make_task()};
  Slot slot;
  if (!Report(Slot::Create(0, SizesFor(tasks[0]), &slot))) return false;
  for (PairTask& task : tasks) {
    PairTask* const one[] = {&task};
    int count = 0;
    if (!Report(slot.Score(one, &count)) || count != 1 || !Report(task.failure)) return false;
  }
  const PairResult& first = tasks[0].metrics[0].result;
  const PairResult& second = tasks[1].metrics[0].result;
  const bool repeats = std::memcmp(&first.score, &second.score, sizeof(double)) == 0 &&
                       SameBits(first.map, second.map) && SameBits(first.gradient, second.gradient);
  const Measured measured = Measure(row, first);
  const double error = std::fabs(measured.value - row.expected);
  const bool near = std::isinf(row.expected) ? measured.value == row.expected : error <= row.tolerance * measured.scale;
  std::printf("%s %-16s %-44s %-8s %16.9g %16.9g %9.2g%s\n", near && repeats ? "pass" : "FAIL", row.pair.c_str(),
              row.request.c_str(), row.quantity.c_str(), measured.value, row.expected,
              std::isinf(row.expected) ? 0.0
              : measured.scale > 0.0   ? error / measured.scale
                                       : error,
              repeats ? "" : "  two runs differ");
  return near && repeats;
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: check GOLDEN.csv...\n");
    return kCannotRead;
  }
  const Probe device = FindDevice();
  if (!device.found) {
    std::printf("no GPU: nothing was run (%s)\n", device.description.c_str());
    return kSkipped;
  }
  std::printf("%s\n     %-16s %-44s %-8s %16s %16s %9s\n", device.description.c_str(), "pair", "request", "quantity",
              "ours", "expected", "error");
  int failed = 0, count = 0;
  std::map<std::string, int> skipped;
  for (int i = 1; i < argc; ++i) {
    for (const Row& row : ReadRows(argv[i])) {
      const Request request = ReadRequest(row.request);
      if (request.program == nullptr) {
        ++skipped[row.request.substr(0, row.request.find_first_of(":?"))];
        continue;
      }
      ++count;
      failed += CheckRow(row, request) ? 0 : 1;
    }
  }
  for (const auto& [metric, rows] : skipped) {
    std::printf("skip %d rows of %s: not compiled for CUDA\n", rows, metric.c_str());
  }
  std::printf("%d of %d rows passed\n", count - failed, count);
  return failed == 0 && count > 0 ? 0 : kFailed;
}

}  // namespace
}  // namespace likeness::cuda

int main(int argc, char** argv) { return likeness::cuda::Run(argc, argv); }
