// The convolution trunk on the CPU: oneDNN where samples are float, plain loops for the oracle. Layout: features_cpu.h.
#pragma once

#include "kernels/ops/conv_trunk/conv_trunk.h"
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

void MomentsForward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const MomentValues& out);
void MomentsBackward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const double* reference_mean,
                     const double* distorted_mean, const MomentGradients& upstream, const FeaturesView& gradient,
                     bool accumulate);
void HeadRowForward(Cpu&, const TrunkUse& trunk, int tap, int row, double* out, int channels);

void TapForward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                const FeaturesView& distorted, const PlanesView& out);
void TapBackward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                 const FeaturesView& distorted, const PlanesView& upstream, const FeaturesView& gradient,
                 bool accumulate);

LIKENESS_END_TARGET
