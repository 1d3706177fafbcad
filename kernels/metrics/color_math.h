// Luma and chroma that several metrics share.
#pragma once

#include "kernels/base/number.h"
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

// x255 and rounded to whole numbers as pyiqa does, with the gradient passing straight through.
struct RoundTo255 {
  LIKENESS_HD auto operator()(auto x) const {
    const auto scaled = x * 255.0;
    return scaled + (RoundValue(Value(scaled)) - Value(scaled));
  }
};

LIKENESS_END_TARGET
