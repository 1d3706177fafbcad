// Trunks with numbers from a formula. Standard library only: the GPU's checks make them too.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/ops/conv_trunk/trunk_weights.h"

namespace likeness::testing {

using Tensors = std::map<std::string, std::vector<float>>;

namespace weights_internal {

inline double Uniform(std::uint32_t k, std::uint32_t salt) {
  std::uint32_t h = k * 2654435761u + salt * 2654404609u;
  h ^= h >> 16;
  h *= 2246822519u;
  h ^= h >> 13;
  return h / 4294967296.0;
}

template <class Value>
std::vector<float> Fill(std::int64_t count, Value value) {
  std::vector<float> values(count);
  for (std::int64_t k = 0; k < count; ++k) values[k] = static_cast<float>(value(static_cast<std::uint32_t>(k)));
  return values;
}

}  // namespace weights_internal

// u(k, salt) = h / 2^32, h = k 2654435761 + salt 2654404609 mod 2^32, h ^= h >> 16, h = h 2246822519 mod 2^32,
// h ^= h >> 13. Convolution i: weights (2 u(k, i + 1) - 1) sqrt(6 / (in kernel^2)), biases (2 u(k, i + 1001) - 1) / 10;
// head l: u(k, l + 2001) 2 / channels. Of two rows of weights, with k over the channels of all taps: u(k, 3001) and
// u(k, 3002).
inline Tensors SyntheticWeights(const TrunkSpec& spec) {
  using weights_internal::Fill, weights_internal::Uniform;
  Tensors tensors;
  std::uint32_t layer = 0, tap = 0;
  std::uint32_t seen = 0;  // tapped channels so far, for a trunk with two rows of weights
  const auto add_head = [&](int channels) {
    const std::string name = "head" + std::to_string(tap) + ".weight";
    if (spec.head_rows == 2) {
      std::vector<float>& head = tensors[name];
      for (const std::uint32_t salt : {3001u, 3002u}) {
        for (int c = 0; c < channels; ++c) head.push_back(static_cast<float>(Uniform(seen + c, salt)));
      }
      seen += channels;
    } else {
      tensors[name] = Fill(channels, [&](std::uint32_t k) { return Uniform(k, tap + 2001) * 2.0 / channels; });
    }
    ++tap;
  };
  if (spec.image_tap) add_head(3);
  for (const ConvSpec& conv : spec.convs) {
    const int taps = conv.in * conv.kernel * conv.kernel;
    tensors["conv" + std::to_string(layer) + ".weight"] = Fill(std::int64_t{conv.out} * taps, [&](std::uint32_t k) {
      return (2.0 * Uniform(k, layer + 1) - 1.0) * std::sqrt(6.0 / taps);
    });
    tensors["conv" + std::to_string(layer) + ".bias"] =
        Fill(conv.out, [&](std::uint32_t k) { return (2.0 * Uniform(k, layer + 1001) - 1.0) * 0.1; });
    if (conv.tap) add_head(spec.Channels(static_cast<int>(layer)));
    ++layer;
  }
  return tensors;
}

// Those of a trunk as its ops take them; stays where it is.
struct SyntheticTrunk {
  Tensors tensors;
  std::vector<std::vector<float>> rearranged;
  TrunkWeights weights;

  explicit SyntheticTrunk(const TrunkSpec& spec) : tensors(SyntheticWeights(spec)) {
    for (std::size_t i = 0; i < spec.convs.size(); ++i) {
      const std::string name = "conv" + std::to_string(i);
      ConvWeights conv{GeometryOf(spec.convs[i]), tensors.at(name + ".weight"), tensors.at(name + ".bias"), 0};
      if (spec.convs[i].stride > 1) {
        rearranged.push_back(PhaseWeights(spec.convs[i], conv.weight));
        conv.weight = rearranged.back();
      }
      // The formula depends on these alone.
      for (const int part : {conv.geometry.in, conv.geometry.out, conv.geometry.kernel, static_cast<int>(i)}) {
        conv.identity = conv.identity * 1000003 + static_cast<std::uint64_t>(part);
      }
      weights.convs.push_back(conv);
    }
    for (int tap = 0; tap < spec.tap_count(); ++tap) {
      weights.heads.push_back(tensors.at("head" + std::to_string(tap) + ".weight"));
    }
  }
  SyntheticTrunk(const SyntheticTrunk&) = delete;
};

}  // namespace likeness::testing
