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
  if (!t.IsKnown(out)) {
    const int bytes = t.device().bytes_per_sample();
    // Two images of RGBRGB... in float32, without gaps.
    auto samples = t.Scratch(Shape{3 * in.width, in.height, 2});
    // libjxl allocates by itself and ends the process when it gets nothing. What it takes is reserved here and left
    // alone, so that a plan counts it and a slot refuses what it has no room for. Measured on libjxl 0.7.0 (rise of the
    // peak of resident memory over one call, 14 sizes from 100x100 to 3840x2160, 8x50000 and 20000x40): 217 bytes a
    // pixel of large images, up to 752 of narrow ones, whose rows are padded, and some MiB. This covers each of them,
    // by less than a tenth from 640x360 on.
    auto planes = t.Scratch(Shape{in.width + 48, in.height, 56 * static_cast<int>(sizeof(float)) / bytes});
    auto rest = t.Scratch(Shape{(4 << 20) / 1024 / bytes, 1024, 1});
    t.Run(cost, [&](auto& device) {
      ButteraugliForward(device, t.View(reference), t.View(distorted), viewing, t.View(samples), t.View(out));
    });
  }
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
