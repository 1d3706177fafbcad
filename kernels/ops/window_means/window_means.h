// WindowMeans: means over the pixels of maths on two images and on window means of products of theirs. Neither products
// nor window means are ever stored as planes.
//
//   WindowMeans(t, f, taps, reference, distorted)   kOutputs scalar values for each channel, channel by channel
//
// The window is the outer product of `taps`, an odd number of them, under a border of zeros. Of each channel f makes,
// from the samples r and d of the two images:
//
//   static constexpr int kOfReference, kOfPair, kOutputs
//   f.OfReference(r)                         a Pack of numbers whose window means are wanted
//   f.OfPair(r, d)                           another, of both images
//   f(r, d, of_reference, of_pair)           from those window means, the Pack of numbers whose means are returned
//
// The adjoint makes the window means again and runs f on Dual numbers: one partial for d, one for each mean of OfPair.
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"

namespace likeness {

template <class T, class F, bool tracked>
Scalar<tracked> WindowMeans(T& t, F f, const Taps& taps, const Planes<false>& reference,
                            const Planes<tracked>& distorted) {
  const Shape shape = distorted.shape();
  auto out = t.template MakeScalar<tracked>(shape.channels * F::kOutputs, "WindowMeans", f, taps, reference, distorted);
  constexpr int kWindows = F::kOfReference + F::kOfPair;
  const Cost cost{2 * shape.count() * t.device().bytes_per_sample(),
                  (4 * kWindows * static_cast<std::int64_t>(taps.size()) + 8 * F::kOutputs) * shape.count()};
  t.RunFor(out, cost, [&](auto& device) {
    WindowMeansForward(device, f, taps, t.View(reference), t.View(distorted), t.Values(out));
  });
  if constexpr (tracked) {
    t.Record(out, [f, taps = taps, reference = reference, distorted = distorted, slot = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(distorted.slot());
      const Cost back{3 * cost.bytes / 2, 3 * cost.operations};
      t.Run(back, [&](auto& device) {
        WindowMeansBackward(device, f, taps, t.UpstreamValues(slot), t.View(reference), t.View(distorted), gradient);
      });
    });
  }
  return out;
}

}  // namespace likeness
