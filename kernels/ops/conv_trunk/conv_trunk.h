// The convolution trunk: features of an image, and the distance of two images' features.
//
//   ImageFeatures an image, normalised by channel, becomes features
//   ConvRelu      one convolution of the trunk with bias and ReLU; derivative of ReLU 0 at 0
//   MaxPool       k x k at stride s, windows inside only; the gradient goes to the first maximum in scan order
//   TapDistance   each pixel's feature vectors are brought to length 1; one plane of weighted squared differences
//
// Features are laid out as the device's convolutions like it, so only these ops read them. One image goes through at a
// time: what a pair scores cannot depend on what else is scored.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/ops/conv_trunk/trunk_spec.h"
#include "kernels/ops/tape.h"

namespace likeness {

class PreparedTrunk;

// Mean and deviation of each colour channel on the [0, 1] scale.
struct ColorNormalization {
  double mean[3];
  double deviation[3];
};

// A feature vector f is divided by sqrt(inside + |f|^2) + outside.
struct UnitLength {
  double inside = 0.0;
  double outside = 0.0;
};

// Memory of features as kernels see it: Real of the device, in the device's layout.
struct FeaturesView {
  void* data = nullptr;
  Shape shape;
};

template <bool tracked>
class Features {
 public:
  static constexpr bool kTracked = tracked;
  Features(Planes<tracked> storage, const Shape& shape) : storage_(std::move(storage)), shape_(shape) {}

  const Planes<tracked>& storage() const { return storage_; }
  const Slot& slot() const { return storage_.slot(); }
  const Shape& shape() const { return shape_; }

 private:
  Planes<tracked> storage_;
  Shape shape_;
};

namespace trunk_internal {

// Room for any layout that groups up to 16 channels.
template <bool tracked, class T>
Features<tracked> MakeFeatures(T& t, const Shape& shape) {
  return {t.template MakeOwn<tracked>(Shape{shape.width * 16, shape.height, (shape.channels + 15) / 16}), shape};
}
template <class T, bool tracked>
FeaturesView View(const T& t, const Features<tracked>& x) {
  return {t.View(x.storage()).data, x.shape()};
}
template <class T>
FeaturesView UpstreamView(const T& t, const Slot& slot, const Shape& shape) {
  return {t.Upstream(slot).data, shape};
}

}  // namespace trunk_internal

// `first` is the convolution that will read the result. A gray image stands for three equal channels.
template <class T, bool tracked>
Features<tracked> ImageFeatures(T& t, const Planes<tracked>& image, const ColorNormalization& color,
                                const ConvSpec& first) {
  const Shape in = image.shape();
  auto out = trunk_internal::MakeFeatures<tracked>(t, PackedShape(first, in));
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), 2 * out.shape().count()};
  t.Run(cost,
        [&](auto& device) { ImageFeaturesForward(device, t.View(image), color, first, trunk_internal::View(t, out)); });
  if constexpr (tracked) {
    // The spec outlives every tape: it is a constant of the program.
    t.Record(out.storage(), [x = image.slot(), out = out.slot(), shape = out.shape(), color, &first, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) {
        ImageFeaturesBackward(device, trunk_internal::UpstreamView(t, out, shape), color, first, gradient);
      });
    });
  }
  return out;
}

// `trunk` may be null on a device that only counts.
template <class T, bool tracked>
Features<tracked> ConvRelu(T& t, const TrunkSpec& spec, const PreparedTrunk* trunk, int layer,
                           const Features<tracked>& x) {
  const ConvGeometry conv = GeometryOf(spec.convs[layer]);
  auto out = trunk_internal::MakeFeatures<tracked>(t, ConvOutput(conv, x.shape()));
  const std::int64_t taps = std::int64_t{conv.in} * conv.kernel * conv.kernel;
  const Cost cost{(x.shape().count() + out.shape().count() + taps * conv.out) * t.device().bytes_per_sample(),
                  2 * taps * out.shape().count()};
  t.Run(cost, [&](auto& device) {
    ConvReluForward(device, *trunk, layer, trunk_internal::View(t, x), trunk_internal::View(t, out));
  });
  if constexpr (tracked) {
    t.Record(out.storage(), [x = x.slot(), in = x.shape(), out, trunk, layer, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) {
        ConvReluBackward(device, *trunk, layer, trunk_internal::View(t, out),
                         trunk_internal::UpstreamView(t, out.slot(), out.shape()), {gradient.planes.data, in},
                         gradient.accumulate);
      });
    });
  }
  return out;
}

template <class T, bool tracked>
Features<tracked> MaxPool(T& t, const Features<tracked>& x, int kernel, int stride) {
  auto out = trunk_internal::MakeFeatures<tracked>(t, PoolOutput(kernel, stride, x.shape()));
  const Cost cost{(x.shape().count() + out.shape().count()) * t.device().bytes_per_sample(),
                  out.shape().count() * kernel * kernel};
  t.Run(cost, [&](auto& device) {
    MaxPoolForward(device, trunk_internal::View(t, x), kernel, stride, trunk_internal::View(t, out));
  });
  if constexpr (tracked) {
    t.Record(out.storage(), [x, out = out.slot(), shape = out.shape(), kernel, stride, cost](T& t) {
      const GradientView gradient = t.Gradient(x.slot());
      t.Run({2 * cost.bytes, 3 * cost.operations}, [&](auto& device) {
        MaxPoolBackward(device, trunk_internal::View(t, x), kernel, stride, trunk_internal::UpstreamView(t, out, shape),
                        {gradient.planes.data, x.shape()}, gradient.accumulate);
      });
    });
  }
  return out;
}

// sum over channels of head[c] (n(reference)[c] - n(distorted)[c])^2, head number `tap` of the trunk. The gradient is 0
// where the distorted feature vector is 0 throughout and `length` leaves its length at 0.
template <class T, bool tracked>
Planes<tracked> TapDistance(T& t, const PreparedTrunk* trunk, int tap, const UnitLength& length,
                            const Features<false>& reference, const Features<tracked>& distorted) {
  const Shape in = distorted.shape();
  auto out = t.template MakeOwn<tracked>(Shape{in.width, in.height, 1});
  const Cost cost{(2 * in.count() + out.shape().count()) * t.device().bytes_per_sample(), 10 * in.count()};
  t.Run(cost, [&](auto& device) {
    TapForward(device, *trunk, tap, length, trunk_internal::View(t, reference), trunk_internal::View(t, distorted),
               t.View(out));
  });
  if constexpr (tracked) {
    t.Record(out, [trunk, tap, length, reference, distorted, out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(distorted.slot());
      t.Run({2 * cost.bytes, 2 * cost.operations}, [&](auto& device) {
        TapBackward(device, *trunk, tap, length, trunk_internal::View(t, reference), trunk_internal::View(t, distorted),
                    t.Upstream(out), {gradient.planes.data, distorted.shape()}, gradient.accumulate);
      });
    });
  }
  return out;
}

}  // namespace likeness
