// Pointwise losses for which the sign of the error matters: one line of program each.
#pragma once

#include "kernels/metrics/pointwise/pointwise_steps.h"
#include "kernels/metrics/signed_error/signed_error_math.h"

LIKENESS_BEGIN_TARGET

struct Mbe {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("mbe", "Mean bias error: how much brighter the distorted image is.", "e, CxHxW",
                                    "textbook; the mean of the signed error");
    info.direction = Direction::kZeroIsBest;
    info.range_low = -1.0;
    info.range_high = 1.0;
    info.symmetric = false;
    info.good_values = "within 0.004 (one 8-bit step) of 0; errors of both signs cancel";
    info.conventions = {{"distorted_minus_reference", "above 0 where the distorted image is brighter", {}},
                        {"reference_minus_distorted", "above 0 where the reference is brighter", {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    if (ReferenceFirst(s)) return std::nullopt;
    return WalkFor(PointwiseLoss::kMeanSigned);
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, SignedDifference{ReferenceFirst(s)}, r, d);
  }

 private:
  static bool ReferenceFirst(const Settings& s) { return s.convention() == "reference_minus_distorted"; }
};

struct Mpe {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("mpe", "Mean percentage error: how much darker the distorted image is, in percent.",
                                    "100 (r - d) / r, CxHxW", "textbook; (actual - forecast) / actual, in percent");
    info.direction = Direction::kZeroIsBest;
    info.range_low = -std::numeric_limits<double>::infinity();
    info.symmetric = false;
    info.good_values = "within 1 of 0; errors of both signs cancel, and dark reference samples dominate";
    info.conventions = {{"standard", "eps 1.17e-6, as mape's", {}},
                        {"image", "eps 1/255, one 8-bit step", {{"eps", 1.0 / 255.0}}}};
    info.parameters = {{"eps", "least reference that is divided by", 1.17e-6, 1e-9, 1.0, false, {}},
                       {"percent", "times 100; false: a fraction", true, {}, {}, false, {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kSignedPercentage, s.Number("eps"), Factor(s));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, SignedPercentage{s.Number("eps"), Factor(s)}, r, d);
  }

 private:
  static double Factor(const Settings& s) { return s.Flag("percent") ? 100.0 : 1.0; }
};

struct Quantile {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("quantile", "Quantile (pinball) loss: errors of one sign count more.",
                                    "tau u or (tau - 1) u with u = r - d, CxHxW",
                                    "Koenker and Bassett 1978; scikit-learn mean_pinball_loss");
    info.range_high = 1.0;
    info.symmetric = false;
    info.good_values = "with tau 0.5, half of mae";
    info.parameters = {
        {"tau", "weight of samples that are too dark; 1 - tau of those too bright", 0.5, 0.0, 1.0, false, {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kPinball, s.Number("tau"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, PinballError{s.Number("tau")}, r, d);
  }
};

LIKENESS_END_TARGET
