// Which files of two folders belong together.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace likeness::cli {

// A pair to score. Of two single files the name is empty.
struct FilePair {
  std::string name;  // the path within the folders, without its extension
  std::string reference_path;
  std::string distorted_path;  // one of both is empty where a folder lacks the file
};

bool IsFolder(const std::string& path);

// PNG, JPEG and WebP files, told by their extensions, of the same path within the two folders but for the extension, in
// the order of their names. Links to folders are not followed; a link that leads nowhere is a file that cannot be read.
// INVALID_ARGUMENT when one path is not a folder, or a folder has two such files of one name;
// NOT_FOUND when there are none; another code when a folder cannot be read.
absl::StatusOr<std::vector<FilePair>> PairFiles(const std::string& reference_folder,
                                                const std::string& distorted_folder);

// INVALID_ARGUMENT when what `flag` writes to `path` could replace what is read: one of both paths is within the other,
// links followed.
absl::Status CheckApartFrom(const std::string& read, const std::string& flag, const std::string& path);

}  // namespace likeness::cli
