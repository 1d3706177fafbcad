#include "client/cli/output_files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace likeness::cli {
namespace {

namespace fs = std::filesystem;

bool IsSameFile(const std::string& a, const std::string& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  // Files that are not there yet have nothing but their paths.
  const auto resolved = [](const std::string& path) {
    std::error_code failed;  // a link to itself, say: it is what it is called
    const fs::path whole = fs::weakly_canonical(fs::absolute(path), failed);
    return failed ? fs::absolute(path).lexically_normal() : whole;
  };
  return resolved(a) == resolved(b);
}

}  // namespace

bool HasExtension(const std::string& path, absl::string_view extension) {
  return absl::EqualsIgnoreCase(fs::path(path).extension().string(), extension);
}

std::string PathOfMetric(const std::string& path, absl::string_view metric) {
  const std::size_t dot = path.rfind('.');
  return absl::StrCat(path.substr(0, dot), "-", absl::StrReplaceAll(metric, {{":", "-"}, {"/", "-"}}),
                      path.substr(dot));
}

absl::Status CheckApart(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    const NamedFile& file = written[i];
    for (const NamedFile& input : read) {
      if (!IsSameFile(file.path, input.path)) continue;
      return absl::InvalidArgumentError(absl::StrCat(file.what, " would write ", file.path, " over ", input.what, " ",
                                                     input.path, "; choose another file"));
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (!IsSameFile(file.path, written[k].path)) continue;
      return absl::InvalidArgumentError(absl::StrCat(file.what, " would write ", file.path, " over what ",
                                                     written[k].what, " writes; choose another file"));
    }
  }
  return absl::OkStatus();
}

}  // namespace likeness::cli
