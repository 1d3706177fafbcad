// Errors relative to the reference: one line of program each.
#pragma once

#include "kernels/metrics/pointwise/pointwise_math.h"
#include "kernels/metrics/pointwise/pointwise_steps.h"
#include "kernels/metrics/relative/relative_math.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct Mape {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("mape", "Mean absolute percentage error, as a fraction.",
                                    "|e| / max(|r|, eps), CxHxW", "torchmetrics MeanAbsolutePercentageError");
    info.symmetric = false;
    info.good_values = "0.01 is one percent; dark reference samples dominate it, see convention image and wmape";
    info.conventions = {{"torchmetrics", "eps 1.17e-6: a black reference sample counts by the thousands", {}},
                        {"image", "eps 1/255, one 8-bit step", {{"eps", 1.0 / 255.0}}}};
    info.parameters = {{"eps", "least reference that is divided by", kRelativeFloor, 1e-9, 1.0, false, {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kPercentage, s.Number("eps"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, PercentageError{s.Number("eps")}, r, d);
  }
};

// mean |e| over a denominator of the whole picture.
template <class T, bool tracked>
Output<tracked> Scaled(T& t, const Planes<false>& r, const Planes<tracked>& d, const Scalar<false>& denominator) {
  Output<tracked> out = MeanOfMap(t, AbsoluteError{}, r, d);
  out.score = MapScalars(t, Quotient{}, out.score, denominator);
  if (t.wants_map()) out.map = Map(t, Quotient{}, out.map, denominator);
  return out;
}

struct WMape {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("wmape", "Weighted mean absolute percentage error: sum |e| / sum |r|.",
                                    "|e| / mean |r|, CxHxW", "torchmetrics WeightedMeanAbsolutePercentageError");
    info.symmetric = false;
    info.good_values = "0.01 is one percent of the reference's mean";
    info.conventions = {{"torchmetrics", "sum |r| is at least 1.17e-6", {}}};
    return info;
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings&) {
    const double floor = kRelativeFloor / static_cast<double>(r.shape().count());
    return Scaled(t, r, d, MapScalars(t, AtLeast{floor}, MeanOf(t, ChannelMeans(t, AbsoluteValue{}, r))));
  }
};

struct Smape {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("smape", "Symmetric mean absolute percentage error.", "f(r, d), CxHxW",
                                    "torchmetrics SymmetricMeanAbsolutePercentageError");
    info.range_high = 2.0;
    info.good_values = "0.01 is one percent of the mean of both images";
    info.conventions = {{"torchmetrics", "2 |e| / (|r| + |d|)", {}}, {"unit", "|e| / (|r| + |d|): at most 1", {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kSymmetricPercentage, 0.0, Factor(s));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, SymmetricPercentageError{Factor(s)}, r, d);
  }

 private:
  static double Factor(const Settings& s) { return s.convention() == "unit" ? 1.0 : 2.0; }
};

struct Mase {
  static MetricInfo Info() {
    MetricInfo info =
        PointwiseInfo("mase", "Mean absolute scaled error: mae over that of a naive forecast; from two pixels up.",
                      "|e| / Q, CxHxW", "Hyndman and Koehler 2006, carried over to images by likeness");
    info.symmetric = false;
    info.good_values = "1: as wrong as if every pixel were replaced by its neighbour";
    info.conventions = {{"spatial_naive", "Q is the mean difference of neighbouring samples of the reference", {}},
                        {"mean_naive", "Q is the reference's mean distance from its mean", {}}};
    return info;
  }

  static std::string Check(const Shape& shape, const Settings&) {
    if (shape.plane() > 1) return "";
    return "mase needs two pixels at least; the images are 1x1";
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return Scaled(t, r, d, s.convention() == "mean_naive" ? MeanNaive(t, r) : SpatialNaive(t, r));
  }

 private:
  template <class T>
  static Scalar<false> MeanNaive(T& t, const Planes<false>& r) {
    return MapScalars(t, AtLeast{kMaseFloor}, Mean(t, Map(t, DeviationFrom{}, r, Mean(t, r))));
  }

  template <class T>
  static Scalar<false> SpatialNaive(T& t, const Planes<false>& r) {
    const Shape& shape = r.shape();
    const Kernel across{{{{1.0}, {-1.0, 1.0}}}};
    const auto mean = [&](const Kernel& kernel) {
      return MeanOf(t, ChannelMeans(t, AbsoluteValue{}, Correlate(t, r, kernel, Border::kValid)));
    };
    const auto pooled = [&] {
      // A line of pixels has neighbours one way only.
      if (shape.height == 1) return mean(across);
      if (shape.width == 1) return mean(Transposed(across));
      const double pairs_across = static_cast<double>(shape.width - 1) * shape.height;
      const double pairs_down = static_cast<double>(shape.height - 1) * shape.width;
      return MapScalars(t, PooledMean{pairs_across / (pairs_across + pairs_down)}, mean(across),
                        mean(Transposed(across)));
    };
    return MapScalars(t, AtLeast{kMaseFloor}, pooled());
  }
};

LIKENESS_END_TARGET
