#include "tests/support/weights.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "kernels/base/safetensors.h"

namespace likeness::testing {

Tensors SyntheticFirstVersionHeads() {
  using weights_internal::Fill, weights_internal::Uniform;
  Tensors tensors;
  const auto add = [&](const std::string& metric, const TrunkSpec& spec) {
    std::uint32_t tap = 0;
    for (int layer = 0; layer < static_cast<int>(spec.convs.size()); ++layer) {
      if (!spec.convs[layer].tap) continue;
      const int channels = spec.Channels(layer);
      tensors[absl::StrCat(metric, ".head", tap, ".weight")] =
          Fill(channels, [&](std::uint32_t k) { return Uniform(k, tap + 4001) * 2.0 / channels; });
      ++tap;
    }
  };
  add("lpips_alex", kAlexTrunk);
  add("lpips_vgg", kVgg16Trunk);
  add("lpips_squeeze", kSqueezeNetTrunk);
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

void WriteOwnWeights(const std::string& folder, const std::string& stem, const Tensors& tensors) {
  const std::string name = absl::StrCat(stem, ".safetensors");
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
    WriteOwnWeights(made, "lpips_v0.0", SyntheticFirstVersionHeads());
    WriteOwnWeights(made, "dists", SyntheticWeights(kVgg16SmoothTrunk));
    return made;
  }();
  return folder;
}

}  // namespace likeness::testing
