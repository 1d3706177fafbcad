// `likeness compare`: scores a pair of files, or the pairs of two folders, and judges the scores.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/cli/engine.h"
#include "client/cli/pixel_weights.h"
#include "client/cli/report.h"

namespace likeness::cli {

// Flags as typed.
struct CompareOptions {
  std::string reference_path;
  std::string distorted_path;
  std::vector<std::string> metrics;     // each may hold several, separated by commas; "all"
  std::vector<std::string> losses;      // NAME=SUM
  std::vector<std::string> parameters;  // METRIC.PARAMETER=VALUE
  std::vector<std::string> fail_under;  // METRIC=NUMBER
  std::vector<std::string> fail_over;
  std::string map_path;                 // empty: none
  std::vector<std::string> map_scales;  // LOW,HIGH or METRIC=LOW,HIGH
  std::string gradient_path;            // empty: none
  std::optional<double> alpha_background;
  bool fast = false;  // Precision
  PixelWeightsOptions weights;
  Format format = Format::kText;
};

// Prints the report on stdout and diagnostics on stderr. Returns an ExitCode.
int RunCompare(Engine& engine, const CompareOptions& options);

}  // namespace likeness::cli
