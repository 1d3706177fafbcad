// The op MomentsOf: mean and variance over the pixels of every channel of two images' features, and of their
// difference.
#pragma once

#include "kernels/base/target.h"
#include "kernels/ops/conv_trunk/conv_trunk.h"

namespace likeness {

// A part of features, in their pixels.
struct Region {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  constexpr std::int64_t count() const { return std::int64_t{width} * height; }
};

// Where the moments of every channel go, and where their gradients come from.
struct MomentValues {
  double* reference_mean;
  double* reference_variance;
  double* distorted_mean;
  double* distorted_variance;
  double* difference_variance;
};
struct MomentGradients {
  const double* reference_mean;  // the values
  const double* distorted_mean;
  const double* mean;  // the gradients, of what is of the distorted image or of both
  const double* variance;
  const double* difference;
};

// What `part` says of a channel joins what `all` says of it for other pixels; `share` of all pixels are the part's.
// About each one's own mean, so that nothing cancels. T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing
// the Sample Variance", The American Statistician 37, 1983.
LIKENESS_HD void MergeChannel(const MomentValues& part, double share, const MomentValues& all, int channel) {
  const bool alone = share == 1.0;  // `all` may be anything
  const auto merge = [&](double* mean, const double* mean_of_part, double* variance, const double* variance_of_part,
                         double apart) {
    const double between = share * (1.0 - share) * apart * apart;
    variance[channel] = alone ? variance_of_part[channel]
                              : (1.0 - share) * variance[channel] + share * variance_of_part[channel] + between;
    if (mean != nullptr) mean[channel] = alone ? mean_of_part[channel] : mean[channel] + share * apart;
  };
  const double reference = part.reference_mean[channel] - all.reference_mean[channel];
  const double distorted = part.distorted_mean[channel] - all.distorted_mean[channel];
  merge(nullptr, nullptr, all.difference_variance, part.difference_variance, reference - distorted);
  merge(all.reference_mean, part.reference_mean, all.reference_variance, part.reference_variance, reference);
  merge(all.distorted_mean, part.distorted_mean, all.distorted_variance, part.distorted_variance, distorted);
}

// Over all pixels of a region, of every channel: one scalar each. Variances are divided by the count of pixels.
template <bool tracked>
struct FeatureMoments {
  Scalar<false> reference_mean, reference_variance;
  Scalar<tracked> distorted_mean, distorted_variance;
  Scalar<tracked> difference_variance;  // of reference - distorted
};

namespace trunk_internal {

template <class T, bool tracked>
MomentValues ValuesOf(const T& t, const FeatureMoments<tracked>& of) {
  return {t.Values(of.reference_mean), t.Values(of.reference_variance), t.Values(of.distorted_mean),
          t.Values(of.distorted_variance), t.Values(of.difference_variance)};
}

// What the way back reads of moments. Whoever reads one of the tracked ones reads them all.
struct MomentsReadBack {
  Scalar<false> reference_mean;
  Scalar<true> distorted_mean;
  Slot variance;
  Slot difference;

  template <class T>
  MomentGradients Gradients(const T& t) const {
    return {t.Values(reference_mean), t.Values(distorted_mean), t.UpstreamValues(distorted_mean.slot()),
            t.UpstreamValues(variance), t.UpstreamValues(difference)};
  }
};
inline MomentsReadBack ReadBack(const FeatureMoments<true>& of) {
  return {of.reference_mean, of.distorted_mean, of.distorted_variance.slot(), of.difference_variance.slot()};
}

}  // namespace trunk_internal

template <class T, bool tracked>
FeatureMoments<tracked> MomentsOf(T& t, const Features<false>& reference, const Features<tracked>& distorted,
                                  const Region& region) {
  const Shape shape = distorted.shape();
  // All depend on both images, so that they are known together or not at all.
  const auto make = [&]<bool of_distorted>(const char* op, const auto&... more) {
    return t.template MakeScalar<of_distorted>(shape.channels, op, reference.storage(), distorted.storage(), region,
                                               more...);
  };
  FeatureMoments<tracked> out;
  out.reference_mean = make.template operator()<false>("MomentsReferenceMean");
  out.reference_variance = make.template operator()<false>("MomentsReferenceVariance");
  // Its adjoint reads the other mean as well.
  out.distorted_mean = make.template operator()<tracked>("MomentsMean", out.reference_mean);
  out.distorted_variance = make.template operator()<tracked>("MomentsVariance");
  out.difference_variance = make.template operator()<tracked>("MomentsDifference");
  const Cost cost{4 * shape.count() * trunk_internal::SampleBytes(t, distorted.precision()), 12 * shape.count()};
  t.RunFor(out.distorted_mean, cost, [&](auto& device) {
    MomentsForward(device, trunk_internal::View(t, reference), trunk_internal::View(t, distorted), region,
                   trunk_internal::ValuesOf(t, out));
  });
  if constexpr (tracked) {
    // All three gradients at one look at the features.
    t.Record(out.distorted_mean, [reference, distorted, region, moments = trunk_internal::ReadBack(out), cost](T& t) {
      const GradientView gradient = t.Gradient(distorted.slot());
      t.Run(cost, [&](auto& device) {
        MomentsBackward(device, trunk_internal::View(t, reference), trunk_internal::View(t, distorted), region,
                        region.count(), moments.Gradients(t), trunk_internal::GradientOf(gradient, distorted),
                        gradient.accumulate);
      });
    });
  }
  return out;
}

}  // namespace likeness
