// Correlation on the CPU.
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

void CorrelateForward(Cpu&, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out);
void CorrelateBackward(Cpu&, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient);

LIKENESS_END_TARGET
