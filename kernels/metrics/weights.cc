#include "kernels/metrics/weights.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "kernels/base/safetensors.h"
#include "kernels/base/status_macros.h"

namespace likeness {
namespace {

constexpr char kOwnList[] = "own-weights.sha256";

// tools/weights/checksums.txt, which the converter's results must have.
constexpr absl::string_view kPinned =
#include "likeness_weights_checksums.inc"
    ;

// The SHA-256 of `file` in a list as sha256sum prints it; empty when it is not there.
std::string Listed(absl::string_view list, const std::string& file) {
  std::istringstream lines{std::string(list)};
  std::string checksum, name;
  while (lines >> checksum >> name) {
    if (name == file || name == absl::StrCat("*", file)) return checksum;
  }
  return "";
}

// Nobody publishes some weights at an address that set-up could pin.
std::string HowToMake(const std::string& file) {
  return Listed(kPinned, file).empty() ? "convert a torchvision file of yours with tools/weights/convert.py torchvision"
                                       : "run `make weights`";
}

std::string Expected(const std::string& pinned, const std::string& own) {
  if (!own.empty()) return absl::StrCat(own, " as in ", kOwnList);
  return pinned.empty() ? "one that the list of own weights has" : pinned;
}

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Folders(const std::string& folder) {
  if (!folder.empty()) return {folder};
  const char* variable = std::getenv("LIKENESS_WEIGHTS");
  if (variable != nullptr && *variable != '\0') return {variable};
  return {"build/weights", "/usr/share/likeness/weights"};
}

struct WeightsFile {
  std::string path;
  std::shared_ptr<const MappedFile> file;
  std::string own_weights;  // as LoadedTrunk::own_weights
};

// Finds <stem>.safetensors and checks its SHA-256.
absl::StatusOr<WeightsFile> OpenWeights(const std::string& stem, const std::string& folder) {
  const std::string name = absl::StrCat(stem, ".safetensors");
  const std::vector<std::string> folders = Folders(folder);
  WeightsFile found;
  std::string found_in;
  for (const std::string& candidate : folders) {
    auto opened = MappedFile::Open(absl::StrCat(candidate, "/", name));
    if (opened.ok()) {
      found.file = *std::move(opened);
      found_in = candidate;
      break;
    }
    if (!absl::IsNotFound(opened.status())) return opened.status();
  }
  if (found.file == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no ", name, " in ", absl::StrJoin(folders, " or "), ": ",
                                            HowToMake(name),
                                            ", or name the folder that has it ($LIKENESS_WEIGHTS, --weights of the "
                                            "command, weights_dir of a server)"));
  }
  found.path = absl::StrCat(found_in, "/", name);

  const std::string checksum = found.file->Sha256();
  const std::string pinned = Listed(kPinned, name);
  if (checksum == pinned) return found;
  const std::string own = Listed(ReadWhole(absl::StrCat(found_in, "/", kOwnList)), name);
  if (checksum != own) {
    return absl::FailedPreconditionError(absl::StrCat(found.path, " has SHA-256 ", checksum, "; expected ",
                                                      Expected(pinned, own), ": ", HowToMake(name),
                                                      ", or list weights of your own in ", found_in, "/", kOwnList));
  }
  found.own_weights = absl::StrCat(found.path, ", SHA-256 ", checksum);
  return found;
}

// Finds the tensors of `file` under their names behind `prefix`; `file` must outlive what it returns.
absl::StatusOr<Trunk::Tensors> FiniteTensors(const WeightsFile& file, const std::string& prefix) {
  ASSIGN_OR_RETURN(Safetensors tensors, Safetensors::Parse(file.path, file.file->bytes()));
  return [path = file.path, prefix, tensors = std::move(tensors)](
             const std::string& name, std::int64_t count) -> absl::StatusOr<absl::Span<const float>> {
    const std::string tensor = prefix + name;
    ASSIGN_OR_RETURN(auto values, tensors.Tensor(tensor, count));
    for (const float value : values) {
      if (!std::isfinite(value)) return absl::InvalidArgumentError(absl::StrCat(path, ": ", tensor, " is not finite"));
    }
    return values;
  };
}

}  // namespace

absl::StatusOr<LoadedTrunk> LoadTrunk(const std::string& metric, const TrunkSpec& spec, ConvIsa isa,
                                      const std::string& folder) {
  ASSIGN_OR_RETURN(const WeightsFile file, OpenWeights(metric, folder));
  ASSIGN_OR_RETURN(const Trunk::Tensors tensors, FiniteTensors(file, ""));
  LoadedTrunk loaded;
  loaded.own_weights = file.own_weights;
  ASSIGN_OR_RETURN(loaded.trunk, Trunk::Create(spec, isa, tensors, file.file));
  return loaded;
}

absl::StatusOr<std::string> LoadHeads(const std::string& metric, const ConventionInfo& convention,
                                      const std::string& folder, Trunk& trunk) {
  ASSIGN_OR_RETURN(const WeightsFile file, OpenWeights(convention.heads_file, folder));
  ASSIGN_OR_RETURN(const Trunk::Tensors tensors, FiniteTensors(file, absl::StrCat(metric, ".")));
  RETURN_IF_ERROR(trunk.AddHeads(convention.name, tensors, file.file));
  return file.own_weights;
}

}  // namespace likeness
