// Load: an image of any sample type, layout and channels becomes planes on the [0, 1] scale.
//
// Alpha is composited over a gray background, c' = background + alpha (c - background), on the non-linear scale, as a
// browser does. A gray image that is scored as colour is R = G = B.
//
// Its transpose takes a gradient back to the submitted channels: colour gets alpha times the gradient, alpha the sum of
// gradient times (colour - background), gray the sum over R, G and B.
#pragma once

#include <utility>

#include "kernels/image_view.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/tape.h"

namespace likeness {

// Which of a pair's pictures.
enum class Picture { kReference, kDistorted, kWeights };
inline bool IsReference(Picture picture) { return picture == Picture::kReference; }

// The distorted image is tracked, but as the tape's leaf: nothing is recorded.
template <bool tracked, class T>
Planes<tracked> LoadImage(T& t, Picture picture, const ImageView& image, int channels, double background) {
  auto out = t.template Make<tracked>(Shape{image.width, image.height, channels}, "Load", picture);
  const Cost cost{image.size_bytes() + out.shape().count() * t.device().bytes_per_sample(), out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { LoadForward(device, image, background, t.View(out)); });
  return out;
}

// The same for a program that takes an image by ImageFeatures and Pad alone. Where the device has features by pixels,
// ImageFeatures reads the image itself, and its planes are made only when Pad asks for them by NeedSamples. `image`
// must outlive the program.
template <bool tracked, class T>
Planes<tracked> NameImage(T& t, Picture picture, const ImageView& image, int channels, double background) {
  if (t.device().feature_layout() != FeatureLayout::kPixels) {
    return LoadImage<tracked>(t, picture, image, channels, background);
  }
  auto out = t.template Make<tracked>(Shape{image.width, image.height, channels}, "Image", picture);
  Node* const node = out.slot().node();
  node->unread = &image;
  node->background = background;
  return out;
}

template <class T>
void NeedSamples(T& t, const DataHandle& x) {
  Node* const node = x.slot().node();
  const ImageView* const image = std::exchange(node->unread, nullptr);
  if (image == nullptr) return;
  const Cost cost{image->size_bytes() + x.shape().count() * t.device().bytes_per_sample(), x.shape().count()};
  t.Run(cost, [&](auto& device) { LoadForward(device, *image, node->background, t.View(x)); });
}

}  // namespace likeness
