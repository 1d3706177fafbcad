#include "client/cli/pixel_weights.h"

#include "absl/strings/str_cat.h"
#include "client/cli/numbers.h"
#include "client/client.h"
#include "kernels/base/status_macros.h"

namespace likeness::cli {

std::string RegionPath(const std::string& region) { return region.substr(0, region.rfind(':')); }

absl::StatusOr<v1::PixelWeights> ReadPixelWeights(const PixelWeightsOptions& options) {
  v1::PixelWeights weights;
  if (!options.mask_path.empty()) {
    ASSIGN_OR_RETURN(*weights.mutable_mask(), client::ImageFromFile(options.mask_path));
  }
  for (const std::string& text : options.regions) {
    const std::string path = RegionPath(text);
    if (path.empty() || path.size() + 1 >= text.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--region is \"", text, "\"; must be FILE:MULTIPLIER, as in eyes.png:3"));
    }
    v1::Region& region = *weights.add_regions();
    ASSIGN_OR_RETURN(const double multiplier,
                     ParseNumber(text.substr(path.size() + 1), absl::StrCat("the multiplier of --region ", text)));
    region.set_multiplier(multiplier);
    ASSIGN_OR_RETURN(*region.mutable_mask(), client::ImageFromFile(path));
  }
  if (options.averaging.empty()) return weights;
  if (!weights.has_mask() && weights.regions().empty()) {
    return absl::InvalidArgumentError("--averaging says how weights average; give them by --mask or --region");
  }
  weights.set_averaging(options.averaging == "weights" ? v1::AVERAGING_OVER_WEIGHTS : v1::AVERAGING_OVER_PIXELS);
  return weights;
}

}  // namespace likeness::cli
