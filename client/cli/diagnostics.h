// What the command says on stderr.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace likeness::cli {

// "likeness: MESSAGE".
void Tell(absl::string_view message);

// Tells what went wrong and returns kNotMeasured.
int Fail(const absl::Status& status);

// Writes to stdout and returns `code`, or kNotMeasured when stdout does not take it (a full disk, say).
int Print(absl::string_view text, int code);

}  // namespace likeness::cli
