// Correlate: cross-correlation with a kernel that is a sum of separable terms, under one of five border rules.
// (Every filter of the metrics is such a sum: Gaussians, boxes, Prewitt, Scharr, Haar, FLIP's colour filters.)
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/ops/border.h"
#include "kernels/ops/tape.h"

namespace likeness {

// Weights along one axis; the tap (count - 1) / 2 lies on the output sample.
using Taps = std::vector<double>;

struct Kernel {
  struct Term {
    Taps vertical;
    Taps horizontal;
  };
  std::vector<Term> terms;  // all of one size

  int height() const { return static_cast<int>(terms[0].vertical.size()); }
  int width() const { return static_cast<int>(terms[0].horizontal.size()); }

  template <class Key>
  void AddTo(Key& key) const {
    for (const Term& term : terms) {
      key.Add(term.vertical);
      key.Add(term.horizontal);
    }
  }
};

// G(n, sigma), normalised to sum 1.
inline Taps GaussianTaps(int count, double sigma) {
  Taps taps(count);
  double sum = 0.0;
  for (int i = 0; i < count; ++i) {
    const double distance = i - (count - 1) / 2.0;
    sum += taps[i] = std::exp(-distance * distance / (2.0 * sigma * sigma));
  }
  for (double& tap : taps) tap /= sum;
  return taps;
}

inline Kernel Separable(const Taps& taps) { return {{{taps, taps}}}; }

// Horizontal derivative, smoothed across; the transposed kernel is the vertical one.
inline Kernel Transposed(Kernel kernel) {
  for (Kernel::Term& term : kernel.terms) std::swap(term.vertical, term.horizontal);
  return kernel;
}
inline Kernel PrewittX() { return {{{{1.0 / 3, 1.0 / 3, 1.0 / 3}, {-1.0, 0.0, 1.0}}}}; }
inline Kernel ScharrX() { return {{{{3.0 / 16, 10.0 / 16, 3.0 / 16}, {-1.0, 0.0, 1.0}}}}; }

template <class T, bool tracked>
Planes<tracked> Correlate(T& t, const Planes<tracked>& x, Kernel kernel, Border border) {
  Shape shape = x.shape();
  if (border == Border::kValid) {
    shape.width -= kernel.width() - 1;
    shape.height -= kernel.height() - 1;
  }
  auto out = t.template Make<tracked>(shape, "Correlate", x, kernel, border);
  const Cost cost{
      (x.shape().count() + shape.count()) * t.device().bytes_per_sample(),
      2 * (kernel.width() + kernel.height()) * static_cast<std::int64_t>(kernel.terms.size()) * shape.count()};
  t.RunFor(out, cost, [&](auto& device) { CorrelateForward(device, t.View(x), kernel, border, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), kernel, border, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { CorrelateBackward(device, t.Upstream(out), kernel, border, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
