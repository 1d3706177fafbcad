// Butteraugli as libjxl computes it, behind one plain function.
#pragma once

#include <cstddef>
#include <vector>

namespace likeness {

// How the pair is looked at.
struct ButteraugliViewing {
  double intensity_target;  // luminance of white, in nits
  double hf_asymmetry;      // what fine detail that is new weighs against detail that is lost
};

// Images of linear RGB, white at 1, samples interleaved and packed. Returns the distance of every pixel, rows packed;
// empty when libjxl fails, which it does when memory is short. libjxl takes its own memory and instruction set, and
// runs on the caller's thread.
std::vector<float> ButteraugliDistances(int width, int height, const std::vector<float>& reference,
                                        const std::vector<float>& distorted, const ButteraugliViewing& viewing);

}  // namespace likeness
