// Where a run of `likeness compare` writes, and that it does not write over what it reads.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace likeness::cli {

// A file that the command line names, and as what: "REFERENCE", "--map".
struct NamedFile {
  std::string what;
  std::string path;
};

// "OUT.PNG" has the extension ".png"; ".png" is a name and has none.
bool HasExtension(const std::string& path, absl::string_view extension);

// "out-ssim-torchmetrics.png" of out.png and ssim:torchmetrics. `path` has an extension.
std::string PathOfMetric(const std::string& path, absl::string_view metric);

// INVALID_ARGUMENT when a file that will be written is one of those read, or is written twice, under whatever names.
absl::Status CheckApart(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written);

}  // namespace likeness::cli
