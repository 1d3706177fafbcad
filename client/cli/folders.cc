#include "client/cli/folders.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/output_files.h"
#include "kernels/base/status_macros.h"

namespace likeness::cli {
namespace {

namespace fs = std::filesystem;

bool IsPicture(const std::string& path) {
  constexpr const char* kExtensions[] = {".png", ".jpg", ".jpeg", ".webp"};
  return std::any_of(std::begin(kExtensions), std::end(kExtensions),
                     [&](const char* extension) { return HasExtension(path, extension); });
}

// Paths of a folder's pictures, by their names.
absl::StatusOr<std::map<std::string, std::string>> PicturesOf(const std::string& folder) {
  std::map<std::string, std::string> pictures;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    std::error_code unknown;  // is no folder
    if (!IsPicture(path) || it->is_directory(unknown)) continue;
    const std::string name = it->path().lexically_relative(folder).replace_extension().string();
    const auto [other, is_new] = pictures.emplace(name, path);
    if (is_new) continue;
    return absl::InvalidArgumentError(absl::StrCat(std::min(path, other->second), " and ",
                                                   std::max(path, other->second),
                                                   " differ in their extensions alone, which tell no pictures apart"));
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot read the folder ", folder));
  return pictures;
}

}  // namespace

bool IsFolder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

absl::StatusOr<std::vector<FilePair>> PairFiles(const std::string& reference_folder,
                                                const std::string& distorted_folder) {
  for (const std::string& path : {reference_folder, distorted_folder}) {
    if (IsFolder(path)) continue;
    return absl::InvalidArgumentError(absl::StrCat(path, " is no folder, the other is; give two files or two folders"));
  }
  ASSIGN_OR_RETURN(const auto references, PicturesOf(reference_folder));
  ASSIGN_OR_RETURN(const auto distorted, PicturesOf(distorted_folder));
  std::map<std::string, FilePair> pairs;
  for (const auto& [name, path] : references) pairs[name].reference_path = path;
  for (const auto& [name, path] : distorted) pairs[name].distorted_path = path;
  if (pairs.empty()) {
    return absl::NotFoundError(
        absl::StrCat("neither ", reference_folder, " nor ", distorted_folder, " has PNG, JPEG or WebP files"));
  }
  std::vector<FilePair> sorted;
  for (auto& [name, pair] : pairs) {
    pair.name = name;
    sorted.push_back(std::move(pair));
  }
  return sorted;
}

absl::Status CheckApartFrom(const std::string& read, const std::string& flag, const std::string& path) {
  std::error_code error;
  const fs::path from = fs::weakly_canonical(fs::absolute(read), error) / "";
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot follow ", read));
  const fs::path to = fs::weakly_canonical(fs::absolute(path), error) / "";
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat(flag, ": cannot follow ", path));
  const auto lies_in = [](const fs::path& inner, const fs::path& outer) {
    return *inner.lexically_relative(outer).begin() != "..";
  };
  if (!lies_in(to, from) && !lies_in(from, to)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, " would write to ", path,
                                                 ", where it could replace what is read ", "of ", read,
                                                 "; choose a folder apart"));
}

}  // namespace likeness::cli
