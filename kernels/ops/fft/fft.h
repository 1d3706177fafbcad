// The two-dimensional discrete Fourier transform of real planes, orthonormal (scaled by 1 / sqrt(H W)).
//
//   RealFft(t, x)               half spectrum of each channel: width W / 2 + 1; channels [0, C) hold the real parts and
//                               [C, 2C) the imaginary parts. Row 0, column 0 is the mean; nothing is shifted.
//   InverseRealFft(t, x, W)     the way back, from C re, C im at half width to C planes of width W
//   ExpandSpectrum(t, x, w, h)  a half spectrum written out to the w x h lowest frequencies of both signs, C re, C im;
//                               the lone frequency of an even side is the negative one. With w and h the size of the
//                               image, these are all frequencies.
//   SelectChannels(t, x, a, n)  channels [a, a + n)
//   SpectrumMean(t, x, W)       the mean over the full spectrum of a half spectrum of something symmetric, such as a
//                               squared magnitude: stored columns count twice, except 0 and, for even W, W / 2
//   FullSpectrum(t, x, W)       the same, written out to H x W
#pragma once

#include "kernels/ops/tape.h"

namespace likeness {

template <class T, bool tracked>
Planes<tracked> RealFft(T& t, const Planes<tracked>& x) {
  const Shape in = x.shape();
  const Shape half{in.width / 2 + 1, in.height, in.channels};
  auto out = t.template Make<tracked>(Shape{half.width, half.height, 2 * in.channels}, "RealFft", x);
  // About 2.5 N log2 N for a real transform.
  std::int64_t log2 = 1;
  while ((std::int64_t{1} << log2) < in.plane()) ++log2;
  const Cost cost{2 * (in.count() + out.shape().count()) * t.device().bytes_per_sample(), 5 * in.count() * log2 / 2};
  if (!t.IsKnown(out)) {
    // Interleaved complex numbers, one plane a channel.
    auto scratch = t.Scratch(Shape{2 * half.width, half.height, half.channels});
    t.Run(cost, [&](auto& device) { RealFftForward(device, t.View(x), t.View(scratch), t.View(out)); });
  }
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), half, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      auto scratch = t.Scratch(Shape{2 * half.width, half.height, half.channels});
      t.Run(cost, [&](auto& device) { RealFftBackward(device, t.Upstream(out), t.View(scratch), gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> InverseRealFft(T& t, const Planes<tracked>& x, int full_width) {
  const Shape half = x.shape();
  auto out = t.template Make<tracked>(Shape{full_width, half.height, half.channels / 2}, "InverseRealFft", x);
  std::int64_t log2 = 1;
  while ((std::int64_t{1} << log2) < out.shape().plane()) ++log2;
  const Cost cost{2 * (half.count() + out.shape().count()) * t.device().bytes_per_sample(),
                  5 * out.shape().count() * log2 / 2};
  if (!t.IsKnown(out)) {
    auto scratch = t.Scratch(Shape{2 * half.width, half.height, out.shape().channels});
    t.Run(cost, [&](auto& device) { InverseRealFftForward(device, t.View(x), t.View(scratch), t.View(out)); });
  }
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      auto scratch = t.Scratch(Shape{2 * x.shape().width, x.shape().height, out.shape().channels});
      t.Run(cost, [&](auto& device) { InverseRealFftBackward(device, t.Upstream(out), t.View(scratch), gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> ExpandSpectrum(T& t, const Planes<tracked>& x, int width, int height) {
  auto out = t.template Make<tracked>(Shape{width, height, x.shape().channels}, "ExpandSpectrum", x);
  const Cost cost{2 * out.shape().count() * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { ExpandForward(device, t.View(x), t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { ExpandBackward(device, t.Upstream(out), gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> SelectChannels(T& t, const Planes<tracked>& x, int first, int count) {
  auto out = t.template Make<tracked>(Shape{x.shape().width, x.shape().height, count}, "SelectChannels", x, first);
  const Cost cost{2 * out.shape().count() * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { SelectForward(device, t.View(x), first, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), first, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { SelectBackward(device, t.Upstream(out), first, gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Scalar<tracked> SpectrumMean(T& t, const Planes<tracked>& x, int full_width) {
  auto out = t.template MakeScalar<tracked>(1, "SpectrumMean", x, full_width);
  const Cost cost{x.shape().count() * t.device().bytes_per_sample(), x.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { SpectrumMeanForward(device, t.View(x), full_width, t.Values(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), full_width, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { SpectrumMeanBackward(device, t.UpstreamValues(out), full_width, gradient); });
    });
  }
  return out;
}

template <class T>
Planes<false> FullSpectrum(T& t, const Planes<false>& x, int full_width) {
  auto out = t.template Make<false>(Shape{full_width, x.shape().height, x.shape().channels}, "FullSpectrum", x);
  const Cost cost{2 * out.shape().count() * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { FullSpectrumForward(device, t.View(x), t.View(out)); });
  return out;
}

}  // namespace likeness
