#include "kernels/ops/butteraugli/butteraugli_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// Channel c of `samples`, as memory for one image of interleaved float32.
float* Samples(const PlanesView& samples, int c) { return reinterpret_cast<float*>(Row(samples, c, 0)); }

void Interleave(const PlanesView& planes, float* samples) {
  const Shape& shape = planes.shape;
  ForEachRow({shape.width, shape.height, 1}, [&](int, int y) {
    for (int c = 0; c < 3; ++c) {
      const Real* from = Row(planes, shape.channels == 1 ? 0 : c, y);
      float* to = samples + std::int64_t{y} * shape.width * 3 + c;
      for (int x = 0; x < shape.width; ++x) to[3 * x] = static_cast<float>(from[x]);
    }
  });
}

}  // namespace

void ButteraugliForward(Cpu&, const PlanesView& reference, const PlanesView& distorted,
                        const ButteraugliViewing& viewing, const PlanesView& samples, const PlanesView& out) {
  const Shape& shape = out.shape;
  Interleave(reference, Samples(samples, 0));
  Interleave(distorted, Samples(samples, 1));
  const ButteraugliResult distances(shape.width, shape.height, Samples(samples, 0), Samples(samples, 1), viewing);
  for (int y = 0; y < shape.height; ++y) {
    Real* to = Row(out, 0, y);
    if (!distances.ok()) {
      std::fill(to, to + shape.width, std::numeric_limits<Real>::quiet_NaN());
      continue;
    }
    const float* from = distances.Row(y);
    for (int x = 0; x < shape.width; ++x) to[x] = from[x];
  }
}

void ButteraugliNormForward(Cpu&, const PlanesView& distances, double p, double* out) {
  const Shape& shape = distances.shape;
  double largest = 0.0;
  double sums[3] = {};
  for (int y = 0; y < shape.height; ++y) {
    const Real* row = Row(distances, 0, y);
    for (int x = 0; x < shape.width; ++x) {
      const double distance = row[x];
      // In this order a NaN stays.
      largest = distance <= largest ? largest : distance;
      if (p == 0.0) continue;
      const double first = std::pow(distance, p), second = first * first;
      sums[0] += first;
      sums[1] += second;
      sums[2] += second * second;
    }
  }
  *out = largest;
  if (p == 0.0 || !(largest > 0.0)) return;
  double norm = 0.0;
  for (int i = 0; i < 3; ++i) norm += std::pow(sums[i] / static_cast<double>(shape.count()), 1.0 / (p * (1 << i)));
  *out = norm / 3.0;
}

LIKENESS_END_TARGET
