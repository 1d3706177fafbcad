// `likeness explain --metrics`: what several metrics of one request have in common, and what that saves.
#pragma once

#include <string>
#include <vector>

#include "client/cli/engine.h"
#include "client/cli/report.h"

namespace likeness::cli {

// Flags as typed.
struct SharingOptions {
  std::vector<std::string> metrics;  // each may hold several, separated by commas
  std::string size = "1920x1080";
  bool want_map = false;
  bool want_gradient = false;
  bool weighted = false;  // as under a mask
  LocalOptions local;
  Format format = Format::kText;
};

// Plans a pair of RGB images in this process, without images and without scoring. Prints the plan. Returns an ExitCode.
int RunSharing(const SharingOptions& options);

}  // namespace likeness::cli
