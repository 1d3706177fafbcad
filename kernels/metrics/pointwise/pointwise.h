// The pointwise family: one line of program each.
#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/pointwise/pointwise_math.h"
#include "kernels/metrics/pointwise/pointwise_steps.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct Mae {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("mae", "Mean absolute error (L1).", "|e|, CxHxW", "torch L1Loss");
    info.range_high = 1.0;
    info.good_values = "0.004 is one 8-bit step; under 0.01 is hard to see in most pictures";
    info.aliases = {{"faceswap/mae", "standard"}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings&) { return WalkFor(PointwiseLoss::kMeanAbsolute); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings&) {
    return MeanOfMap(t, AbsoluteError{}, r, d);
  }
};

struct Mse {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("mse", "Mean squared error (L2).", "e^2, CxHxW", "torch MSELoss");
    info.range_high = 1.0;
    info.good_values = "1e-4 is 40 dB of PSNR";
    info.aliases = {{"faceswap/mse", "standard"}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings&) { return WalkFor(PointwiseLoss::kMeanSquare); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings&) {
    return MeanOfMap(t, SquaredError{}, r, d);
  }
};

struct Rmse {
  static MetricInfo Info() {
    MetricInfo info =
        PointwiseInfo("rmse", "Root of the mean squared error.", "e^2, CxHxW", "square root of torch MSELoss");
    info.range_high = 1.0;
    info.good_values = "0.01 is 40 dB of PSNR";
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings&) { return WalkFor(PointwiseLoss::kRootMeanSquare); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    Output<tracked> mse = Mse::Run(t, r, d, s);
    return {MapScalars(t, SquareRoot{}, mse.score), mse.map, 0};
  }
};

struct Sse {
  static MetricInfo Info() {
    MetricInfo info =
        PointwiseInfo("sse", "Sum of squared errors.", "e^2, CxHxW", "sum of torch MSELoss(reduction=none)");
    info.takes_weights = false;  // a sum
    info.good_values = "grows with the number of samples: compare images of one size only";
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings&) { return WalkFor(PointwiseLoss::kSumSquare); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings&) {
    auto errors = Map(t, SquaredError{}, r, d);
    return {Sum(t, errors), t.wants_map() ? errors.Detached() : Planes<false>(), 0};
  }
};

struct Psnr {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("psnr", "Peak signal-to-noise ratio in dB, peak 1.", "e^2, CxHxW (HxW of luma)",
                                    "skimage.metrics.peak_signal_noise_ratio(data_range=1)");
    info.color = "every channel alike, or luma";
    info.direction = Direction::kHigherIsBetter;
    info.range_low = -std::numeric_limits<double>::infinity();
    info.identity = std::numeric_limits<double>::infinity();
    info.good_values = "over 40 dB is hard to see, under 25 dB is plainly bad; says little between kinds of distortion";
    info.conventions = {
        {"exact", "no floor under the MSE: infinite for identical images", {}},
        {"piq", "adds 1e-8 to the MSE: 80 dB for identical images; also pyiqa", {{"eps", 1e-8}}},
        {"psnry", "pyiqa's psnry: luma (BT.601) only, adds 1e-8 to the MSE", {{"eps", 1e-8}, {"luma", "bt601"}}},
        {"libvmaf",
         "every channel a plane of its own, at most 60 dB as for 8 bit; the mean over planes",
         {{"cap", 60.0}, {"per_channel_mean", true}}}};
    info.parameters = {{"eps", "added to the mean squared error", 0.0, 0.0, 1.0, false, {}},
                       {"cap",
                        "the score (with per_channel_mean, of each channel) is at most this many dB",
                        std::numeric_limits<double>::infinity(),
                        0.0,
                        std::numeric_limits<double>::infinity(),
                        false,
                        {}},
                       {"luma",
                        "score one plane: Y of BT.601, or the same in studio range (BasicSR's Y channel)",
                        "none",
                        {},
                        {},
                        false,
                        {"none", "bt601", "ycbcr_studio"}},
                       {"per_channel_mean",
                        "the mean of the channels' PSNRs, not the PSNR of their mean squared error",
                        false,
                        {},
                        {},
                        false,
                        {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    if (s.Choice("luma") != "none" || s.Flag("per_channel_mean")) return std::nullopt;
    WalkRequest request;
    request.walk = PointwiseWalk{.loss = PointwiseLoss::kPsnr, .parameter = s.Number("eps"), .cap = s.Number("cap")};
    return request;
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    const Decibels decibels{s.Number("eps"), s.Number("cap")};
    const auto planes = [&](const auto& image) {
      if (s.Choice("luma") == "bt601") return Luma(t, image);
      return s.Choice("luma") == "none" ? image : StudioLuma(t, image);
    };
    if (s.Flag("per_channel_mean")) {
      const auto mse = MeanScore(t, Map(t, SquaredError{}, planes(r), planes(d)), 0, {1.0, 0.0}, true);
      return {MeanOf(t, MapScalars(t, decibels, mse.score)), mse.map, 0};
    }
    const Output<tracked> mse = MeanOfMap(t, SquaredError{}, planes(r), planes(d));
    return {MapScalars(t, decibels, mse.score), mse.map, 0};
  }
};

struct Huber {
  static MetricInfo Info() {
    MetricInfo info =
        PointwiseInfo("huber", "Huber loss: squared below delta, linear above.", "f(e), CxHxW", "torch HuberLoss");
    info.parameters = {{"delta", "where the loss turns linear", 8.0 / 255.0, 1e-6, 1e6, false, {}}};
    info.good_values = "under delta^2 / 2 most errors are small ones";
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kHuber, s.Number("delta"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, HuberError{s.Number("delta")}, r, d);
  }
};

struct SmoothL1 {
  static MetricInfo Info() {
    MetricInfo info =
        PointwiseInfo("smooth_l1", "Smooth L1 loss: Huber divided by beta.", "f(e), CxHxW", "torch SmoothL1Loss");
    info.parameters = {{"beta", "where the loss turns linear", 8.0 / 255.0, 1e-6, 1e6, false, {}}};
    info.good_values = "close to mae when errors are larger than beta";
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(PointwiseLoss::kSmoothL1, s.Number("beta"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return MeanOfMap(t, SmoothL1Error{s.Number("beta")}, r, d);
  }
};

struct Charbonnier {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("charbonnier", "Charbonnier loss: L1 with a rounded tip.", "f(e), CxHxW",
                                    "sqrt(e^2 + eps^2) as in super-resolution toolboxes");
    info.identity = 1e-3;
    info.parameters = {{"eps", "radius of the tip", 1e-3, 1e-6, 1.0, false, {}},
                       {"subtract_eps", "identical images score 0 instead of eps", false, {}, {}, false, {}}};
    info.good_values = "close to mae + eps for large errors";
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    return WalkFor(s.Flag("subtract_eps") ? PointwiseLoss::kShiftedCharbonnier : PointwiseLoss::kCharbonnier,
                   s.Number("eps"));
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    const double eps = s.Number("eps");
    return MeanOfMap(t, ShiftedCharbonnierError{eps}, r, d, Linear{1.0, s.Flag("subtract_eps") ? 0.0 : eps});
  }
};

struct LogCosh {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("logcosh", "Mean of log cosh e.", "log cosh e, CxHxW",
                                    "faceswap logcosh; torchmetrics LogCoshError");
    info.good_values = "close to mse / 2 for errors well under 1";
    info.aliases = {{"faceswap/logcosh", "standard"}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings&) { return WalkFor(PointwiseLoss::kLogCosh); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings&) {
    return MeanOfMap(t, LogCoshError{}, r, d);
  }
};

LIKENESS_END_TARGET
