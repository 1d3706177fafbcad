// Permuted axes under CUDA.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/permute/permute.h"

LIKENESS_BEGIN_TARGET

void PermuteForward(Cuda& device, const PlanesView& x, const AxisOrder& order, const PlanesView& out);
void PermuteBackward(Cuda& device, const PlanesView& upstream, const AxisOrder& order, const GradientView& gradient);

LIKENESS_END_TARGET
