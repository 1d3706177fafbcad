// Finds a learned metric's weights file, checks it and loads it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/ops/conv_trunk/trunk.h"

namespace likeness {

struct LoadedTrunk {
  std::unique_ptr<Trunk> trunk;
  // Not empty when the weights are the user's own: their file and SHA-256.
  std::string own_weights;
};

// Loads <metric>.safetensors from `folder`; when that is empty, from $LIKENESS_WEIGHTS; when that is too, from the
// first of build/weights and /usr/share/likeness/weights that has it.
//
// The file's SHA-256 must be the one that this build was made with, or stand in own-weights.sha256 beside it, a list as
// sha256sum prints it: the way to use weights of one's own.
//
// NOT_FOUND: no such file. FAILED_PRECONDITION: another SHA-256. INVALID_ARGUMENT: not a file of such a trunk. Messages
// name the file and the remedy.
absl::StatusOr<LoadedTrunk> LoadTrunk(const std::string& metric, const TrunkSpec& spec, ConvIsa isa,
                                      const std::string& folder);

}  // namespace likeness
