// Permuted axes on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/permute/permute.h"

LIKENESS_BEGIN_TARGET

void PermuteForward(Cpu&, const PlanesView& x, const AxisOrder& order, const PlanesView& out);
void PermuteBackward(Cpu&, const PlanesView& upstream, const AxisOrder& order, const GradientView& gradient);

LIKENESS_END_TARGET
