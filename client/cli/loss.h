// Losses: "--loss face=1*dssim+0.5*mae", a weighted sum of metrics under a name of the user's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/request.h"

namespace likeness::cli {

// NAME=TERM[+TERM...], a term being [WEIGHT*]METRIC and a minus in the place of a plus turning the weight around.
// Blanks around names, numbers and signs mean nothing. INVALID_ARGUMENT when `text` is anything else; whether the
// metrics exist is not looked at.
absl::StatusOr<Asked> ParseLoss(absl::string_view text);

}  // namespace likeness::cli
