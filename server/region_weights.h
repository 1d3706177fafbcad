// How much each pixel counts, out of the masks of a request. Knows no protobuf.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/image.h"
#include "kernels/metric_info.h"
#include "server/decode/decode.h"

namespace likeness::server {

inline constexpr int kMaxRegions = 16;
inline constexpr double kMaxMultiplier = 1000.0;

// A pixel's weight is mask * (1 + sum of multiplier * region), a mask that is not there being 1 everywhere. Masks are
// gray, from 0 to 1 on the scale of their value_of_one. Views must stay valid as long as this is used.
struct RegionWeights {
  struct Region {
    ImageSource mask;
    double multiplier = 0.0;  // 0 to kMaxMultiplier
  };
  std::optional<ImageSource> mask;
  std::vector<Region> regions;
  Averaging averaging = Averaging::kOverPixels;

  // All pixels count alike.
  bool empty() const { return !mask.has_value() && regions.empty(); }
};

// What CombineMasks will hold, told without decoding.
struct RegionWeightsCost {
  std::int64_t plane_bytes = 0;    // what it returns
  std::int64_t scratch_bytes = 0;  // the most beside it: masks are decoded one after another
};

// Errors carry a reason (server/reason.h) and name the mask as the contract does. SIZE_MISMATCH unless every mask is
// `width` x `height`, BAD_IMAGE unless each has one channel; also what ReadHeader and ViewRaw say.
absl::StatusOr<RegionWeightsCost> CheckMasks(const RegionWeights& weights, const ImageLimits& limits, int width,
                                             int height);

// The weights as one channel of float32. `weights` has passed CheckMasks. BAD_IMAGE: a sample outside of 0 to 1, or
// weights that are all 0 where their sum is what the score is divided by. Blocks while masks are decoded.
absl::StatusOr<Image> CombineMasks(const RegionWeights& weights, const ImageLimits& limits, int width, int height);

}  // namespace likeness::server
