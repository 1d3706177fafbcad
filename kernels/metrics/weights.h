// Finds a learned metric's weights file, checks it and loads it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/metric_info.h"
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

// Gives the trunk of `metric` the heads that a convention has of its own: tensors "<metric>.head0.weight" and so on of
// <heads_file>.safetensors, found and checked like a trunk's file, with the same errors. Returns
// LoadedTrunk::own_weights of that file.
absl::StatusOr<std::string> LoadHeads(const std::string& metric, const ConventionInfo& convention,
                                      const std::string& folder, Trunk& trunk);

}  // namespace likeness
