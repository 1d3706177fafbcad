// Weights files that tests make: trunks with numbers from a formula, so that the arithmetic is tested without real
// weights.
#pragma once

#include <string>

#include "tests/support/synthetic_weights.h"

namespace likeness::testing {

// lpips_v0.0, of all trunks, as SyntheticWeights: head l has u(k, l + 4001) 2 / channels.
Tensors SyntheticFirstVersionHeads();

std::string EncodeSafetensors(const Tensors& tensors);

// A fresh, empty folder.
std::string MakeFolder();
void WriteFile(const std::string& path, const std::string& bytes);

// Writes <stem>.safetensors and enters its SHA-256 in own-weights.sha256.
void WriteOwnWeights(const std::string& folder, const std::string& stem, const Tensors& tensors);

// The synthetic weights of all learned metrics in a folder, made once.
const std::string& SyntheticFolder();

}  // namespace likeness::testing
