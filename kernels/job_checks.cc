#include "kernels/job_checks.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/resolve.h"

namespace likeness {

absl::Status CheckPair(const MetricInfo& info, const ImageView& reference, const ImageView& distorted) {
  if (reference.width != distorted.width || reference.height != distorted.height) {
    return absl::InvalidArgumentError(absl::StrCat("reference is ", reference.width, "x", reference.height,
                                                   ", distorted is ", distorted.width, "x", distorted.height,
                                                   "; sizes must match"));
  }
  if (reference.width < info.min_width || reference.height < info.min_height) {
    return absl::InvalidArgumentError(absl::StrCat("the images are ", reference.width, "x", reference.height, "; ",
                                                   info.id, " needs at least ", info.min_width, "x", info.min_height,
                                                   ": send larger images or another metric"));
  }
  return absl::OkStatus();
}

absl::Status CheckTakesWeights(const ResolvedMetric& metric, bool weighted) {
  if (!weighted || TakesWeights(*metric.info, metric.convention)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      metric.info->id, ":", metric.convention,
      " takes no mask and no region weights: its score is not the mean of a per-pixel map; ask for it without"));
}

absl::Status CheckWeights(const PairJob& job) {
  const ImageView& weights = job.weights;
  if (weights.width != job.distorted.width || weights.height != job.distorted.height || weights.channels != 1 ||
      weights.type != PixelType::kFloat32) {
    return absl::InvalidArgumentError(absl::StrCat("the weights are ", weights.width, "x", weights.height, " with ",
                                                   weights.channels, " channels; they must be one channel of float32, ",
                                                   job.distorted.width, "x", job.distorted.height));
  }
  RETURN_IF_ERROR(CheckFinite(weights, "weights"));
  double sum = 0.0;
  for (int y = 0; y < weights.height; ++y) {
    const auto* row =
        reinterpret_cast<const float*>(static_cast<const std::byte*>(weights.data) + y * weights.row_bytes);
    for (int x = 0; x < weights.width; ++x) {
      if (row[x] < 0.0f) {
        return absl::InvalidArgumentError(
            absl::StrCat("the weight of pixel (", x, ", ", y, ") is ", row[x], "; weights must be 0 or above"));
      }
      sum += row[x];
    }
  }
  if (sum > 0.0 || job.averaging == Averaging::kOverPixels) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "all weights are 0, and their mean is to be divided by their sum; send a mask that selects something");
}

}  // namespace likeness
