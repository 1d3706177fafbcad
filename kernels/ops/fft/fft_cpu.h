// Spectra on the CPU, by pocketfft.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/fft/fft.h"

LIKENESS_BEGIN_TARGET

void RealFftForward(Cpu&, const PlanesView& x, const PlanesView& scratch, const PlanesView& out);
void RealFftBackward(Cpu&, const PlanesView& upstream, const PlanesView& scratch, const GradientView& gradient);
void InverseRealFftForward(Cpu&, const PlanesView& x, const PlanesView& scratch, const PlanesView& out);
void InverseRealFftBackward(Cpu&, const PlanesView& upstream, const PlanesView& scratch, const GradientView& gradient);
void ExpandForward(Cpu&, const PlanesView& x, const PlanesView& out);
void ExpandBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient);
void SelectForward(Cpu&, const PlanesView& x, int first, const PlanesView& out);
void SelectBackward(Cpu&, const PlanesView& upstream, int first, const GradientView& gradient);
void SpectrumMeanForward(Cpu&, const PlanesView& x, int full_width, double* out);
void SpectrumMeanBackward(Cpu&, const double* upstream, int full_width, const GradientView& gradient);
void FullSpectrumForward(Cpu&, const PlanesView& x, const PlanesView& out);

LIKENESS_END_TARGET
