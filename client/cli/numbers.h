// Numbers as the command prints and reads them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace likeness::cli {

// The shortest decimal that reads back as the same double; "inf" and "-inf".
std::string FormatNumber(double value);

// A whole decimal number, "inf" or "-inf". INVALID_ARGUMENT for anything else, NaN included; `what` names the place.
absl::StatusOr<double> ParseNumber(absl::string_view text, absl::string_view what);

}  // namespace likeness::cli
