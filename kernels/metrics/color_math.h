// Luma and chroma that several metrics share.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

// Y of ITU-R BT.601, which is also the Y of piq's and pyiqa's YIQ.
struct LumaBt601 {
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const { return r * 0.299 + g * 0.587 + b * 0.114; }
};

// One luma plane; a gray image is its own luma.
template <class T, bool tracked>
Planes<tracked> Luma(T& t, const Planes<tracked>& image) {
  return image.shape().channels == 1 ? image : MapColor(t, LumaBt601{}, image, 1);
}

// Y of studio-range YCbCr (BT.601, black 16/255 and white 235/255), the Y-channel of super-resolution papers.
struct LumaStudio {
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const {
    return (r * 65.481 + g * 128.553 + b * 24.966 + 16.0) * (1.0 / 255.0);
  }
};

// One studio-range luma plane; a gray image is a colour image with three equal channels.
template <class T, bool tracked>
Planes<tracked> StudioLuma(T& t, const Planes<tracked>& image) {
  if (image.shape().channels > 1) return MapColor(t, LumaStudio{}, image, 1);
  return Map(t, Linear{219.0 / 255.0, 16.0 / 255.0}, image);
}

// x255 and rounded to whole numbers as pyiqa does, with the gradient passing straight through.
struct RoundTo255 {
  LIKENESS_HD auto operator()(auto x) const {
    const auto scaled = x * 255.0;
    return scaled + (RoundValue(Value(scaled)) - Value(scaled));
  }
};

LIKENESS_END_TARGET
