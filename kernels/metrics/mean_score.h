// How a metric whose score is the mean of a spatial map makes its score. Every such metric ends here: in MappedScore,
// or in MeanScore where the map is made anyway.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct Weigh {
  template <class A, class W>
  LIKENESS_HD auto operator()(const A& a, const W& weight) const {
    return a * weight;
  }
};

// The pixels' weights as weights of a map's samples: resized (bilinear, no antialiasing) to the image that the map was
// made from, where that was reduced first, and cut down to its valid part.
template <class T>
Planes<false> WeightsFor(T& t, const Shape& map, int map_offset) {
  return Crop(t, ResizeBilinear(t, t.weights(), map.width + 2 * map_offset, map.height + 2 * map_offset), map_offset);
}

struct LossUnderWeights {
  Linear loss;
  template <class A, class W>
  LIKENESS_HD auto operator()(const A& mean, const W& mean_weight) const {
    return loss.scale * mean + loss.offset * mean_weight;
  }
};

// The mean over all samples of loss(map), whose first sample lies at (map_offset, map_offset) of the image. The loss is
// taken of the mean, in double, so that equal images score it exactly. Under weights every sample is multiplied by its
// pixel's weight, also in the map that is returned: its mean stays the score. With each_channel the score is a scalar
// for each channel.
template <class T, bool tracked>
Output<tracked> MeanScore(T& t, const Planes<tracked>& map, int map_offset = 0, const Linear& loss = {1.0, 0.0},
                          bool each_channel = false) {
  const auto mean = [&](const Planes<tracked>& x) { return each_channel ? ChannelMean(t, x) : Mean(t, x); };
  const bool as_is = loss.scale == 1.0 && loss.offset == 0.0;
  Output<tracked> out;
  out.map_offset = map_offset;
  if (t.wants_map()) out.map = as_is ? map.Detached() : Map(t, loss, map.Detached());
  if (t.weights().empty()) {
    out.score = mean(map);
    if (!as_is) out.score = MapScalars(t, loss, out.score);
    return out;
  }
  const Planes<false> weights = WeightsFor(t, map.shape(), map_offset);
  const Scalar<false> mean_weight = Mean(t, weights);
  if (t.wants_map()) out.map = Map(t, Weigh{}, out.map, weights);
  out.score = MapScalars(t, LossUnderWeights{loss}, mean(Map(t, Weigh{}, map, weights)), mean_weight);
  if (t.averaging() == Averaging::kOverPixels) return out;
  out.score = MapScalars(t, Quotient{}, out.score, mean_weight);
  if (t.wants_map()) out.map = Map(t, Quotient{}, out.map, mean_weight);
  return out;
}

// The same of the map f(in...), each channel by itself. Its planes are made only where a map or weights want them.
template <class T, class F, class... In>
Output<(In::kTracked || ...)> MappedScore(T& t, F f, int map_offset, const Linear& loss, const In&... in) {
  if (!t.weights().empty()) return MeanScore(t, Map(t, f, in...), map_offset, loss);
  const bool as_is = loss.scale == 1.0 && loss.offset == 0.0;
  Output<(In::kTracked || ...)> out;
  out.map_offset = map_offset;
  out.score = MeanOf(t, ChannelMeans(t, f, in...));
  if (!as_is) out.score = MapScalars(t, loss, out.score);
  if (!t.wants_map()) return out;
  out.map = Map(t, f, in.Detached()...);
  if (!as_is) out.map = Map(t, loss, out.map);
  return out;
}

// A score that is the mean of a sum of planes, each enlarged to the image's size and weighted. The sum itself is made
// only where a map or weights of the pixels want it.
template <class T, bool tracked>
class EnlargedSum {
 public:
  // at_own_size: the score is the sum of the planes' own means, and takes no weights.
  EnlargedSum(T& t, const Shape& image, bool at_own_size)
      : t_(t), image_(image), at_own_size_(at_own_size), weighted_(!at_own_size && !t.weights().empty()) {}

  // The first one's weight is 1.
  void Add(const Planes<tracked>& part, double weight = 1.0) {
    if (weighted_) {
      AddTo(spatial_, Enlarge(part), weight);
      return;
    }
    AddMean(at_own_size_ ? Mean(t_, part) : MeanOfResized(t_, part, image_.width, image_.height), weight);
    if (t_.wants_map()) AddTo(map_, Enlarge(part.Detached()), weight);
  }
  // A plane that is f of others, each channel by itself; where its mean is enough it is not made.
  template <class F, class First, class... Rest>
  void AddMapped(double weight, F f, const First& first, const Rest&... rest) {
    const bool mean_is_enough = !weighted_ && (at_own_size_ || CountAlike(first.shape(), image_.width, image_.height));
    if (!mean_is_enough) return Add(Map(t_, f, first, rest...), weight);
    AddMean(MeanOf(t_, ChannelMeans(t_, f, first, rest...)), weight);
    if (t_.wants_map()) AddTo(map_, Enlarge(Map(t_, f, first.Detached(), rest.Detached()...)), weight);
  }

  // Of loss(sum).
  Output<tracked> Score(const Linear& loss = {1.0, 0.0}) {
    if (weighted_) return MeanScore(t_, spatial_, 0, loss);
    if (loss.scale == 1.0 && loss.offset == 0.0) return {score_, map_, 0};
    return {MapScalars(t_, loss, score_), t_.wants_map() ? Map(t_, loss, map_) : map_, 0};
  }

 private:
  void AddMean(const Scalar<tracked>& mean, double weight) {
    score_ = score_.empty() ? mean : MapScalars(t_, AddScaled{weight}, score_, mean);
  }
  template <bool any>
  Planes<any> Enlarge(const Planes<any>& part) {
    return ResizeBilinear(t_, part, image_.width, image_.height);
  }
  template <bool any>
  void AddTo(Planes<any>& sum, const Planes<any>& x, double weight) {
    sum = sum.empty() ? x : Map(t_, AddScaled{weight}, sum, x);
  }

  T& t_;
  const Shape image_;
  const bool at_own_size_;
  const bool weighted_;
  Scalar<tracked> score_;
  Planes<false> map_;
  Planes<tracked> spatial_;  // weighted_
};

LIKENESS_END_TARGET
