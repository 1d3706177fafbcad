// Reductions on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

void ReduceForward(Cpu&, const PlanesView& x, Reduction reduction, double* out, int count);
void SumBackward(Cpu&, Reduction reduction, const double* upstream, int count, const GradientView& gradient);
void MaxBackward(Cpu&, const PlanesView& x, const double* maxima, const double* upstream, int count,
                 const GradientView& gradient);
void DeviationForward(Cpu&, const PlanesView& x, double divisor, double* mean, double* out);
void DeviationBackward(Cpu&, const PlanesView& x, double divisor, const double* mean, const double* deviation,
                       const double* upstream, const GradientView& gradient);
void MeanOfForward(Cpu&, const double* x, int count, double* out);
void MeanOfBackward(Cpu&, const double* upstream, const GradientView& gradient);

LIKENESS_END_TARGET
