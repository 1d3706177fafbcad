// The convolution trunk under CUDA: convolutions by cuDNN. Layout: features_cuda.cuh.
#pragma once

#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/conv_trunk/moments.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

void ImageFeaturesForward(Cuda& device, const PlanesView& image, const ColorNormalization& color, const ConvSpec& first,
                          const FeaturesView& out);
// The same bits from an image in the memory of the GPU that LoadForward would make planes of `shape` of.
void ImageFeaturesForward(Cuda& device, const ImageView* image, double background, const Shape& shape,
                          const ColorNormalization& color, const ConvSpec& first, const FeaturesView& out);
void ImageFeaturesBackward(Cuda& device, const FeaturesView& upstream, const ColorNormalization& color,
                           const ConvSpec& first, const GradientView& gradient);

// `rounded` is null: features are stored as they are convolved.
void ConvReluForward(Cuda& device, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& in, void* rounded,
                     const FeaturesView& out);
// Overwrites `upstream`.
void ConvReluBackward(Cuda& device, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& out,
                      const FeaturesView& upstream, void* rounded, const FeaturesView& gradient, bool accumulate);

void MaxPoolForward(Cuda& device, const FeaturesView& in, int kernel, int stride, const FeaturesView& out);
void MaxPoolBackward(Cuda& device, const FeaturesView& in, int kernel, int stride, const FeaturesView& upstream,
                     const FeaturesView& gradient, bool accumulate);

void L2PoolForward(Cuda& device, const FeaturesView& in, const FeaturesView& out);
void L2PoolBackward(Cuda& device, const FeaturesView& in, const FeaturesView& out, const FeaturesView& upstream,
                    const FeaturesView& gradient, bool accumulate);

// Over a region of both images' features.
void MomentsForward(Cuda& device, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                    const MomentValues& out);
// What `part` says of part_pixels pixels joins what `all` says of all_pixels others; with none, it becomes it.
void MergeMoments(Cuda& device, const MomentValues& part, std::int64_t part_pixels, int channels,
                  const MomentValues& all, std::int64_t all_pixels);
// `moments` are over `pixels` pixels, of which the region's are some. Beyond the region the gradient is 0.
void MomentsBackward(Cuda& device, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                     std::int64_t pixels, const MomentGradients& moments, const FeaturesView& gradient,
                     bool accumulate);
void HeadRowForward(Cuda& device, const TrunkUse& trunk, int tap, int row, double* out, int channels);

void TapForward(Cuda& device, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                const FeaturesView& distorted, const PlanesView& out);
void TapBackward(Cuda& device, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                 const FeaturesView& distorted, const PlanesView& upstream, const FeaturesView& gradient,
                 bool accumulate);

LIKENESS_END_TARGET
