// Correlation under CUDA: separable terms of up to 64 taps a side, five borders. A larger kernel is a failure of the
// device (cudaErrorInvalidValue).
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

void CorrelateForward(Cuda& device, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out);
void CorrelateBackward(Cuda& device, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient);

LIKENESS_END_TARGET
