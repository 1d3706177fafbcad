#pragma once

#include "kernels/metrics/l_inf_norm/l_inf_norm_math.h"
#include "kernels/metrics/pointwise/pointwise_steps.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/permute/permute.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct LInfNorm {
  static MetricInfo Info() {
    MetricInfo info = PointwiseInfo("l_inf_norm", "The largest absolute error.", "|e|, CxHxW", "faceswap LInfNorm");
    info.range_high = 1.0;
    info.takes_weights = false;
    info.color = "see the conventions";
    info.good_values = "one bad sample decides; 0.004 is one 8-bit step";
    info.conventions = {{"channel_mean", "maximum of each channel, then mean", {}},
                        {"max", "maximum over everything", {}},
                        {"faceswap_head", "maximum of each column over rows and channels, then mean over columns", {}}};
    info.aliases = {{"faceswap/l_inf_norm", "channel_mean"}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) {
    if (s.convention() != "max") return std::nullopt;
    return WalkFor(PointwiseLoss::kMaximum);
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    const auto error = Map(t, AbsoluteError{}, r, d);
    Output<tracked> out;
    if (t.wants_map()) out.map = error.Detached();
    if (s.convention() == "max") {
      out.score = Max(t, error);
    } else if (s.convention() == "channel_mean") {
      out.score = MeanOf(t, ChannelMax(t, error));
    } else {
      // Columns become channels.
      out.score = MeanOf(t, ChannelMax(t, Permute(t, error, {2, 0, 1})));
    }
    return out;
  }
};

LIKENESS_END_TARGET
