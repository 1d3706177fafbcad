// IMAE for pictures, an experiment of this project.
//
// X. Wang, Y. Hua, E. Kodirov, N. M. Robertson, "IMAE for Noise-Robust Learning: Mean Absolute Error Does Not Treat
// Examples Equally and Gradient Magnitude's Variance Matters" (arXiv 1903.12141, 2019) is about classification: it
// multiplies the gradient of the mean absolute error by exp(T p (1 - p)), p the probability of the labelled class, and
// gives no value of a loss. There is no form for images in the paper. This one takes 1 - |e| for p:
//
//   1. q = 1 - min(|e|, 1): 1 where a sample is right.
//   2. w = exp(T q (1 - q)), a constant for the gradient. Errors of middle size count most; T = 0 is mae.
//   3. Map w |e| / mean(w); score its mean; gradient w sign(e) / (n mean(w)).
//
// Because it is nobody's standard, a request must name the convention.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

struct ImaeWeight {
  double contrast;
  LIKENESS_HD auto operator()(auto magnitude) const {
    const auto wrong = Clamp(magnitude, 0.0, 1.0);
    return Exp(wrong * (1.0 - wrong) * contrast);
  }
};

// w |e| / mean(w).
struct ImaeTerm {
  ImaeWeight weight;
  template <class R, class D, class S>
  LIKENESS_HD auto operator()(const R& r, const D& d, const S& mean_weight) const {
    const auto magnitude = Abs(d - r);
    return magnitude * (weight(Value(magnitude)) / mean_weight);
  }
};

// w and w |e|, for their means.
struct ImaeMeans {
  static constexpr int kChannels[] = {1, 1}, kOutputs = 2;
  ImaeWeight weight;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto magnitude = Abs(d - r);
    const auto w = weight(Value(magnitude));
    using V = std::remove_cvref_t<decltype(magnitude)>;
    return Pack<V, 2>{{V(w), magnitude * w}};
  }
};

LIKENESS_END_TARGET
