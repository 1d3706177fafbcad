#include "tests/support/scoring.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

namespace likeness::testing {

std::vector<std::string> AllInstructionSets() {
  std::vector<std::string> sets = {"oracle"};
  for (const char* name : {"sse4", "avx2", "avx3", "native"}) {
    ScorerOptions options;
    options.instruction_set = name;
    if (Scorer::Create(options).ok()) sets.emplace_back(name);
  }
  return sets;
}

const Scorer& ScorerFor(const std::string& instruction_set, bool fused_walks, int threads) {
  static std::map<std::tuple<std::string, bool, int>, std::unique_ptr<Scorer>> scorers;
  std::unique_ptr<Scorer>& scorer = scorers[{instruction_set, fused_walks, threads}];
  if (scorer == nullptr) {
    ScorerOptions options;
    options.instruction_set = instruction_set;
    options.fused_walks = fused_walks;
    options.threads = threads;
    absl::StatusOr<std::unique_ptr<Scorer>> made = Scorer::Create(options);
    if (!made.ok()) ADD_FAILURE() << made.status();
    scorer = *std::move(made);
  }
  return *scorer;
}

MetricResult ScoreOne(const Scorer& scorer, const MetricRequest& request, const ImageView& reference,
                      const ImageView& distorted) {
  const absl::StatusOr<ResolvedMetric> metric = scorer.Resolve(request);
  MetricResult result;
  result.status = metric.status();
  if (metric.ok()) {
    PairJob job;
    job.reference = reference;
    job.distorted = distorted;
    job.metrics = {&*metric, 1};
    PairJob* jobs[] = {&job};
    scorer.Score(jobs);
    result = std::move(job.results[0]);
  }
  return result;
}

MetricRequest Request(const std::string& id, const Parameters& parameters, bool map, bool gradient) {
  return {id, parameters, map, gradient};
}

double Sum(const Tensor& tensor) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) sum += tensor.data[i];
  return sum;
}

double SumAbs(const Tensor& tensor) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) sum += std::fabs(tensor.data[i]);
  return sum;
}

double At(const Tensor& tensor, int x, int y, int c) {
  const std::int64_t i = tensor.layout == Layout::kHwc ? (std::int64_t{y} * tensor.width + x) * tensor.channels + c
                                                       : (std::int64_t{c} * tensor.height + y) * tensor.width + x;
  return tensor.data[i];
}

}  // namespace likeness::testing
