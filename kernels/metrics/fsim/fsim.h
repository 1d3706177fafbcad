#pragma once

#include <array>

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/fsim/fsim_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/filter_bank/filter_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/order/order.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

template <class T, bool tracked>
Planes<tracked> PhaseCongruency(T& t, const Planes<tracked>& luma, bool noise_grad) {
  const Shape& shape = luma.shape();
  const BankSpec bank = FsimBank(shape.width, shape.height);
  auto spectrum = ExpandSpectrum(t, RealFft(t, Map(t, Linear{1.0, -127.5}, luma)), shape.width, shape.height);
  auto energy = [&](int angle) {
    auto bands = FilterBands(t, spectrum, bank, angle * kFsimScales, kFsimScales);
    auto factor = BankConstant(t, bank, angle);
    auto threshold = [&](const auto& source) {
      auto median = LowerMedian(
          t, Map(t, Magnitude{}, SelectChannels(t, source, 0, 1), SelectChannels(t, source, kFsimScales, 1)));
      return MapScalars(t, Product{}, median, factor);
    };
    const auto all = Channels<2 * kFsimScales>(bands);
    return noise_grad ? MapChannels(t, FsimEnergy{}, 2, all, threshold(bands))
                      : MapChannels(t, FsimEnergy{}, 2, all, threshold(bands.Detached()));
  };
  const auto a = energy(0), b = energy(1), c = energy(2), d = energy(3);
  return MapChannels(t, FsimPhaseCongruency{}, 1, Channels<2>(a), Channels<2>(b), Channels<2>(c), Channels<2>(d));
}

template <class T, bool tracked>
Output<tracked> RunFsim(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, bool chromatic,
                        const Settings& settings) {
  const bool noise_grad = settings.Flag("noise_grad");
  const int factor = Factor256(reference.shape());
  auto r = MeanPool(t, reference, factor);
  auto d = MeanPool(t, distorted, factor);
  auto luma_r = Map(t, Linear{255.0, 0.0}, Luma(t, r));
  auto luma_d = Map(t, Linear{255.0, 0.0}, Luma(t, d));
  auto edges = [&](const auto& luma) {
    return Map(t, Magnitude{}, Correlate(t, luma, ScharrX(), Border::kZero),
               Correlate(t, luma, Transposed(ScharrX()), Border::kZero));
  };
  auto phase_r = PhaseCongruency(t, luma_r, noise_grad);
  auto phase_d = PhaseCongruency(t, luma_d, noise_grad);
  auto index = Map(t, FsimIndex{}, phase_r, phase_d, edges(luma_r), edges(luma_d));
  if (chromatic && r.shape().channels == 3) {
    index = MapChannels(t, FsimTimesChroma{}, 1, index, Channels<2>(MapColor(t, FsimChroma{}, r, 2)),
                        Channels<2>(MapColor(t, FsimChroma{}, d, 2)));
  }
  auto weight = Map(t, FsimLarger{}, phase_r, phase_d);
  return {MapScalars(t, FsimQuotient{}, Sum(t, Map(t, Product{}, index, weight)), Sum(t, weight)),
          t.wants_map() ? index.Detached() : Planes<false>(), 0};
}

inline MetricInfo FsimInfo() {
  MetricInfo info;
  info.family = "perceptual";
  info.direction = Direction::kHigherIsBetter;
  info.range_high = 1.0;
  info.identity = 1.0;
  info.symmetric = true;
  info.good_values = "over 0.98 hard to tell apart, under 0.9 visible, under 0.8 bad";
  info.reference = "L. Zhang et al. 2011; piq fsim.py";
  info.conventions = {{"piq", "mean pooled by max(1, round(shorter side / 256)); lower median of the noise", {}}};
  info.parameters = {
      {"noise_grad", "whether the gradient goes through the noise threshold's median", true, {}, {}, false, {}}};
  info.tolerance = 1e-4;
  return info;
}

struct Fsim {
  static MetricInfo Info() {
    MetricInfo info = FsimInfo();
    info.id = "fsim";
    info.summary = "Feature similarity: phase congruency and gradient magnitude of the luma.";
    info.map = "similarity of phase congruency and gradient, pooled size; the score weights it by phase congruency";
    info.color = "luma (BT.601)";
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    return RunFsim(t, reference, distorted, /*chromatic=*/false, settings);
  }
};

struct Fsimc {
  static MetricInfo Info() {
    MetricInfo info = FsimInfo();
    info.id = "fsimc";
    info.summary = "Feature similarity with colour: fsim times the similarity of I and Q.";
    info.map = "similarity of phase congruency, gradient, I and Q, pooled size; weighted by phase congruency";
    info.color = "YIQ (Y is luma of BT.601); a gray image has no I and Q";
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    return RunFsim(t, reference, distorted, /*chromatic=*/true, settings);
  }
};

LIKENESS_END_TARGET
