// Robust losses: one line of program each.
#pragma once

#include "kernels/metrics/pointwise/pointwise_math.h"
#include "kernels/metrics/pointwise/pointwise_steps.h"
#include "kernels/metrics/robust/robust_math.h"

LIKENESS_BEGIN_TARGET

struct SmoothLoss {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("smooth_loss", "L1 with a rounded tip that starts at 0: sqrt(e^2 + beta^2) - beta.",
                                    "f(e), CxHxW", "faceswap GeneralizedLoss (alpha=1, beta=1/255)");
    info.range_high = 1.0;
    info.good_values = "close to mae less beta for errors well over beta";
    info.conventions = {{"faceswap", "beta 1/255; beta times the general robust loss of alpha 1 and scale beta", {}}};
    info.aliases = {{"faceswap/smooth_loss", "faceswap"}};
    info.parameters = {{"beta", "where the loss turns linear", 1.0 / 255.0, 1e-6, 1e6, false, {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kShiftedCharbonnier, s.Number("beta"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, ShiftedCharbonnierError{s.Number("beta")}, r, d);
  }
};

struct Barron {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("barron", "Barron's general robust loss, from squared error to Welsch by alpha.",
                                    "rho(e, alpha, c), CxHxW", "Barron 2019; robust_loss_pytorch general.lossfun");
    info.good_values = "depends on alpha and c; in units of half a squared c near 0";
    info.parameters = {{"alpha",
                        "2 squared error, 1 Charbonnier, 0 Cauchy, -2 Geman-McClure, -infinity Welsch",
                        1.0,
                        -std::numeric_limits<double>::infinity(),
                        4.0,
                        false,
                        {}},
                       {"c", "error at which the loss leaves its quadratic bowl", 8.0 / 255.0, 1e-4, 1e4, false, {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kBarron, s.Number("alpha"), s.Number("c"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, BarronError{{s.Number("alpha")}, s.Number("c")}, r, d);
  }
};

LIKENESS_END_TARGET
