// What the tests of learned metrics on the emulated GPU share: scorers, and pairs with kept references.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kept_reference.h"
#include "kernels/scorer.h"
#include "tests/emulator/control.h"
#include "tests/support/scoring.h"

namespace likeness::testing {

inline std::unique_ptr<Scorer> MakeScorer(Backend backend, const std::string& folder) {
  // Room for two scorers with all their weights.
  static const bool once = (SetEmulatedDevices({std::int64_t{2} << 30}), true);
  static_cast<void>(once);
  ScorerOptions options;
  options.backend = backend;
  if (backend == Backend::kCpu) options.instruction_set = "oracle";
  options.threads = 2;
  options.slot_bytes = std::int64_t{160} << 20;
  options.weights_dir = folder;
  auto scorer = Scorer::Create(options);
  EXPECT_TRUE(scorer.ok()) << scorer.status();
  return *std::move(scorer);
}

inline bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         (a.empty() || std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0);
}

// One pair, with what `kept` knows of the reference; null: nothing.
inline std::vector<MetricResult> ScoreKept(const Scorer& scorer, const std::vector<ResolvedMetric>& metrics,
                                           const ImageView& reference, const ImageView& distorted,
                                           KeptReference* kept) {
  PairJob job;
  job.reference = reference;
  job.distorted = distorted;
  job.metrics = metrics;
  job.kept = kept;
  PairJob* const jobs[] = {&job};
  scorer.Score(jobs);
  return std::move(job.results);
}

inline std::vector<ResolvedMetric> ResolveAll(const Scorer& scorer, const std::vector<std::string>& ids,
                                              Precision precision, bool gradient) {
  std::vector<ResolvedMetric> metrics;
  for (const std::string& id : ids) {
    MetricRequest request = Request(id, {}, false, gradient);
    request.precision = precision;
    metrics.push_back(*scorer.Resolve(request));
  }
  return metrics;
}

inline void ExpectSame(const std::vector<MetricResult>& seen, const std::vector<MetricResult>& expected) {
  ASSERT_EQ(seen.size(), expected.size());
  for (std::size_t k = 0; k < seen.size(); ++k) {
    ASSERT_TRUE(seen[k].status.ok()) << seen[k].status;
    EXPECT_EQ(seen[k].score, expected[k].score) << k;
    EXPECT_EQ(seen[k].precision, expected[k].precision) << k;
    EXPECT_TRUE(SameBits(seen[k].gradient, expected[k].gradient)) << k;
  }
}

}  // namespace likeness::testing
