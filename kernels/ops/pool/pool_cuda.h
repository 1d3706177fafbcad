// Pooling under CUDA.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/pool/pool.h"

LIKENESS_BEGIN_TARGET

void MeanPoolForward(Cuda& device, const PlanesView& x, int factor, const PlanesView& out);
void MeanPoolBackward(Cuda& device, const PlanesView& upstream, int factor, const GradientView& gradient);
void BorderedMeanPoolForward(Cuda& device, const PlanesView& x, int factor, int before, Border border,
                             const PlanesView& out);
void BorderedMeanPoolBackward(Cuda& device, const PlanesView& upstream, int factor, int before, Border border,
                              const GradientView& gradient);

LIKENESS_END_TARGET
