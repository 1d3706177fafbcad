// CorrelateBank on the CPU.
#pragma once

#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

void CorrelateBankForward(Cpu&, const PlanesView& x, const KernelBank& bank, const PlanesView& out);
void CorrelateBankBackward(Cpu&, const PlanesView& upstream, const KernelBank& bank, const GradientView& gradient);

LIKENESS_END_TARGET
