// Holds the programs that are compiled for CUDA to the golden rows (tests/golden/*.csv, tolerance in float), each
// scored twice on one slot with equal bits. Needs no abseil, gRPC or GoogleTest, so that a machine with CMake, nvcc and
// a GPU can run it; built against tests/emulator it runs on any.
//
//   check GOLDEN.csv...       exit 0: every row passed; 1: one failed; 2: cannot read; 77: no GPU, nothing was run
//
// A request that has a fused walk is scored both ways, and counts twice. Rows of metrics that are not compiled for CUDA
// are counted by name; with no others it fails.
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

#include "tests/gpu/support.h"

namespace likeness::cuda::testing {
namespace {

struct Row {
  std::string pair, request, quantity;
  double expected = 0.0, tolerance = 0.0;
};

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

bool CheckRow(const Row& row, const Request& request, bool fused) {
  const Pair pair = NamedPair(row.pair);
  const bool want_map = row.quantity == "map_mean";
  const bool want_gradient = row.quantity != "score" && !want_map;
  Asked asked(pair);
  asked.Add(request, want_map, want_gradient, fused);
  Slot slot;
  if (!Report(CreateSlot(SizesFor(asked.task), &slot))) return false;
  PairResult results[2];
  for (PairResult& result : results) {
    PairTask* const one[] = {&asked.task};
    int count = 0;
    if (!Report(slot.Score(one, &count)) || count != 1 || !Report(asked.task.failure)) return false;
    result = std::move(asked.task.metrics[0].result);
  }
  const PairResult& first = results[0];
  const bool repeats = SameBits(first, results[1]);
  const Measured measured = Measure(row, first);
  const double error = std::fabs(measured.value - row.expected);
  const bool near = std::isinf(row.expected) ? measured.value == row.expected : error <= row.tolerance * measured.scale;
  std::printf("%s %-16s %-44s %-8s %16.9g %16.9g %9.2g%s%s\n", near && repeats ? "pass" : "FAIL", row.pair.c_str(),
              row.request.c_str(), row.quantity.c_str(), measured.value, row.expected,
              std::isinf(row.expected) ? 0.0
              : measured.scale > 0.0   ? error / measured.scale
                                       : error,
              fused ? "  fused" : "", repeats ? "" : "  two runs differ");
  return near && repeats;
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: check GOLDEN.csv...\n");
    return kCannotRead;
  }
  if (!AnnounceDevice()) return kSkipped;
  Trunks trunks;  // made for the first row that needs them
  std::printf("     %-16s %-44s %-8s %16s %16s %9s\n", "pair", "request", "quantity", "ours", "expected", "error");
  int failed = 0, count = 0;
  std::map<std::string, int> skipped;
  for (int i = 1; i < argc; ++i) {
    for (const Row& row : ReadRows(argv[i])) {
      const Request request = ReadRequest(row.request);
      if (request.program == nullptr) {
        ++skipped[row.request.substr(0, row.request.find_first_of(":?"))];
        continue;
      }
      if (request.program->trunk != nullptr && Trunks::device() == nullptr && !trunks.Create()) return kFailed;
      ++count;
      failed += CheckRow(row, request, false) ? 0 : 1;
      const auto walk = FusedWalk(request);
      if (!walk || (row.quantity == "map_mean" && !HasMap(*walk))) continue;
      ++count;
      failed += CheckRow(row, request, true) ? 0 : 1;
    }
  }
  for (const auto& [metric, rows] : skipped) {
    std::printf("skip %d rows of %s: not compiled for CUDA\n", rows, metric.c_str());
  }
  std::printf("%d of %d rows passed\n", count - failed, count);
  return failed == 0 && count > 0 ? kPassed : kFailed;
}

}  // namespace
}  // namespace likeness::cuda::testing

int main(int argc, char** argv) { return likeness::cuda::testing::Run(argc, argv); }
