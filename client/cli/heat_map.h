// Pictures of maps, and arrays of maps and gradients, as files.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

// Map values for the two ends of the colour scale: at `low` the picture is near black, at `high` pale yellow. Values
// outside are drawn as the ends. low > high turns the scale around, so that for a map of similarities 1,0 shows damage
// bright.
struct MapScale {
  double low = 0;
  double high = 1;
};

// The smallest and largest sample, channels averaged as WriteHeatMap does.
MapScale FullScale(const v1::Tensor& map);

// Writes an 8-bit RGB PNG of the map's own size, channels averaged, in colours whose steps look equally large: equal
// differences in the map are equal distances along a curve in the OKLab colour space, and lightness rises all the way,
// so that it reads in gray too. A scale with low == high draws everything as `low`.
absl::Status WriteHeatMap(const v1::Tensor& map, const MapScale& scale, const std::string& path);

// Writes a NumPy .npy file of float32 with shape (height, width, channels), whatever layout the tensor came in.
absl::Status WriteNpy(const v1::Tensor& tensor, const std::string& path);

}  // namespace likeness::cli
