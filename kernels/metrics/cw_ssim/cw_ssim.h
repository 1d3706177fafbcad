#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/cw_ssim/cw_ssim_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/filter_bank/filter_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct CwSsim {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "cw_ssim";
    info.family = "structural";
    info.summary = "SSIM of complex wavelets, coarse bands: forgives small shifts and rotations.";
    info.direction = Direction::kHigherIsBetter;
    info.range_high = 1.0;
    info.identity = 1.0;
    info.symmetric = true;
    info.min_width = info.min_height = 64;
    info.map =
        "similarity, mean over eight angles, (H/8 - 6) x (W/8 - 6) with halves rounded up; under a Gaussian window";
    info.color = "luma (BT.601) rounded to 8 bit";
    info.good_values = "over 0.99 alike but for shifts and noise, under 0.95 of another structure";
    info.reference = "Sampat et al. 2009; pyiqa CW_SSIM";
    info.conventions = {{"pyiqa", "four levels, eight angles, the coarsest level; K = 1e-6", {}}};
    info.tolerance = 1e-5;
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    const BankSpec bank = CwSsimBank(reference.shape().width, reference.shape().height);
    auto bands = [&](const auto& image) {
      auto luma = Map(t, RoundTo255{}, Luma(t, image));
      luma = Map(t, CwSsimCentered{}, luma, Mean(t, luma.Detached()));
      return FilterBands(t, ExpandSpectrum(t, RealFft(t, luma), bank.width, bank.height), bank, 0, kCwSsimAngles);
    };
    auto real = [&](const auto& complex) { return SelectChannels(t, complex, 0, kCwSsimAngles); };
    auto imaginary = [&](const auto& complex) { return SelectChannels(t, complex, kCwSsimAngles, kCwSsimAngles); };
    auto blur = [&](const auto& x) { return Correlate(t, x, Separable(Taps(7, 1.0 / 7.0)), Border::kValid); };

    auto r = bands(reference);
    auto d = bands(distorted);
    auto re_r = real(r), im_r = imaginary(r);
    auto re_d = real(d), im_d = imaginary(d);
    auto index = Map(t, CwSsimIndex{}, blur(Map(t, CwSsimReal{}, re_r, im_r, re_d, im_d)),
                     blur(Map(t, CwSsimImaginary{}, re_r, im_r, re_d, im_d)),
                     blur(Map(t, CwSsimPower{}, re_r, im_r, re_d, im_d)));
    const Shape& shape = index.shape();
    auto window = BankPlanes(t, CwSsimWindow(shape.width, shape.height), 0, 1, shape.width);
    auto sums = Reduce(t, Map(t, Product{}, index, window), Reduction::kSum, /*over_channels=*/false);
    Output<tracked> out;
    out.score = MeanOf(t, MapScalars(t, CwSsimQuotient{}, sums, Sum(t, window)));
    if (t.wants_map()) {
      out.map = MapChannels(t, CwSsimMeanOfAngles{}, 1, Channels<kCwSsimAngles>(index.Detached()));
    }
    return out;
  }
};

LIKENESS_END_TARGET
