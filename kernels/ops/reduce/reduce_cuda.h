// Reductions under CUDA: partial sums of blocks in double, then one block over the partials. No atomics; the order of a
// sum depends on the shape alone.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

void ReduceForward(Cuda& device, const PlanesView& x, Reduction reduction, double* out, int count);
void SumBackward(Cuda& device, Reduction reduction, const double* upstream, int count, const GradientView& gradient);
void MaxBackward(Cuda& device, const PlanesView& x, const double* maxima, const double* upstream, int count,
                 const GradientView& gradient);
void DeviationForward(Cuda& device, const PlanesView& x, double divisor, double* mean, double* out);
void DeviationBackward(Cuda& device, const PlanesView& x, double divisor, const double* mean, const double* deviation,
                       const double* upstream, const GradientView& gradient);
void MeanOfForward(Cuda& device, const double* x, int count, double* out);
void MeanOfBackward(Cuda& device, const double* upstream, const GradientView& gradient);

LIKENESS_END_TARGET
