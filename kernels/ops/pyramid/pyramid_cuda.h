// Pyramid steps under CUDA.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/pyramid/pyramid.h"

LIKENESS_BEGIN_TARGET

void PyramidDownForward(Cuda& device, const PlanesView& x, const Taps& taps, const PlanesView& out);
void PyramidDownBackward(Cuda& device, const PlanesView& upstream, const Taps& taps, const GradientView& gradient);
void PyramidUpForward(Cuda& device, const PlanesView& x, const Taps& taps, const PlanesView& out);
void PyramidUpBackward(Cuda& device, const PlanesView& upstream, const Taps& taps, const GradientView& gradient);

LIKENESS_END_TARGET
