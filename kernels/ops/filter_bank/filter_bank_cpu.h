// Filter banks on the CPU, by pocketfft.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/filter_bank/filter_bank.h"

LIKENESS_BEGIN_TARGET

void BandsForward(Cpu&, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out);
void BandsBackward(Cpu&, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient);
void BankPlanesForward(Cpu&, const BankSpec& spec, int first, const PlanesView& out);
void BankConstantForward(Cpu&, const BankSpec& spec, int index, double* out);

LIKENESS_END_TARGET
