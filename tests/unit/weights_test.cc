// What happens when a weights file is missing, changed, broken or the user's own: that metric is unavailable with the
// reason and the remedy, and the rest is served.
#include "tests/support/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/safetensors.h"
#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MetricInfo AlexInfo(const std::string& folder) {
  ScorerOptions options;
  options.weights_dir = folder;
  const auto scorer = Scorer::Create(options);
  EXPECT_TRUE(scorer.ok()) << scorer.status();
  const Pair pair = ScenePair(40, 40);
  EXPECT_TRUE(ScoreOne(**scorer, Request("mae"), pair.reference.view(), pair.distorted.view()).status.ok());
  for (const MetricInfo& info : (*scorer)->metrics()) {
    if (info.id != "lpips_alex") continue;
    EXPECT_EQ((*scorer)->Resolve(Request("lpips_alex")).ok(), info.unavailable.empty());
    return info;
  }
  ADD_FAILURE() << "lpips_alex is not listed";
  return {};
}

TEST(Weights, MissingFileNamesFileFolderAndRemedy) {
  const std::string folder = MakeFolder();
  EXPECT_THAT(AlexInfo(folder).unavailable,
              AllOf(HasSubstr("lpips_alex.safetensors"), HasSubstr(folder), HasSubstr("make weights")));
}

// The heads of a convention are a file of their own: what is wrong with it concerns nobody else.
TEST(Weights, HeadsOfAConventionFailAlone) {
  const auto resolve = [](const std::string& folder, const std::string& id) {
    ScorerOptions options;
    options.weights_dir = folder;
    const auto scorer = Scorer::Create(options);
    EXPECT_TRUE(scorer.ok()) << scorer.status();
    return (*scorer)->Resolve(Request(id)).status();
  };
  const std::string folder = MakeFolder();
  WriteOwnWeights(folder, "lpips_alex", SyntheticWeights(kAlexTrunk));
  const auto refusal = [&] {
    EXPECT_TRUE(resolve(folder, "lpips_alex").ok());
    EXPECT_TRUE(resolve(folder, "lpips_alex:torchmetrics").ok());
    const absl::Status status = resolve(folder, "lpips_alex:v0.0");
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("there is no lpips_v0.0.safetensors in " + folder), HasSubstr("make weights")));

  const std::string path = folder + "/lpips_v0.0.safetensors";
  const Tensors heads = SyntheticFirstVersionHeads();
  WriteFile(path, EncodeSafetensors(heads));
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path), HasSubstr((*MappedFile::Open(path))->Sha256()),
                               HasSubstr("e50c855a3c72be16e4dadb1caaa6102c4ddff30c7838366990bbdf49be8cffdd")));

  // A folder each: of the entries that a list has for a name, the first counts.
  const auto unfit = [&](const auto& change) {
    Tensors changed = heads;
    change(changed);
    const std::string own = MakeFolder();
    WriteOwnWeights(own, "lpips_alex", SyntheticWeights(kAlexTrunk));
    WriteOwnWeights(own, "lpips_v0.0", changed);
    EXPECT_TRUE(resolve(own, "lpips_alex").ok());
    return std::string(resolve(own, "lpips_alex:v0.0").message());
  };
  EXPECT_THAT(unfit([](Tensors& t) { t.erase("lpips_alex.head4.weight"); }),
              HasSubstr("no tensor lpips_alex.head4.weight"));
  EXPECT_THAT(unfit([](Tensors& t) { t["lpips_alex.head2.weight"].pop_back(); }),
              HasSubstr("lpips_alex.head2.weight has 383 values"));
  EXPECT_THAT(unfit([](Tensors& t) { t["lpips_alex.head0.weight"][3] = std::numeric_limits<float>::infinity(); }),
              HasSubstr("lpips_alex.head0.weight is not finite"));
  EXPECT_THAT(unfit([](Tensors&) {}), IsEmpty());
}

TEST(Weights, OwnHeadsAreNamedInTheConventionsDescription) {
  ScorerOptions options;
  options.weights_dir = SyntheticFolder();
  const auto scorer = Scorer::Create(options);
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  const std::string checksum = (*MappedFile::Open(SyntheticFolder() + "/lpips_v0.0.safetensors"))->Sha256();
  for (const MetricInfo& info : (*scorer)->metrics()) {
    for (const ConventionInfo& convention : info.conventions) {
      EXPECT_EQ(convention.description.find(checksum) != std::string::npos, convention.name == "v0.0");
    }
  }
}

TEST(Weights, WhatSetUpCannotFetchNamesTheConverter) {
  ScorerOptions options;
  options.weights_dir = MakeFolder();
  const auto scorer = Scorer::Create(options);
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  const std::string squeeze((*scorer)->Resolve(Request("lpips_squeeze")).status().message());
  EXPECT_THAT(squeeze, AllOf(HasSubstr("lpips_squeeze.safetensors"), HasSubstr("convert.py torchvision"),
                             ::testing::Not(HasSubstr("make weights"))));
}

TEST(Weights, EnvironmentNamesTheFolder) {
  const std::string folder = MakeFolder();
  ASSERT_EQ(setenv("LIKENESS_WEIGHTS", folder.c_str(), 1), 0);
  EXPECT_THAT(AlexInfo("").unavailable, HasSubstr(folder));
  ASSERT_EQ(setenv("LIKENESS_WEIGHTS", SyntheticFolder().c_str(), 1), 0);
  EXPECT_THAT(AlexInfo("").unavailable, IsEmpty());
  ASSERT_EQ(unsetenv("LIKENESS_WEIGHTS"), 0);
}

TEST(Weights, OtherChecksumIsRefusedWithBothUnlessListedAsOwn) {
  const std::string folder = MakeFolder();
  const std::string bytes = EncodeSafetensors(SyntheticWeights(kAlexTrunk));
  WriteFile(folder + "/lpips_alex.safetensors", bytes);
  const std::string found = (*MappedFile::Open(folder + "/lpips_alex.safetensors"))->Sha256();
  // The pinned one, from tools/weights/checksums.txt.
  EXPECT_THAT(AlexInfo(folder).unavailable,
              AllOf(HasSubstr(folder + "/lpips_alex.safetensors"), HasSubstr(found),
                    HasSubstr("0ba1faa2a9f2ba769980b0d98a1be4909e73c39b79b61b97eb78d39274f28c2e"),
                    HasSubstr("own-weights.sha256")));

  WriteFile(folder + "/own-weights.sha256", found + "  lpips_alex.safetensors\n");
  const MetricInfo own = AlexInfo(folder);
  EXPECT_THAT(own.unavailable, IsEmpty());
  EXPECT_THAT(own.summary, HasSubstr(found));

  // One bit further, the list no longer vouches for it.
  std::string changed = bytes;
  changed.back() ^= 1;
  WriteFile(folder + "/lpips_alex.safetensors", changed);
  EXPECT_THAT(AlexInfo(folder).unavailable, HasSubstr(found));
}

TEST(Weights, SoundChecksumOfAnUnfitFileIsRefused) {
  const auto unavailable = [](const auto& change) {
    const std::string folder = MakeFolder();
    Tensors tensors = SyntheticWeights(kAlexTrunk);
    change(tensors);
    WriteOwnWeights(folder, "lpips_alex", tensors);
    return AlexInfo(folder).unavailable;
  };
  EXPECT_THAT(unavailable([](Tensors& t) { t.erase("conv3.bias"); }), HasSubstr("no tensor conv3.bias"));
  EXPECT_THAT(unavailable([](Tensors& t) { t["head2.weight"].pop_back(); }), HasSubstr("head2.weight has 383 values"));
  EXPECT_THAT(unavailable([](Tensors& t) { t["conv1.weight"][7] = std::numeric_limits<float>::quiet_NaN(); }),
              HasSubstr("conv1.weight is not finite"));
}

absl::Status Parse(const std::string& bytes) {
  // Aligned as a mapped file is.
  const auto copy = std::make_unique<std::uint64_t[]>(bytes.size() / 8 + 1);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return Safetensors::Parse("w", {reinterpret_cast<const std::byte*>(copy.get()), bytes.size()}).status();
}

std::string WithHeader(std::string header, std::size_t data_bytes) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + std::string(data_bytes, '\0');
}

TEST(Weights, BrokenSafetensorsAreNamed) {
  EXPECT_TRUE(Parse(EncodeSafetensors({{"a", {1.0f, 2.0f}}})).ok());
  const std::string sound = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]} })";
  EXPECT_TRUE(Parse(WithHeader(sound, 8)).ok());
  EXPECT_EQ(Parse(WithHeader(sound, 7)).code(), absl::StatusCode::kInvalidArgument);  // cut off
  for (const std::string& bytes :
       {std::string(), std::string("short"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
        WithHeader("not JSON", 8), WithHeader("[1]     ", 8), WithHeader(R"({"a":3}         )", 8),
        WithHeader(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]} })", 8),
        WithHeader(R"({"a":{"dtype":"F32","shape":[2]}        })", 8),
        WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]} })", 8),
        WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8),
        WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,6]} })", 8),
        WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]} })", 8)}) {
    EXPECT_EQ(Parse(bytes).code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
}

}  // namespace
}  // namespace likeness::testing
