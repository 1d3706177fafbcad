#include "client/cli/compare.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/diagnostics.h"
#include "client/cli/exit_code.h"
#include "client/cli/folders.h"
#include "client/cli/job.h"
#include "client/cli/numbers.h"
#include "client/cli/output_files.h"
#include "client/client.h"
#include "kernels/base/status_macros.h"
#include "server/reason.h"

namespace likeness::cli {
namespace {

// A pair that the server has no room for, beside those of others, is sent again until none has been taken for so long.
constexpr absl::Duration kBusyFor = absl::Seconds(60);
constexpr absl::Duration kBusyPause = absl::Milliseconds(200);

// Where the outputs of one metric go; empty: it has none.
struct OutputPaths {
  std::string map;
  std::string gradient;
};

// Of each metric: these paths where one metric writes, else a path for each.
std::vector<OutputPaths> PathsOf(const Job& job, const std::string& map_path, const std::string& gradient_path) {
  const auto path_of = [&](const std::string& path, const Asked& one, bool (v1::MetricRequest::*wants)() const) {
    if (!(one.request.*wants)()) return std::string();
    const auto count =
        std::count_if(job.asked.begin(), job.asked.end(), [&](const Asked& other) { return (other.request.*wants)(); });
    return count > 1 ? PathOfMetric(path, one.name) : path;
  };
  std::vector<OutputPaths> outputs;
  for (const Asked& one : job.asked) {
    outputs.push_back({path_of(map_path, one, &v1::MetricRequest::want_map),
                       path_of(gradient_path, one, &v1::MetricRequest::want_gradient)});
  }
  return outputs;
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

// What no output may replace.
std::vector<NamedFile> WhatIsRead(const CompareOptions& options) {
  std::vector<NamedFile> read = {{"REFERENCE", options.reference_path}, {"DISTORTED", options.distorted_path}};
  if (!options.weights.mask_path.empty()) read.push_back({"--mask", options.weights.mask_path});
  for (const std::string& region : options.weights.regions) read.push_back({"--region", RegionPath(region)});
  return read;
}

absl::Status CheckOutputs(const std::vector<OutputPaths>& outputs, const CompareOptions& options) {
  std::vector<NamedFile> written;
  for (const OutputPaths& paths : outputs) {
    if (!paths.map.empty()) written.push_back({"--map", paths.map});
    if (!paths.gradient.empty()) written.push_back({"--gradient", paths.gradient});
  }
  return CheckApart(WhatIsRead(options), written);
}

// Of two folders, whose maps and gradients go to folders.
absl::Status CheckFolders(const CompareOptions& options) {
  for (const auto& [flag, folder] : {std::pair("--map", options.map_path), {"--gradient", options.gradient_path}}) {
    if (folder.empty()) continue;
    for (const NamedFile& read : WhatIsRead(options)) RETURN_IF_ERROR(CheckApartFrom(read.path, flag, folder));
  }
  if (!options.map_scales.empty() && options.map_path.empty()) {
    return absl::InvalidArgumentError("--map-scale is of heat maps; name the folder to write them to by --map");
  }
  return absl::OkStatus();
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

// Writes the map and the gradient of one metric; `outcome` then has their places instead.
absl::Status WriteOutput(const Job& job, const OutputPaths& paths, Outcome& outcome) {
  v1::MetricResult& result = outcome.result;
  if (!paths.map.empty()) {
    MapFile file{paths.map, std::nullopt};
    if (HasExtension(file.path, ".png")) {
      file.scale = ChooseScale(job.scales, outcome.asked, job.names(), result.map());
      RETURN_IF_ERROR(WriteHeatMap(result.map(), *file.scale, file.path));
    } else {
      RETURN_IF_ERROR(WriteNpy(result.map(), file.path));
    }
    outcome.map = std::move(file);
    result.mutable_map()->clear_data();
  }
  if (!paths.gradient.empty()) {
    RETURN_IF_ERROR(WriteNpy(result.gradient(), paths.gradient));
    outcome.gradient_path = paths.gradient;
    result.clear_gradient();
  }
  return absl::OkStatus();
}

// Messages name an image by its field of the request; the user knows it by its file.
absl::Status WithPaths(const absl::Status& status, const FilePair& pair, const PixelWeightsOptions& weights) {
  std::vector<std::pair<std::string, std::string>> names = {
      {"reference", absl::StrCat(pair.reference_path, " (reference)")},
      {"distorted", absl::StrCat(pair.distorted_path, " (distorted)")},
      {"weights.mask", absl::StrCat(weights.mask_path, " (mask)")}};
  for (std::size_t i = 0; i < weights.regions.size(); ++i) {
    names.emplace_back(absl::StrCat("weights.regions[", i, "].mask"),
                       absl::StrCat(RegionPath(weights.regions[i]), " (region)"));
  }
  return absl::Status(status.code(), absl::StrReplaceAll(status.message(), names));
}

absl::Status ReadPair(const FilePair& pair, v1::ScoreRequest& request) {
  if (pair.reference_path.empty()) return absl::NotFoundError(absl::StrCat(pair.distorted_path, " has no reference"));
  if (pair.distorted_path.empty()) {
    return absl::NotFoundError(absl::StrCat("nothing was found to compare with ", pair.reference_path));
  }
  ASSIGN_OR_RETURN(*request.mutable_reference(), client::ImageFromFile(pair.reference_path));
  ASSIGN_OR_RETURN(*request.mutable_distorted(), client::ImageFromFile(pair.distorted_path));
  return absl::OkStatus();
}

// What counts for all pairs, but for the metrics.
absl::Status ReadWeights(const CompareOptions& options, v1::ScoreRequest& request) {
  if (options.alpha_background.has_value()) request.set_alpha_background(*options.alpha_background);
  if (options.weights.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(*request.mutable_weights(), ReadPixelWeights(options.weights));
  return absl::OkStatus();
}

// With as many outcomes as metrics, whose results are `response`'s; of a pair that failed `status` is that of all.
Report MakeReport(const Job& job, const FilePair& pair, const absl::Status& status, v1::ScoreResponse response) {
  Report report;
  report.name = pair.name;
  report.reference_path = pair.reference_path;
  report.distorted_path = pair.distorted_path;
  report.provenance = response.provenance();
  const std::vector<std::string> names = job.names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    Outcome& outcome = report.outcomes.emplace_back();
    outcome.asked = names[i];
    outcome.status = status;
    if (status.ok()) {
      outcome.result = std::move(*response.mutable_results(static_cast<int>(i)));
      outcome.status = client::MetricStatus(outcome.result);
    }
    for (const Gate& gate : job.gates) {
      if (NameMeans(gate.metric, names[i], names)) outcome.gates.push_back(gate);
    }
  }
  return report;
}

absl::StatusOr<Report> MeasureFiles(Engine& engine, const CompareOptions& options) {
  RETURN_IF_ERROR(CheckExtensions(options));
  const FilePair pair{"", options.reference_path, options.distorted_path};
  v1::ScoreRequest request;
  // Before the server is asked for anything: the commonest mistake is a wrong path.
  RETURN_IF_ERROR(ReadPair(pair, request));
  RETURN_IF_ERROR(ReadWeights(options, request));
  ASSIGN_OR_RETURN(const v1::ListMetricsResponse listed, engine.ListMetrics());
  ASSIGN_OR_RETURN(const Job job, MakeJob(options, listed));
  const std::vector<OutputPaths> outputs = PathsOf(job, options.map_path, options.gradient_path);
  RETURN_IF_ERROR(CheckOutputs(outputs, options));
  for (const Asked& one : job.asked) *request.add_metrics() = one.request;
  absl::StatusOr<v1::ScoreResponse> response = engine.Score(request);
  if (!response.ok()) return WithPaths(response.status(), pair, options.weights);
  Report report = MakeReport(job, pair, absl::OkStatus(), *std::move(response));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Outcome& outcome = report.outcomes[i];
    if (!outcome.status.ok()) continue;
    RETURN_IF_ERROR(WriteOutput(job, outputs[i], outcome));
    if (!outcome.map.has_value() || !outcome.map->scale.has_value()) continue;
    Tell(absl::StrCat("wrote ", outcome.map->path, ": ", outcome.asked, ", dark ",
                      FormatNumber(outcome.map->scale->low), " to bright ", FormatNumber(outcome.map->scale->high)));
  }
  return report;
}

// Files of a folder's structure below another folder.
absl::Status MakeFolderOf(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  return error ? absl::ErrnoToStatus(error.value(), absl::StrCat("cannot make a folder for ", path)) : absl::OkStatus();
}

// Follows the links that lie in an output folder.
absl::Status MakeRoomFor(const std::string& flag, const std::string& path, const CompareOptions& options) {
  RETURN_IF_ERROR(MakeFolderOf(path));
  RETURN_IF_ERROR(CheckApartFrom(options.reference_path, flag, path));
  return CheckApartFrom(options.distorted_path, flag, path);
}

// A file that cannot be written leaves its metric without a measurement, as a gate without its picture would be.
void WritePair(const Job& job, const CompareOptions& options, Report& report) {
  const auto below = [&](const std::string& folder, const char* extension) {
    return folder.empty() ? folder : absl::StrCat(folder, "/", report.name, extension);
  };
  const std::vector<OutputPaths> outputs =
      PathsOf(job, below(options.map_path, ".png"), below(options.gradient_path, ".npy"));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Outcome& outcome = report.outcomes[i];
    for (const auto& [flag, path] : {std::pair("--map", outputs[i].map), {"--gradient", outputs[i].gradient}}) {
      if (outcome.status.ok() && !path.empty()) outcome.status = MakeRoomFor(flag, path, options);
    }
    if (outcome.status.ok()) outcome.status = WriteOutput(job, outputs[i], outcome);
  }
}

absl::StatusOr<FolderReport> MeasureFolders(Engine& engine, const CompareOptions& options) {
  RETURN_IF_ERROR(CheckFolders(options));
  ASSIGN_OR_RETURN(const std::vector<FilePair> pairs, PairFiles(options.reference_path, options.distorted_path));
  v1::ScoreRequest common;
  RETURN_IF_ERROR(ReadWeights(options, common));
  ASSIGN_OR_RETURN(const v1::ListMetricsResponse listed, engine.ListMetrics());
  ASSIGN_OR_RETURN(const Job job, MakeJob(options, listed));
  for (const Asked& one : job.asked) *common.add_metrics() = one.request;

  FolderReport report;
  report.reference_path = options.reference_path;
  report.distorted_path = options.distorted_path;
  report.pairs.resize(pairs.size());
  const auto fail = [&](std::size_t i, const absl::Status& status) {
    report.pairs[i] = MakeReport(job, pairs[i], status, v1::ScoreResponse());
  };
  std::vector<std::size_t> waiting(pairs.size());
  std::iota(waiting.begin(), waiting.end(), std::size_t{0});
  absl::Time give_up_at = absl::Now() + kBusyFor;
  while (!waiting.empty()) {
    std::vector<std::size_t> busy;
    std::size_t sent = 0;
    // On a thread of its own; each pair is reported either here or by `answer`.
    const auto next = [&](v1::ScoreRequest& request) {
      while (sent < waiting.size()) {
        const std::size_t i = waiting[sent++];
        request = common;
        request.set_request_id(absl::StrCat(i));
        const absl::Status read = ReadPair(pairs[i], request);
        if (read.ok()) return true;
        fail(i, read);
      }
      return false;
    };
    const auto answer = [&](v1::ScoreResponse response) {
      std::size_t i = 0;
      if (!absl::SimpleAtoi(response.request_id(), &i) || i >= pairs.size()) return;
      const bool is_busy = response.reason() == server::kServerBusy;
      if (is_busy) busy.push_back(i);
      if (is_busy && absl::Now() < give_up_at) return;
      const absl::Status status = WithPaths(client::PairStatus(response), pairs[i], options.weights);
      report.pairs[i] = MakeReport(job, pairs[i], status, std::move(response));
      WritePair(job, options, report.pairs[i]);
      if (status.ok()) report.provenance = report.pairs[i].provenance;
    };
    const absl::Status ended = engine.ScorePairs(waiting.size(), next, answer);
    if (!ended.ok()) {
      const auto is_open = [](const Report& pair) { return pair.outcomes.empty(); };
      if (std::all_of(report.pairs.begin(), report.pairs.end(), is_open)) return ended;
      for (const std::size_t i : waiting) {
        if (is_open(report.pairs[i])) fail(i, ended);
      }
      break;
    }
    if (busy.size() < waiting.size()) {
      give_up_at = absl::Now() + kBusyFor;
    } else if (absl::Now() >= give_up_at) {
      break;
    }
    waiting = std::move(busy);
    if (!waiting.empty()) absl::SleepFor(kBusyPause);
  }
  return report;
}

// Tells what is wrong with a pair, one line for all metrics where they share it.
int Judge(const Report& report) {
  const std::string of_pair = report.name.empty() ? "" : absl::StrCat(report.name, ": ");
  const absl::Status& first = report.outcomes.front().status;
  if (!report.name.empty() && !first.ok() &&
      std::all_of(report.outcomes.begin(), report.outcomes.end(),
                  [&](const Outcome& outcome) { return outcome.status == first; })) {
    Tell(absl::StrCat(of_pair, "not measured: ", first.message()));
    return kNotMeasured;
  }
  int code = kPassed;
  for (const Outcome& outcome : report.outcomes) {
    if (!outcome.status.ok()) {
      Tell(absl::StrCat(of_pair, outcome.asked, " was not measured: ", outcome.status.message()));
      code = kNotMeasured;
      continue;
    }
    for (const Gate& gate : outcome.gates) {
      if (gate.Passes(outcome.result.score())) continue;
      Tell(absl::StrCat(of_pair, outcome.asked, " is ", FormatNumber(outcome.result.score()),
                        gate.kind == Gate::Kind::kFailUnder ? ", below " : ", above ", FormatNumber(gate.limit), " (",
                        gate.Flag(), ")"));
      code = std::max<int>(code, kOverTheLine);
    }
  }
  return code;
}

int CompareFolders(Engine& engine, const CompareOptions& options) {
  const absl::StatusOr<FolderReport> report = MeasureFolders(engine, options);
  if (!report.ok()) return Fail(report.status());
  int code = kPassed;
  for (const Report& pair : report->pairs) code = std::max(code, Judge(pair));
  return Print(FormatReport(*report, options.format), code);
}

}  // namespace

int RunCompare(Engine& engine, const CompareOptions& options) {
  if (IsFolder(options.reference_path) || IsFolder(options.distorted_path)) return CompareFolders(engine, options);
  const absl::StatusOr<Report> report = MeasureFiles(engine, options);
  if (!report.ok()) return Fail(report.status());
  const int code = Judge(*report);
  return Print(FormatReport(*report, options.format), code);
}

}  // namespace likeness::cli
