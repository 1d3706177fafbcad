#include "client/cli/diagnostics.h"

#include <cerrno>
#include <cstdio>

#include "client/cli/exit_code.h"

namespace likeness::cli {

void Tell(absl::string_view message) {
  std::fprintf(stderr, "likeness: %.*s\n", static_cast<int>(message.size()), message.data());
}

int Fail(const absl::Status& status) {
  Tell(status.message().empty() ? status.ToString() : status.message());
  return kNotMeasured;
}

int Print(absl::string_view text, int code) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return code;
  return Fail(absl::ErrnoToStatus(errno, "cannot write to stdout"));
}

}  // namespace likeness::cli
