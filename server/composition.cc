#include "server/composition.h"

#include "absl/strings/str_cat.h"

namespace likeness::server {

absl::Status OfTerm(const MetricAsk& ask, int term, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("term ", term + 1, " (", ask.terms[term].request.id, "): ", status.message()));
}

void SumTerms(const MetricAsk& ask, MetricOutcome& outcome) {
  std::vector<double> weights;
  std::vector<MetricResult*> results;
  for (std::size_t i = 0; i < ask.terms.size(); ++i) {
    MetricResult& result = outcome.terms[i].result;
    if (!result.status.ok()) {
      outcome.result.status = OfTerm(ask, static_cast<int>(i), result.status);
      return;
    }
    weights.push_back(ask.terms[i].weight);
    results.push_back(&result);
  }
  outcome.result = Compose(weights, results);
  for (Scored& term : outcome.terms) {
    term.result.map = Tensor();
    term.result.gradient = Tensor();
  }
}

std::optional<Direction> DirectionOf(const MetricAsk& ask, const MetricOutcome& outcome) {
  std::optional<Direction> agreed;
  for (std::size_t i = 0; i < ask.terms.size(); ++i) {
    const MetricInfo* const info = outcome.terms[i].resolved.info;
    const double weight = ask.terms[i].weight;
    if (weight == 0.0) continue;
    if (info == nullptr || info->direction == Direction::kZeroIsBest) return std::nullopt;
    const bool lower = (info->direction == Direction::kLowerIsBetter) == (weight > 0.0);
    const Direction direction = lower ? Direction::kLowerIsBetter : Direction::kHigherIsBetter;
    if (agreed.has_value() && *agreed != direction) return std::nullopt;
    agreed = direction;
  }
  return agreed;
}

}  // namespace likeness::server
