#include "client/cli/compare.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/diagnostics.h"
#include "client/cli/exit_code.h"
#include "client/cli/loss.h"
#include "client/cli/numbers.h"
#include "client/cli/output_files.h"
#include "client/cli/request.h"
#include "client/client.h"
#include "kernels/base/status_macros.h"

namespace likeness::cli {
namespace {

constexpr char kEverything[] = "all";

struct NamedScale {
  std::string metric;  // empty: every map
  MapScale scale;
};

// Where the outputs of one metric go; empty: it has none.
struct OutputPaths {
  std::string map;
  std::string gradient;
};

// What the flags say, understood.
struct Job {
  std::vector<Asked> asked;
  std::vector<OutputPaths> outputs;  // of each
  std::vector<Gate> gates;
  std::vector<NamedScale> scales;

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Asked& one : asked) names.push_back(one.name);
    return names;
  }
};

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

// The flags' own paths where one metric writes, else a path for each.
std::vector<OutputPaths> ChoosePaths(const CompareOptions& options, const std::vector<Asked>& asked) {
  const auto path_of = [&](const std::string& flag, const Asked& one, bool (v1::MetricRequest::*wants)() const) {
    if (!(one.request.*wants)()) return std::string();
    const auto count =
        std::count_if(asked.begin(), asked.end(), [&](const Asked& other) { return (other.request.*wants)(); });
    return count > 1 ? PathOfMetric(flag, one.name) : flag;
  };
  std::vector<OutputPaths> outputs;
  for (const Asked& one : asked) {
    outputs.push_back({path_of(options.map_path, one, &v1::MetricRequest::want_map),
                       path_of(options.gradient_path, one, &v1::MetricRequest::want_gradient)});
  }
  return outputs;
}

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
  job.outputs = ChoosePaths(options, job.asked);
  for (const std::string& text : options.parameters) RETURN_IF_ERROR(SetParameter(text, listed, job.asked));
  return job;
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

absl::Status CheckExtensions(const CompareOptions& options) {
  const bool heat_map = HasExtension(options.map_path, ".png");
  if (!options.map_path.empty() && !heat_map && !HasExtension(options.map_path, ".npy")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--map is \"", options.map_path, "\"; must be a name and .png (a heat map) or .npy (float32), as in map.png"));
  }
  if (!options.map_scales.empty() && !heat_map) {
    return absl::InvalidArgumentError("--map-scale is of heat maps; name the .png to write by --map");
  }
  if (!options.gradient_path.empty() && !HasExtension(options.gradient_path, ".npy")) {
    return absl::InvalidArgumentError(absl::StrCat("--gradient is \"", options.gradient_path,
                                                   "\"; must be a name and .npy (float32), as in gradient.npy"));
  }
  return absl::OkStatus();
}

absl::Status CheckOutputs(const Job& job, const CompareOptions& options) {
  std::vector<NamedFile> read = {{"REFERENCE", options.reference_path}, {"DISTORTED", options.distorted_path}};
  if (!options.weights.mask_path.empty()) read.push_back({"--mask", options.weights.mask_path});
  for (const std::string& region : options.weights.regions) read.push_back({"--region", RegionPath(region)});
  std::vector<NamedFile> written;
  for (const OutputPaths& paths : job.outputs) {
    if (!paths.map.empty()) written.push_back({"--map", paths.map});
    if (!paths.gradient.empty()) written.push_back({"--gradient", paths.gradient});
  }
  return CheckApart(read, written);
}

// A scale given for this metric, else one given for all, else the map's own range.
MapScale ChooseScale(const std::vector<NamedScale>& scales, const std::string& asked,
                     const std::vector<std::string>& names, const v1::Tensor& map) {
  for (const NamedScale& named : scales) {
    if (!named.metric.empty() && NameMeans(named.metric, asked, names)) return named.scale;
  }
  for (const NamedScale& named : scales) {
    if (named.metric.empty()) return named.scale;
  }
  return FullScale(map);
}

absl::Status WriteOutputs(const Job& job, Report& report) {
  for (std::size_t i = 0; i < job.asked.size(); ++i) {
    Outcome& outcome = report.outcomes[i];
    if (!outcome.status.ok()) continue;
    v1::MetricResult& result = outcome.result;
    const auto& [map_path, gradient_path] = job.outputs[i];
    if (!map_path.empty()) {
      MapFile file{map_path, std::nullopt};
      if (HasExtension(file.path, ".png")) {
        file.scale = ChooseScale(job.scales, outcome.asked, job.names(), result.map());
        RETURN_IF_ERROR(WriteHeatMap(result.map(), *file.scale, file.path));
        Tell(absl::StrCat("wrote ", file.path, ": ", outcome.asked, ", dark ", FormatNumber(file.scale->low),
                          " to bright ", FormatNumber(file.scale->high)));
      } else {
        RETURN_IF_ERROR(WriteNpy(result.map(), file.path));
      }
      outcome.map = std::move(file);
      result.mutable_map()->clear_data();
    }
    if (!gradient_path.empty()) {
      RETURN_IF_ERROR(WriteNpy(result.gradient(), gradient_path));
      outcome.gradient_path = gradient_path;
      result.clear_gradient();
    }
  }
  return absl::OkStatus();
}

// Messages name an image by its field of the request; the user knows it by its file.
absl::Status WithPaths(const absl::Status& status, const CompareOptions& options) {
  std::vector<std::pair<std::string, std::string>> names = {
      {"reference", absl::StrCat(options.reference_path, " (reference)")},
      {"distorted", absl::StrCat(options.distorted_path, " (distorted)")},
      {"weights.mask", absl::StrCat(options.weights.mask_path, " (mask)")}};
  for (std::size_t i = 0; i < options.weights.regions.size(); ++i) {
    names.emplace_back(absl::StrCat("weights.regions[", i, "].mask"),
                       absl::StrCat(RegionPath(options.weights.regions[i]), " (region)"));
  }
  return absl::Status(status.code(), absl::StrReplaceAll(status.message(), names));
}

absl::StatusOr<Report> Measure(Engine& engine, const CompareOptions& options) {
  RETURN_IF_ERROR(CheckExtensions(options));
  v1::ScoreRequest request;
  // Before the server is asked for anything: the commonest mistake is a wrong path.
  ASSIGN_OR_RETURN(*request.mutable_reference(), client::ImageFromFile(options.reference_path));
  ASSIGN_OR_RETURN(*request.mutable_distorted(), client::ImageFromFile(options.distorted_path));
  if (options.alpha_background.has_value()) request.set_alpha_background(*options.alpha_background);
  if (!options.weights.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_weights(), ReadPixelWeights(options.weights));
  }

  ASSIGN_OR_RETURN(const v1::ListMetricsResponse listed, engine.ListMetrics());
  ASSIGN_OR_RETURN(const Job job, MakeJob(options, listed));
  RETURN_IF_ERROR(CheckJob(job, options, listed));
  RETURN_IF_ERROR(CheckOutputs(job, options));
  for (const Asked& one : job.asked) *request.add_metrics() = one.request;
  absl::StatusOr<v1::ScoreResponse> scored = engine.Score(request);
  if (!scored.ok()) return WithPaths(scored.status(), options);
  v1::ScoreResponse& response = *scored;

  Report report;
  report.reference_path = options.reference_path;
  report.distorted_path = options.distorted_path;
  report.provenance = response.provenance();
  const std::vector<std::string> names = job.names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    Outcome& outcome = report.outcomes.emplace_back();
    outcome.asked = names[i];
    outcome.result = std::move(*response.mutable_results(static_cast<int>(i)));
    outcome.status = client::MetricStatus(outcome.result);
    for (const Gate& gate : job.gates) {
      if (NameMeans(gate.metric, names[i], names)) outcome.gates.push_back(gate);
    }
  }
  RETURN_IF_ERROR(WriteOutputs(job, report));
  return report;
}

int Judge(const Report& report) {
  int code = kPassed;
  for (const Outcome& outcome : report.outcomes) {
    if (!outcome.status.ok()) {
      Tell(absl::StrCat(outcome.asked, " was not measured: ", outcome.status.message()));
      code = kNotMeasured;
      continue;
    }
    for (const Gate& gate : outcome.gates) {
      if (gate.Passes(outcome.result.score())) continue;
      Tell(absl::StrCat(outcome.asked, " is ", FormatNumber(outcome.result.score()),
                        gate.kind == Gate::Kind::kFailUnder ? ", below " : ", above ", FormatNumber(gate.limit), " (",
                        gate.Flag(), ")"));
      code = std::max<int>(code, kOverTheLine);
    }
  }
  return code;
}

}  // namespace

int RunCompare(Engine& engine, const CompareOptions& options) {
  absl::StatusOr<Report> report = Measure(engine, options);
  if (!report.ok()) return Fail(report.status());
  const int code = Judge(*report);
  return Print(FormatReport(*report, options.format), code);
}

}  // namespace likeness::cli
