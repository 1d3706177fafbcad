#include "client/cli/job.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/diagnostics.h"
#include "client/cli/loss.h"
#include "client/cli/numbers.h"
#include "kernels/base/status_macros.h"

namespace likeness::cli {
namespace {

constexpr char kEverything[] = "all";

absl::StatusOr<NamedScale> ParseScale(const std::string& text) {
  const std::size_t equals = text.find('=');
  NamedScale named;
  if (equals != std::string::npos) named.metric = text.substr(0, equals);
  const std::vector<std::string> ends = absl::StrSplit(text.substr(equals == std::string::npos ? 0 : equals + 1), ',');
  if (ends.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("--map-scale is \"", text, "\"; must be LOW,HIGH or METRIC=LOW,HIGH, as in ssim=1,0"));
  }
  ASSIGN_OR_RETURN(named.scale.low, ParseNumber(ends[0], "the first number of --map-scale"));
  ASSIGN_OR_RETURN(named.scale.high, ParseNumber(ends[1], "the second number of --map-scale"));
  if (!std::isfinite(named.scale.low) || !std::isfinite(named.scale.high)) {
    return absl::InvalidArgumentError(absl::StrCat("--map-scale is \"", text, "\"; both ends must be finite"));
  }
  return named;
}

// The metrics to measure beside the losses: those asked for; else those that a gate is about; else, where there is no
// loss, two that everybody knows.
absl::StatusOr<std::vector<std::string>> ChooseNames(const CompareOptions& options, const std::vector<Gate>& gates,
                                                     const std::vector<Asked>& losses,
                                                     const v1::ListMetricsResponse& listed) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, SplitMetricNames(options.metrics));
  if (names.empty()) {
    for (const Gate& gate : gates) {
      const bool is_loss =
          std::any_of(losses.begin(), losses.end(), [&](const Asked& loss) { return loss.name == gate.metric; });
      if (!is_loss && std::find(names.begin(), names.end(), gate.metric) == names.end()) names.push_back(gate.metric);
    }
  }
  if (names.empty() && losses.empty()) return std::vector<std::string>{"psnr", "ssim"};
  const auto everything = std::find(names.begin(), names.end(), kEverything);
  if (everything == names.end()) return names;

  names.erase(everything);
  for (const v1::MetricInfo& metric : listed.metrics()) {
    if (std::find(names.begin(), names.end(), metric.id()) != names.end()) continue;
    if (metric.needs_convention()) {
      Tell(absl::StrCat("left out ", metric.id(), ": it must be asked for as ", metric.id(), ":",
                        metric.conventions(0).name()));
    } else if (metric.unavailable().empty()) {
      names.push_back(metric.id());
    } else {
      Tell(absl::StrCat("left out ", metric.id(), ": ", metric.unavailable()));
    }
  }
  return names;
}

absl::StatusOr<std::vector<Asked>> ParseLosses(const std::vector<std::string>& texts,
                                               const v1::ListMetricsResponse& listed) {
  std::vector<Asked> losses;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(Asked loss, ParseLoss(text));
    const bool twice =
        std::any_of(losses.begin(), losses.end(), [&](const Asked& other) { return other.name == loss.name; });
    if (twice || loss.name == kEverything || FindMetric(listed, loss.name) != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--loss ", loss.name, ": the name is taken by ",
                                                     twice ? "another loss" : "a metric", "; choose another"));
    }
    losses.push_back(std::move(loss));
  }
  return losses;
}

// Asks for the precision that the flags want, and for the maps and gradients that the metric, or all terms of the loss,
// have.
absl::Status SetOutputs(const CompareOptions& options, const v1::ListMetricsResponse& listed, Asked& asked) {
  std::vector<std::string> metrics;
  if (asked.request.terms().empty()) metrics.push_back(asked.request.metric());
  for (const v1::Term& term : asked.request.terms()) metrics.push_back(term.metric());
  bool has_map = true;
  bool has_gradient = true;
  for (const std::string& name : metrics) {
    const v1::MetricInfo* metric = FindMetric(listed, name);
    if (metric == nullptr) return NoSuchMetric(listed, name);
    has_map = has_map && metric->has_map();
    has_gradient = has_gradient && metric->has_gradient();
  }
  if (options.fast) asked.request.set_precision(v1::PRECISION_FAST);
  asked.request.set_want_map(!options.map_path.empty() && has_map);
  asked.request.set_want_gradient(!options.gradient_path.empty() && has_gradient);
  if (!options.map_path.empty() && !has_map) Tell(absl::StrCat(asked.name, " has no map; none is written"));
  if (!options.gradient_path.empty() && !has_gradient) {
    Tell(absl::StrCat(asked.name, " has no gradient; none is written"));
  }
  return absl::OkStatus();
}

// A gate, a scale or an output file that nothing answers to is a mistake in the command line, and a gate that is never
// looked at would be a pass that nobody measured.
absl::Status CheckJob(const Job& job, const CompareOptions& options, const v1::ListMetricsResponse& listed) {
  const std::vector<std::string> names = job.names();
  const auto is_measured = [&](const std::string& name) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& asked) { return NameMeans(name, asked, names); });
  };
  for (const Gate& gate : job.gates) {
    if (!is_measured(gate.metric)) {
      return absl::InvalidArgumentError(
          absl::StrCat(gate.Flag(), ": ", gate.metric, " is not measured; add it to --metric or --loss"));
    }
    const v1::MetricInfo* metric = FindMetric(listed, gate.metric);
    const bool under = gate.kind == Gate::Kind::kFailUnder;
    if (metric != nullptr &&
        metric->direction() == (under ? v1::DIRECTION_LOWER_IS_BETTER : v1::DIRECTION_HIGHER_IS_BETTER)) {
      Tell(absl::StrCat("note: ", gate.Flag(), " fails the better images: ", under ? "lower" : "higher", " ",
                        metric->id(), " is better"));
    }
  }
  for (const NamedScale& scale : job.scales) {
    if (!scale.metric.empty() && !is_measured(scale.metric)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--map-scale ", scale.metric, ": not measured; add it to --metric or --loss"));
    }
  }
  const auto none = [&](bool (v1::MetricRequest::*wants)() const) {
    return std::none_of(job.asked.begin(), job.asked.end(), [&](const Asked& one) { return (one.request.*wants)(); });
  };
  if (!options.map_path.empty() && none(&v1::MetricRequest::want_map)) {
    return absl::InvalidArgumentError("--map: none of the metrics has a map; `likeness metrics` shows which do");
  }
  if (!options.gradient_path.empty() && none(&v1::MetricRequest::want_gradient)) {
    return absl::InvalidArgumentError(
        "--gradient: none of the metrics has a gradient; `likeness metrics` shows which do");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Job> MakeJob(const CompareOptions& options, const v1::ListMetricsResponse& listed) {
  Job job;
  for (const std::string& text : options.fail_under) {
    ASSIGN_OR_RETURN(Gate gate, ParseGate(Gate::Kind::kFailUnder, text));
    job.gates.push_back(std::move(gate));
  }
  for (const std::string& text : options.fail_over) {
    ASSIGN_OR_RETURN(Gate gate, ParseGate(Gate::Kind::kFailOver, text));
    job.gates.push_back(std::move(gate));
  }
  for (const std::string& text : options.map_scales) {
    ASSIGN_OR_RETURN(NamedScale scale, ParseScale(text));
    job.scales.push_back(std::move(scale));
  }
  ASSIGN_OR_RETURN(const std::vector<Asked> losses, ParseLosses(options.losses, listed));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ChooseNames(options, job.gates, losses, listed));
  for (const std::string& name : names) {
    Asked& one = job.asked.emplace_back();
    one.name = name;
    one.request.set_metric(name);
  }
  job.asked.insert(job.asked.end(), losses.begin(), losses.end());
  for (Asked& one : job.asked) RETURN_IF_ERROR(SetOutputs(options, listed, one));
  for (const std::string& text : options.parameters) RETURN_IF_ERROR(SetParameter(text, listed, job.asked));
  RETURN_IF_ERROR(CheckJob(job, options, listed));
  return job;
}

}  // namespace likeness::cli
