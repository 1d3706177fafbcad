// Butteraugli: the distance of two images at every pixel, by libjxl, and the norms of such a plane. Neither has an
// adjoint.
//
//   ButteraugliMap    of two images in linear RGB, white at 1; one channel stands for three equal ones
//   ButteraugliNorm   the largest sample (p = 0), or the mean of the p, 2p and 4p norms
#pragma once

#include "kernels/ops/butteraugli/libjxl.h"
#include "kernels/ops/tape.h"

namespace likeness {

template <class T>
Planes<false> ButteraugliMap(T& t, const Planes<false>& reference, const Planes<false>& distorted,
                             const ButteraugliViewing& viewing) {
  const Shape in = distorted.shape();
  auto out = t.template Make<false>(Shape{in.width, in.height, 1}, "ButteraugliMap", reference, distorted, viewing);
  // Some ten blurs of three planes each, and as much again between them: of the order measured, not counted.
  const Cost cost{100 * in.plane() * static_cast<std::int64_t>(sizeof(float)), 2000 * in.plane()};
  t.RunFor(out, cost, [&](auto& device) {
    ButteraugliForward(device, t.View(reference), t.View(distorted), viewing, t.View(out));
  });
  return out;
}

template <bool tracked, class T>
Scalar<tracked> ButteraugliNorm(T& t, const Planes<false>& distances, double p) {
  auto out = t.template MakeScalar<tracked>(1, "ButteraugliNorm", distances, p);
  const std::int64_t count = distances.shape().count();
  t.RunFor(out, {count * t.device().bytes_per_sample(), 20 * count},
           [&](auto& device) { ButteraugliNormForward(device, t.View(distances), p, t.Values(out)); });
  return out;
}

}  // namespace likeness
