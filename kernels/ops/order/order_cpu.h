// Order statistics on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/order/order.h"
#include "kernels/ops/reduce/reduce_cpu.h"  // MaxBackward serves any extreme

LIKENESS_BEGIN_TARGET

void LowerMedianForward(Cpu&, const PlanesView& x, const PlanesView& scratch, double* out);
void LowerMedianBackward(Cpu&, const PlanesView& x, const double* medians, const double* upstream,
                         const GradientView& gradient);
void MinForward(Cpu&, const PlanesView& x, double* out, int count);

LIKENESS_END_TARGET
