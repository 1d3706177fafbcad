// Butteraugli as libjxl computes it, behind one plain class.
#pragma once

#include <cstdint>
#include <memory>

namespace likeness {

// How the pair is looked at.
struct ButteraugliViewing {
  double intensity_target;  // luminance of white, in nits
  double hf_asymmetry;      // what fine detail that is new weighs against detail that is lost
};

// The distance of every pixel. libjxl chooses its instruction set and runs on the caller's thread. It allocates its
// memory by itself, and where it gets none it ends the process: see what ButteraugliMap reserves.
class ButteraugliResult {
 public:
  // Of images of linear RGB, white at 1, samples interleaved, rows without gaps.
  ButteraugliResult(int width, int height, const float* reference, const float* distorted,
                    const ButteraugliViewing& viewing);

  // False when libjxl returned an error instead.
  bool ok() const { return distances_ != nullptr; }
  const float* Row(int y) const { return distances_ + std::int64_t{y} * stride_; }

 private:
  std::shared_ptr<void> result_;
  const float* distances_ = nullptr;
  std::uint32_t stride_ = 0;
};

}  // namespace likeness
