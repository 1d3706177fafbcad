// Pooling on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/pool/pool.h"

LIKENESS_BEGIN_TARGET

void MeanPoolForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out);
void MeanPoolBackward(Cpu&, const PlanesView& upstream, int factor, const GradientView& gradient);
void BorderedMeanPoolForward(Cpu&, const PlanesView& x, int factor, int before, Border border, const PlanesView& out);
void BorderedMeanPoolBackward(Cpu&, const PlanesView& upstream, int factor, int before, Border border,
                              const GradientView& gradient);

LIKENESS_END_TARGET
