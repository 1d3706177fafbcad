// The outcome of `likeness compare`, as text, JSON or CSV.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/heat_map.h"
#include "client/cli/request.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

enum class Format { kText, kJson, kCsv };

struct MapFile {
  std::string path;
  std::optional<MapScale> scale;  // of a PNG
};

struct Outcome {
  std::string asked;        // "ssim:torchmetrics", as typed, or a loss's name
  absl::Status status;      // not OK: not measured
  v1::MetricResult result;  // without its map and gradient
  std::vector<Gate> gates;  // those that mean this metric
  std::optional<MapFile> map;
  std::optional<std::string> gradient_path;

  // Empty without a gate or without a score.
  std::optional<bool> passed() const;
};

struct Report {
  std::string name;  // of one pair of many; else empty
  std::string reference_path;
  std::string distorted_path;
  v1::Provenance provenance;
  std::vector<Outcome> outcomes;

  bool gated() const;   // a gate is about one of its metrics
  bool passed() const;  // no gate failed, and what they are about was measured
};

// The pairs of two folders.
struct FolderReport {
  std::string reference_path;
  std::string distorted_path;
  v1::Provenance provenance;
  std::vector<Report> pairs;  // with the same metrics asked for, in the order of their names
};

// Ends with a newline. The JSON object is documented in docs/cli.md; its "version" changes when a reader must.
std::string FormatReport(const Report& report, Format format);
std::string FormatReport(const FolderReport& report, Format format);

// "lower_is_better", "higher_is_better", "zero_is_best"; "unspecified" of a loss whose terms disagree.
std::string DirectionName(v1::Direction direction);

}  // namespace likeness::cli
