// Every golden row, on every instruction set that runs here, through the program and, where there is one, the fused
// walk.
//
// tests/golden/<metric>.csv: pair, request, quantity, expected, tolerance in double, tolerance in float, source.
//   request   metric[:convention][?name=value[&name=value]]
//   quantity  score; sum, sum_abs and probe of the gradient (probe: channel 0 at x 20, y 10); map_mean
// A tolerance is relative: to the expected value, for `sum` to the gradient's sum of magnitudes, for `probe` to the
// larger of the expected value and the gradient's mean magnitude. In double it covers the printed digits of the source.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

struct Row {
  std::string pair, request, quantity, source;
  double expected, tolerance_double, tolerance_float;
};

std::vector<Row> ReadRows() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(LIKENESS_GOLDEN_DIR)) {
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Row> rows;
  for (const auto& file : files) {
    std::ifstream in(file);
    std::string line;
    while (std::getline(in, line)) {
      if (line.empty() || line[0] == '#') continue;
      const std::vector<std::string> cells = absl::StrSplit(line, absl::MaxSplits(',', 6));
      Row row;
      if (cells.size() != 7 || !absl::SimpleAtod(cells[3], &row.expected) ||
          !absl::SimpleAtod(cells[4], &row.tolerance_double) || !absl::SimpleAtod(cells[5], &row.tolerance_float)) {
        ADD_FAILURE() << file << ": cannot read: " << line;
        continue;
      }
      row.pair = cells[0];
      row.request = cells[1];
      row.quantity = cells[2];
      row.source = cells[6];
      rows.push_back(row);
    }
  }
  return rows;
}

MetricRequest ParseRequest(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('?', 1));
  MetricRequest request = Request(parts[0]);
  if (parts.size() == 1) return request;
  for (const absl::string_view item : absl::StrSplit(parts[1], '&')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(item, absl::MaxSplits('=', 1));
    double number;
    if (pair.second == "true" || pair.second == "false") {
      request.parameters[pair.first] = pair.second == "true";
    } else if (absl::SimpleAtod(pair.second, &number)) {
      request.parameters[pair.first] = number;
    } else {
      request.parameters[pair.first] = pair.second;
    }
  }
  return request;
}

struct Measured {
  double value;
  double scale;  // what the tolerance is relative to
};

Measured Quantity(const Row& row, const MetricResult& result) {
  if (row.quantity == "score") return {result.score, std::fabs(row.expected)};
  if (row.quantity == "map_mean") {
    return {Sum(result.map) / static_cast<double>(result.map.sample_count()), std::fabs(row.expected)};
  }
  const double sum_abs = SumAbs(result.gradient);
  if (row.quantity == "sum") return {Sum(result.gradient), sum_abs};
  if (row.quantity == "sum_abs") return {sum_abs, std::fabs(row.expected)};
  if (row.quantity == "probe") {
    const double mean = sum_abs / static_cast<double>(result.gradient.sample_count());
    return {At(result.gradient, 20, 10, 0), std::max(std::fabs(row.expected), mean)};
  }
  ADD_FAILURE() << "unknown quantity " << row.quantity;
  return {std::numeric_limits<double>::quiet_NaN(), 1.0};
}

void CheckRow(const Row& row, const std::string& set, bool fused) {
  SCOPED_TRACE(row.pair + " " + row.request + " " + row.quantity + " on " + set + (fused ? ", fused" : ", program"));
  const Pair pair = GoldenPair(row.pair);
  MetricRequest request = ParseRequest(row.request);
  request.want_map = row.quantity == "map_mean";
  request.want_gradient = row.quantity != "score" && !request.want_map;
  const MetricResult result = ScoreOne(ScorerFor(set, fused), request, pair.reference.view(), pair.distorted.view());
  ASSERT_TRUE(result.status.ok()) << result.status;
  const Measured measured = Quantity(row, result);
  const double error = std::fabs(measured.value - row.expected);
  const double tolerance = (set == "oracle" ? row.tolerance_double : row.tolerance_float) * measured.scale;
  std::printf("%-10s %-44s %-8s %-7s %-7s %16.9g %16.9g %9.2g\n", row.pair.c_str(), row.request.c_str(),
              row.quantity.c_str(), set.c_str(), fused ? "fused" : "program", measured.value, row.expected,
              measured.scale > 0.0 ? error / measured.scale : error);
  if (std::isinf(row.expected)) {
    EXPECT_EQ(measured.value, row.expected);
  } else {
    EXPECT_LE(error, tolerance) << "measured " << measured.value << ", expected " << row.expected
                                << "; source: " << row.source;
  }
}

TEST(Golden, EveryRow) {
  const std::vector<Row> rows = ReadRows();
  ASSERT_GT(rows.size(), 50u);
  std::printf("%-10s %-44s %-8s %-7s %-7s %16s %16s %9s\n", "pair", "request", "quantity", "set", "by", "ours",
              "expected", "error");
  for (const Row& row : rows) {
    for (const std::string& set : AllInstructionSets()) {
      if (set != "oracle") CheckRow(row, set, true);
      CheckRow(row, set, false);
    }
  }
}

// A metric without a golden row is not known to be right. LPIPS has a test of its own, on weights that the test makes.
TEST(Golden, EveryMetricHasRows) {
  const std::vector<Row> rows = ReadRows();
  for (const MetricInfo& info : ScorerFor("oracle").metrics()) {
    if (info.learned) continue;
    for (const ConventionInfo& convention : info.conventions) {
      const std::string id = info.id + ":" + convention.name;
      bool found = false;
      for (const Row& row : rows) {
        const std::string request = row.request.substr(0, row.request.find('?'));
        found |= request == id || (request == info.id && &convention == &info.conventions.front());
      }
      EXPECT_TRUE(found) << id << " has no row in tests/golden";
    }
  }
}

}  // namespace
}  // namespace likeness::testing
