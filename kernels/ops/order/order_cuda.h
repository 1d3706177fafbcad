// Order statistics under CUDA.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/order/order.h"
#include "kernels/ops/reduce/reduce_cuda.h"  // MaxBackward serves any extreme

LIKENESS_BEGIN_TARGET

void LowerMedianForward(Cuda& device, const PlanesView& x, const PlanesView& scratch, double* out);
void LowerMedianBackward(Cuda& device, const PlanesView& x, const double* medians, const double* upstream,
                         const GradientView& gradient);
void MinForward(Cuda& device, const PlanesView& x, double* out, int count);

LIKENESS_END_TARGET
