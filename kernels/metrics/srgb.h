// sRGB's transfer function, and maps of colour that take gray images too.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/map_channels/map_channels.h"

LIKENESS_BEGIN_TARGET

// IEC 61966-2-1. x^2.4 is (x x^(-1/5))^3, for which no logarithm is needed. Below 0 the straight part goes on.
template <class T>
LIKENESS_HD T LinearFromSrgb(const T& x) {
  const auto curved = Value(x) > 0.04045;
  const T base = Select(curved, (x + 0.055) * (1.0 / 1.055), 1.0);
  const T root = base * InverseRoot<5>(base);
  return Select(curved, root * root * root, x * (1.0 / 12.92));
}

// A functor of R, G and B on an image whose channels are equal.
template <class F>
struct OfGray {
  F f;
  LIKENESS_HD auto operator()(auto x) const { return f(x, x, x); }
};

// MapColor, where a gray image is a colour image with three equal channels.
template <class T, class F, bool tracked>
Planes<tracked> MapColorOrGray(T& t, F f, const Planes<tracked>& image) {
  if (image.shape().channels == 1) return MapChannels(t, OfGray<F>{f}, F::kOutputs, image);
  return MapColor(t, f, image, F::kOutputs);
}

LIKENESS_END_TARGET
