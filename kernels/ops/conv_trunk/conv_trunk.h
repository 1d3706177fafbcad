// The convolution trunk: features of an image, and the distance of two images' features.
//
//   ImageFeatures an image, normalised by channel, becomes features
//   ConvRelu      one value of the trunk: a convolution, or several beside each other, with bias and ReLU, whose
//                 derivative at 0 is 0
//   PoolBefore    the pooling in front of a convolution; the gradient of a maximum goes to the first in scan order
//   TapDistance   each pixel's feature vectors are brought to length 1; one plane of weighted squared differences
//   MomentsOf     moments.h
//   HeadRow       weights of a tap's channels as scalars
//
// Features are laid out as the device's convolutions like it, so only these ops read them. One image goes through at a
// time: what a pair scores cannot depend on what else is scored. Two networks that begin with the same convolutions,
// weights included, share those.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/image_view.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/conv_trunk/trunk_weights.h"
#include "kernels/ops/tape.h"

namespace likeness {

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

// Memory of features as kernels see it, in the device's layout and its type of sample for the precision.
struct FeaturesView {
  void* data = nullptr;
  Shape shape;
  Precision precision = Precision::kExact;
};

template <bool tracked>
class Features {
 public:
  static constexpr bool kTracked = tracked;
  Features() = default;
  Features(Planes<tracked> storage, const Shape& shape, Precision precision)
      : storage_(std::move(storage)), shape_(shape), precision_(precision) {}

  const Planes<tracked>& storage() const { return storage_; }
  const Slot& slot() const { return storage_.slot(); }
  const Shape& shape() const { return shape_; }
  Precision precision() const { return precision_; }

 private:
  Planes<tracked> storage_;
  Shape shape_;
  Precision precision_ = Precision::kExact;
};

namespace trunk_internal {

// Of a sample of features; weights and planes are counted as such.
template <class T>
int SampleBytes(T& t, Precision precision) {
  const bool half = precision == Precision::kFast && t.device().feature_layout() == FeatureLayout::kPixels;
  return half ? 2 : t.device().bytes_per_sample();
}

// The output of a step, as Tape::Make.
template <bool tracked, class T, class... Part>
Features<tracked> MakeFeatures(T& t, const Shape& shape, Precision precision, const char* op, const Part&... parts) {
  const Shape room = FeatureRoom(t.device().feature_layout(), shape, precision);
  return {t.template Make<tracked>(room, op, shape, precision, parts...), shape, precision};
}
// Where the CPU rounds features to 16 bits for a convolution; empty where it need not.
template <class T>
Planes<false> Rounded(T& t, const TrunkUse& trunk, int layer, const Shape& shape) {
  const bool stored_so = t.device().feature_layout() == FeatureLayout::kPixels;
  if (stored_so || PrecisionOf(trunk.precision, layer) == Precision::kExact) return {};
  return t.Scratch({shape.width * 8, shape.height, (shape.channels + 15) / 16});
}
template <class T>
void* DataOf(const T& t, const Planes<false>& scratch) {
  return scratch.empty() ? nullptr : t.View(scratch).data;
}
template <class T, bool tracked>
FeaturesView View(const T& t, const Features<tracked>& x) {
  return {t.View(x.storage()).data, x.shape(), x.precision()};
}
// Features and their gradients are of one kind.
template <class T>
FeaturesView UpstreamView(const T& t, const Slot& slot, const Shape& shape, Precision precision) {
  return {t.Upstream(slot).data, shape, precision};
}
template <class T, bool tracked>
FeaturesView UpstreamView(const T& t, const Features<tracked>& x) {
  return UpstreamView(t, x.slot(), x.shape(), x.precision());
}
template <bool tracked>
FeaturesView GradientOf(const GradientView& gradient, const Features<tracked>& x) {
  return {gradient.planes.data, x.shape(), x.precision()};
}

}  // namespace trunk_internal

// Laid out for the trunk's first convolution. A gray image stands for three equal channels. An image that was only
// named (NameImage) is read as it came.
template <class T, bool tracked>
Features<tracked> ImageFeatures(T& t, const TrunkUse& trunk, const Planes<tracked>& image,
                                const ColorNormalization& color) {
  const ConvSpec& first = trunk.conv(0);
  const Shape in = image.shape();
  auto out = trunk_internal::MakeFeatures<tracked>(t, PackedShape(first, in), trunk.precision, "ImageFeatures", image,
                                                   color, first.stride, first.padding);
  const Node& node = *image.slot().node();
  const std::int64_t plane_bytes = in.count() * t.device().bytes_per_sample();
  const std::int64_t feature_bytes = out.shape().count() * trunk_internal::SampleBytes(t, trunk.precision);
  const Cost cost{(node.unread != nullptr ? node.unread->size_bytes() : plane_bytes) + feature_bytes,
                  2 * out.shape().count()};
  t.RunFor(out.storage(), cost, [&](auto& device) {
    if constexpr (requires { ImageFeaturesForward(device, node.unread, 0.0, in, color, first, FeaturesView()); }) {
      if (node.unread != nullptr) {
        return ImageFeaturesForward(device, node.unread, node.background, in, color, first,
                                    trunk_internal::View(t, out));
      }
    }
    ImageFeaturesForward(device, t.View(image), color, first, trunk_internal::View(t, out));
  });
  if constexpr (tracked) {
    const Cost back{plane_bytes + feature_bytes, cost.operations};
    // The spec outlives every tape: it is a constant of the program.
    t.Record(out.storage(), [x = image.slot(), out = out.slot(), shape = out.shape(), precision = trunk.precision,
                             color, &first, back](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(back, [&](auto& device) {
        ImageFeaturesBackward(device, trunk_internal::UpstreamView(t, out, shape, precision), color, first, gradient);
      });
    });
  }
  return out;
}

// The convolutions are `layer` and those beside it. relu off: only where the spec says linear.
template <class T, bool tracked>
Features<tracked> ConvRelu(T& t, const TrunkUse& trunk, int layer, const Features<tracked>& x, bool relu = true) {
  const int parts = trunk.spec->Parts(layer);
  Shape shape = ConvOutput(GeometryOf(trunk.conv(layer)), x.shape());
  Cost cost{(x.shape().count() + shape.plane() * trunk.spec->Channels(layer)) *
                trunk_internal::SampleBytes(t, trunk.precision),
            0};
  std::vector<std::uint64_t> identities;
  for (int i = layer; i < layer + parts; ++i) {
    const ConvGeometry conv = GeometryOf(trunk.conv(i));
    const std::int64_t taps = std::int64_t{conv.in} * conv.kernel * conv.kernel * conv.out;
    cost.bytes += taps * trunk_internal::SampleBytes(t, trunk.precision);
    cost.operations += 2 * taps * shape.plane();
    identities.push_back(trunk.identity(i));
  }
  shape.channels = trunk.spec->Channels(layer);
  auto out = trunk_internal::MakeFeatures<tracked>(t, shape, trunk.precision, "ConvRelu", x.storage(), layer,
                                                   identities, relu);
  {
    const Planes<false> rounded = trunk_internal::Rounded(t, trunk, layer, x.shape());
    t.RunFor(out.storage(), cost, [&](auto& device) {
      ConvReluForward(device, trunk, layer, relu, trunk_internal::View(t, x), trunk_internal::DataOf(t, rounded),
                      trunk_internal::View(t, out));
    });
  }
  if constexpr (tracked) {
    t.Record(out.storage(), [x = x.slot(), in = x.shape(), out, trunk, layer, relu, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      const Planes<false> rounded = trunk_internal::Rounded(t, trunk, layer, out.shape());
      t.Run(cost, [&](auto& device) {
        ConvReluBackward(device, trunk, layer, relu, trunk_internal::View(t, out), trunk_internal::UpstreamView(t, out),
                         trunk_internal::DataOf(t, rounded), {gradient.planes.data, in, trunk.precision},
                         gradient.accumulate);
      });
    });
  }
  return out;
}

template <class T, bool tracked>
Features<tracked> PoolBefore(T& t, const TrunkUse& trunk, int layer, const Features<tracked>& x) {
  const ConvSpec& conv = trunk.conv(layer);
  const Pooling pooling = trunk.spec->pooling;
  auto out =
      trunk_internal::MakeFeatures<tracked>(t, PoolOutput(pooling, conv, x.shape()), trunk.precision, "PoolBefore",
                                            x.storage(), pooling, conv.pool_kernel, conv.pool_stride);
  if (pooling == Pooling::kL2) {
    const Cost cost{(x.shape().count() + out.shape().count()) * trunk_internal::SampleBytes(t, trunk.precision),
                    18 * out.shape().count()};
    t.RunFor(out.storage(), cost,
             [&](auto& device) { L2PoolForward(device, trunk_internal::View(t, x), trunk_internal::View(t, out)); });
    if constexpr (tracked) {
      t.Record(out.storage(), [x, out, cost](T& t) {
        const GradientView gradient = t.Gradient(x.slot());
        t.Run({2 * cost.bytes, cost.operations}, [&](auto& device) {
          L2PoolBackward(device, trunk_internal::View(t, x), trunk_internal::View(t, out),
                         trunk_internal::UpstreamView(t, out), trunk_internal::GradientOf(gradient, x),
                         gradient.accumulate);
        });
      });
    }
    return out;
  }
  const int kernel = conv.pool_kernel, stride = conv.pool_stride;
  const Cost cost{(x.shape().count() + out.shape().count()) * trunk_internal::SampleBytes(t, trunk.precision),
                  out.shape().count() * kernel * kernel};
  t.RunFor(out.storage(), cost, [&](auto& device) {
    MaxPoolForward(device, trunk_internal::View(t, x), kernel, stride, trunk_internal::View(t, out));
  });
  if constexpr (tracked) {
    t.Record(out.storage(), [x, out = out.slot(), shape = out.shape(), kernel, stride, cost](T& t) {
      const GradientView gradient = t.Gradient(x.slot());
      t.Run({2 * cost.bytes, 3 * cost.operations}, [&](auto& device) {
        MaxPoolBackward(device, trunk_internal::View(t, x), kernel, stride,
                        trunk_internal::UpstreamView(t, out, shape, x.precision()),
                        trunk_internal::GradientOf(gradient, x), gradient.accumulate);
      });
    });
  }
  return out;
}

// sum over channels of head[c] (n(reference)[c] - n(distorted)[c])^2, head number `tap` of the trunk. The gradient is 0
// where the distorted feature vector is 0 throughout and `length` leaves its length at 0.
template <class T, bool tracked>
Planes<tracked> TapDistance(T& t, const TrunkUse& trunk, int tap, const UnitLength& length,
                            const Features<false>& reference, const Features<tracked>& distorted) {
  const Shape in = distorted.shape();
  // Of the heads, the weights' address tells them apart: programs of one metric share them, but for conventions with
  // heads of their own.
  auto out = t.template Make<tracked>(Shape{in.width, in.height, 1}, "TapDistance", reference.storage(),
                                      distorted.storage(), trunk.weights, tap, length);
  const Cost cost{(2 * in.count() + out.shape().count()) * trunk_internal::SampleBytes(t, trunk.precision),
                  10 * in.count()};
  t.RunFor(out, cost, [&](auto& device) {
    TapForward(device, trunk, tap, length, trunk_internal::View(t, reference), trunk_internal::View(t, distorted),
               t.View(out));
  });
  if constexpr (tracked) {
    t.Record(out, [trunk, tap, length, reference, distorted, out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(distorted.slot());
      t.Run({2 * cost.bytes, 2 * cost.operations}, [&](auto& device) {
        TapBackward(device, trunk, tap, length, trunk_internal::View(t, reference), trunk_internal::View(t, distorted),
                    t.Upstream(out), trunk_internal::GradientOf(gradient, distorted), gradient.accumulate);
      });
    });
  }
  return out;
}

// Row `row` of head number `tap`: a weight for each of `channels`.
template <class T>
Scalar<false> HeadRow(T& t, const TrunkUse& trunk, int tap, int row, int channels) {
  auto out = t.template MakeScalar<false>(channels, "HeadRow", trunk.weights, tap, row);
  t.RunFor(out, {}, [&](auto& device) { HeadRowForward(device, trunk, tap, row, t.Values(out), channels); });
  return out;
}

}  // namespace likeness
