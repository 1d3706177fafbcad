// Filter banks under CUDA: made by the host, transforms by cuFFT.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/filter_bank/filter_bank.h"

LIKENESS_BEGIN_TARGET

void BandsForward(Cuda& device, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out);
void BandsBackward(Cuda& device, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient);
void BankPlanesForward(Cuda& device, const BankSpec& spec, int first, const PlanesView& out);
void BankConstantForward(Cuda& device, const BankSpec& spec, int index, double* out);

LIKENESS_END_TARGET
