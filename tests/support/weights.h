// Weights files that tests make: trunks with numbers from a formula, so that the arithmetic is tested without real
// weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/ops/conv_trunk/trunk_spec.h"

namespace likeness::testing {

// u(k, salt) = h / 2^32, h = k 2654435761 + salt 2654404609 mod 2^32, h ^= h >> 16, h = h 2246822519 mod 2^32,
// h ^= h >> 13. Convolution i: weights (2 u(k, i + 1) - 1) sqrt(6 / (in kernel^2)), biases (2 u(k, i + 1001) - 1) / 10;
// head l: u(k, l + 2001) 2 / channels. Of two rows of weights, with k over the channels of all taps: u(k, 3001) and
// u(k, 3002).
using Tensors = std::map<std::string, std::vector<float>>;
Tensors SyntheticWeights(const TrunkSpec& spec);

std::string EncodeSafetensors(const Tensors& tensors);

// A fresh, empty folder.
std::string MakeFolder();
void WriteFile(const std::string& path, const std::string& bytes);

// Writes <metric>.safetensors and enters its SHA-256 in own-weights.sha256.
void WriteOwnWeights(const std::string& folder, const std::string& metric, const Tensors& tensors);

// The synthetic weights of all learned metrics in a folder, made once.
const std::string& SyntheticFolder();

}  // namespace likeness::testing
