#include "tests/support/weights.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "kernels/base/safetensors.h"

namespace likeness::testing {
namespace {

double Uniform(std::uint32_t k, std::uint32_t salt) {
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

}  // namespace

Tensors SyntheticWeights(const TrunkSpec& spec) {
  Tensors tensors;
  std::uint32_t layer = 0, tap = 0;
  std::uint32_t seen = 0;  // tapped channels so far, for a trunk with two rows of weights
  const auto add_head = [&](int channels) {
    const std::string name = absl::StrCat("head", tap, ".weight");
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
    tensors[absl::StrCat("conv", layer, ".weight")] = Fill(std::int64_t{conv.out} * taps, [&](std::uint32_t k) {
      return (2.0 * Uniform(k, layer + 1) - 1.0) * std::sqrt(6.0 / taps);
    });
    tensors[absl::StrCat("conv", layer, ".bias")] =
        Fill(conv.out, [&](std::uint32_t k) { return (2.0 * Uniform(k, layer + 1001) - 1.0) * 0.1; });
    if (conv.tap) add_head(spec.Channels(static_cast<int>(layer)));
    ++layer;
  }
  return tensors;
}

std::string EncodeSafetensors(const Tensors& tensors) {
  std::string header = "{", data;
  for (const auto& [name, values] : tensors) {
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", name, "\":{\"dtype\":\"F32\",\"shape\":[",
                    values.size(), "],\"data_offsets\":[", data.size(), ",",
                    data.size() + values.size() * sizeof(float), "]}");
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data;
}

std::string MakeFolder() {
  std::string folder = absl::StrCat(::testing::TempDir(), "likeness-weights-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) ADD_FAILURE() << "cannot make " << folder;
  return folder;
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  if (!file.flush()) ADD_FAILURE() << "cannot write " << path;
}

void WriteOwnWeights(const std::string& folder, const std::string& metric, const Tensors& tensors) {
  const std::string name = absl::StrCat(metric, ".safetensors");
  WriteFile(absl::StrCat(folder, "/", name), EncodeSafetensors(tensors));
  const auto file = MappedFile::Open(absl::StrCat(folder, "/", name));
  if (!file.ok()) ADD_FAILURE() << file.status();
  std::ofstream(absl::StrCat(folder, "/own-weights.sha256"), std::ios::app)
      << (*file)->Sha256() << "  " << name << "\n";
}

const std::string& SyntheticFolder() {
  static const std::string folder = [] {
    std::string made = MakeFolder();
    WriteOwnWeights(made, "lpips_alex", SyntheticWeights(kAlexTrunk));
    WriteOwnWeights(made, "lpips_vgg", SyntheticWeights(kVgg16Trunk));
    WriteOwnWeights(made, "lpips_squeeze", SyntheticWeights(kSqueezeNetTrunk));
    WriteOwnWeights(made, "dists", SyntheticWeights(kVgg16SmoothTrunk));
    return made;
  }();
  return folder;
}

}  // namespace likeness::testing
