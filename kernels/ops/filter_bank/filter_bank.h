// Filtering with a bank of real filters in the frequency plane.
//
//   FilterBands(t, x, bank, a, n)    the inverse transforms of x times each of the filters [a, a + n). x is a full
//                                    spectrum of the bank's size, real part and imaginary part (ExpandSpectrum). The
//                                    result is complex, for a filter need not be even: n real parts, n imaginary parts.
//   BankPlanes(t, bank, a, n, w)     the first w columns of the filters [a, a + n)
//   BankConstant(t, bank, i)         the i-th of the numbers that come with the bank
#pragma once

#include <algorithm>

#include "kernels/ops/filter_bank/bank.h"
#include "kernels/ops/tape.h"

namespace likeness {

// Room for the answers of up to `count` filters as complex numbers, whole vectors of any device to a row. More than one
// while they are small: a GPU then makes them together.
inline Shape FilteredShape(const BankSpec& bank, int count) {
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 22;
  Shape shape{2 * ((bank.width + 15) / 16 * 16), bank.height, 1};
  shape.channels = static_cast<int>(std::clamp<std::int64_t>(kMostNumbers / shape.plane(), 1, count));
  return shape;
}

template <class T, bool tracked>
Planes<tracked> FilterBands(T& t, const Planes<tracked>& x, const BankSpec& bank, int first, int count) {
  const Shape plane{bank.width, bank.height, 1};
  auto out = t.template Make<tracked>(Shape{bank.width, bank.height, 2 * count}, "FilterBands", x, bank, first);
  // About 5 N log2 N for a complex transform.
  std::int64_t log2 = 1;
  while ((std::int64_t{1} << log2) < plane.count()) ++log2;
  const Cost cost{(x.shape().count() + 3 * out.shape().count()) * t.device().bytes_per_sample(),
                  count * plane.count() * (5 * log2 + 2)};
  if (!t.IsKnown(out)) {
    auto scratch = t.Scratch(FilteredShape(bank, count));
    t.Run(cost, [&](auto& device) { BandsForward(device, t.View(x), bank, first, t.View(scratch), t.View(out)); });
  }
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), bank, first, count, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      auto scratch = t.Scratch(FilteredShape(bank, count));
      t.Run(cost,
            [&](auto& device) { BandsBackward(device, t.Upstream(out), bank, first, t.View(scratch), gradient); });
    });
  }
  return out;
}

template <class T>
Planes<false> BankPlanes(T& t, const BankSpec& bank, int first, int count, int width) {
  auto out = t.template Make<false>(Shape{width, bank.height, count}, "BankPlanes", bank, first);
  const Cost cost{2 * out.shape().count() * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { BankPlanesForward(device, bank, first, t.View(out)); });
  return out;
}

template <class T>
Scalar<false> BankConstant(T& t, const BankSpec& bank, int index) {
  auto out = t.template MakeScalar<false>(1, "BankConstant", bank, index);
  t.RunFor(out, {}, [&](auto& device) { BankConstantForward(device, bank, index, t.Values(out)); });
  return out;
}

}  // namespace likeness
