// CorrelateBank under CUDA.
#pragma once

#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

void CorrelateBankForward(Cuda& device, const PlanesView& x, const KernelBank& bank, const PlanesView& out);
void CorrelateBankBackward(Cuda& device, const PlanesView& upstream, const KernelBank& bank,
                           const GradientView& gradient);

LIKENESS_END_TARGET
