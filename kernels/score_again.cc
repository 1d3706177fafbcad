#include "kernels/score_again.h"

#include <memory>
#include <utility>
#include <vector>

namespace likeness {
namespace {

// Scores those metrics of jobs once more that `wanted` names, each changed by `change`, and hands results to `take`.
template <class Wanted, class Change, class Take>
void ScoreSome(const Scorer& scorer, absl::Span<PairJob* const> jobs, const Wanted& wanted, const Change& change,
               const Take& take) {
  struct Some {
    PairJob* job;
    std::vector<std::size_t> which;
    std::vector<ResolvedMetric> changed;
    PairJob anew;
  };
  std::vector<std::unique_ptr<Some>> all;
  std::vector<PairJob*> anew;
  for (PairJob* job : jobs) {
    auto some = std::make_unique<Some>();
    some->job = job;
    for (std::size_t i = 0; i < job->metrics.size(); ++i) {
      if (!job->results[i].status.ok() || !wanted(job->results[i], job->metrics[i])) continue;
      some->which.push_back(i);
      change(some->changed.emplace_back(job->metrics[i]));
    }
    if (some->which.empty()) continue;
    some->anew.reference = job->reference;
    some->anew.distorted = job->distorted;
    some->anew.metrics = some->changed;
    some->anew.alpha_background = job->alpha_background;
    some->anew.weights = job->weights;
    some->anew.averaging = job->averaging;
    some->anew.kept = job->kept;
    anew.push_back(&some->anew);
    all.push_back(std::move(some));
  }
  if (anew.empty()) return;
  scorer.Score(anew);
  for (const auto& some : all) {
    for (std::size_t k = 0; k < some->which.size(); ++k) {
      take(some->job->results[some->which[k]], some->anew.results[k]);
    }
  }
}

}  // namespace

void ScoreAnew(const Scorer& scorer, absl::Span<PairJob* const> jobs) {
  ScoreSome(
      scorer, jobs, [](const MetricResult& result, const ResolvedMetric&) { return result.left_range; },
      [](ResolvedMetric& metric) { metric.precision = Precision::kExact; },
      [](MetricResult& result, MetricResult& anew) { result = std::move(anew); });
}

void AddMaps(const Scorer& scorer, absl::Span<PairJob* const> jobs) {
  ScoreSome(
      scorer, jobs,
      [](const MetricResult& result, const ResolvedMetric& metric) {
        return metric.want_map && !metric.by_program && result.map.empty();
      },
      [](ResolvedMetric& metric) {
        metric.by_program = true;
        metric.want_gradient = false;
      },
      [](MetricResult& result, MetricResult& program) {
        result.status = program.status;
        result.map = std::move(program.map);
      });
}

}  // namespace likeness
