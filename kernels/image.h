// Images as the scorer sees them: decoded pixels in memory, nothing about files.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/image_view.h"

namespace likeness {

// Owns packed pixels, aligned to 64 bytes. Movable, not copyable.
class Image {
 public:
  Image() = default;

  // INVALID_ARGUMENT unless 1 <= width, height and channels is 1..4 and value_of_one > 0. Pixels are uninitialised.
  static absl::StatusOr<Image> Create(int width, int height, int channels, PixelType type, Layout layout = Layout::kHwc,
                                      double value_of_one = 0.0);

  const ImageView& view() const { return view_; }
  void* data() { return pixels_.get(); }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> pixels_;
  ImageView view_;
};

// The value that stands for 1.0 when nobody says otherwise: 255, 65535, 1 and 1.
double DefaultValueOfOne(PixelType type);

// INVALID_ARGUMENT that names the first offending sample when a float image holds a NaN or an infinity.
absl::Status CheckFinite(const ImageView& image, const std::string& name);

}  // namespace likeness
