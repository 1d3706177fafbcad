#pragma once

#include "kernels/ops/butteraugli/butteraugli.h"
#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

// NaN throughout when libjxl returns an error: the scorer fails the metric with INTERNAL.
void ButteraugliForward(Cpu&, const PlanesView& reference, const PlanesView& distorted,
                        const ButteraugliViewing& viewing, const PlanesView& samples, const PlanesView& out);
void ButteraugliNormForward(Cpu&, const PlanesView& distances, double p, double* out);

LIKENESS_END_TARGET
