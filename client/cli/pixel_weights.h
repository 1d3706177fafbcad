// The flags --mask, --region and --averaging: how much each pixel counts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

// Flags as typed; empty where not given.
struct PixelWeightsOptions {
  std::string mask_path;
  std::vector<std::string> regions;  // FILE:MULTIPLIER
  std::string averaging;             // "pixels" or "weights"

  bool empty() const { return mask_path.empty() && regions.empty() && averaging.empty(); }
};

// "eyes.png" of "eyes.png:3", whose path may have colons of its own; all of a text that has no colon.
std::string RegionPath(const std::string& region);

// Reads the files. INVALID_ARGUMENT for a region that is not FILE:MULTIPLIER and for an averaging of nothing; the
// server judges the rest.
absl::StatusOr<v1::PixelWeights> ReadPixelWeights(const PixelWeightsOptions& options);

}  // namespace likeness::cli
