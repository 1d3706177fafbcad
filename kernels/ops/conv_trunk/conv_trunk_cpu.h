// The convolution trunk on the CPU: oneDNN where samples are float, plain loops for the oracle. Layout: features_cpu.h.
#pragma once

#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/conv_trunk/moments.h"
#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

void ImageFeaturesForward(Cpu&, const PlanesView& image, const ColorNormalization& color, const ConvSpec& first,
                          const FeaturesView& out);
void ImageFeaturesBackward(Cpu&, const FeaturesView& upstream, const ColorNormalization& color, const ConvSpec& first,
                           const GradientView& gradient);

// `rounded`: null, or room for the convolution's input at 16 bits a sample, in the layout of features.
void ConvReluForward(Cpu&, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& in, void* rounded,
                     const FeaturesView& out);
// Overwrites `upstream`.
void ConvReluBackward(Cpu&, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& out,
                      const FeaturesView& upstream, void* rounded, const FeaturesView& gradient, bool accumulate);

void MaxPoolForward(Cpu&, const FeaturesView& in, int kernel, int stride, const FeaturesView& out);
void MaxPoolBackward(Cpu&, const FeaturesView& in, int kernel, int stride, const FeaturesView& upstream,
                     const FeaturesView& gradient, bool accumulate);

void L2PoolForward(Cpu&, const FeaturesView& in, const FeaturesView& out);
// Overwrites `upstream`.
void L2PoolBackward(Cpu&, const FeaturesView& in, const FeaturesView& out, const FeaturesView& upstream,
                    const FeaturesView& gradient, bool accumulate);

// Over a region of both images' features.
void MomentsForward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                    const MomentValues& out);
// What `part` says of part_pixels pixels joins what `all` says of all_pixels others; with none, it becomes it.
void MergeMoments(Cpu&, const MomentValues& part, std::int64_t part_pixels, int channels, const MomentValues& all,
                  std::int64_t all_pixels);
// `moments` are over `pixels` pixels, of which the region's are some. Beyond the region the gradient is 0.
void MomentsBackward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                     std::int64_t pixels, const MomentGradients& moments, const FeaturesView& gradient,
                     bool accumulate);
void HeadRowForward(Cpu&, const TrunkUse& trunk, int tap, int row, double* out, int channels);

void TapForward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                const FeaturesView& distorted, const PlanesView& out);
void TapBackward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                 const FeaturesView& distorted, const PlanesView& upstream, const FeaturesView& gradient,
                 bool accumulate);

LIKENESS_END_TARGET
