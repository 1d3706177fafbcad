#include "kernels/ops/conv_trunk/trunk_weights.h"

namespace likeness {

std::vector<float> PhaseWeights(const ConvSpec& spec, std::span<const float> weight) {
  const ConvGeometry conv = GeometryOf(spec);
  std::vector<float> phases(std::size_t(conv.out) * conv.in * conv.kernel * conv.kernel, 0.0f);
  for (int out = 0; out < spec.out; ++out) {
    for (int in = 0; in < spec.in; ++in) {
      for (int y = 0; y < spec.kernel; ++y) {
        for (int x = 0; x < spec.kernel; ++x) {
          const int channel = ((y % spec.stride) * spec.stride + x % spec.stride) * spec.in + in;
          const int at = (y / spec.stride) * conv.kernel + x / spec.stride;
          phases[(std::size_t(out) * conv.in + channel) * conv.kernel * conv.kernel + at] =
              weight[((std::size_t(out) * spec.in + in) * spec.kernel + y) * spec.kernel + x];
        }
      }
    }
  }
  return phases;
}

std::vector<float> AdjointWeights(const ConvWeights& conv) {
  const int area = conv.geometry.kernel * conv.geometry.kernel;
  std::vector<float> adjoint(conv.weight.size());
  for (int out = 0; out < conv.geometry.out; ++out) {
    for (int in = 0; in < conv.geometry.in; ++in) {
      const float* from = &conv.weight[(std::size_t(out) * conv.geometry.in + in) * area];
      float* to = &adjoint[(std::size_t(in) * conv.geometry.out + out) * area];
      for (int i = 0; i < area; ++i) to[i] = from[area - 1 - i];
    }
  }
  return adjoint;
}

}  // namespace likeness
