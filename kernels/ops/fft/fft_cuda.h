// Spectra under CUDA, by cuFFT.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/fft/fft_plans.h"

LIKENESS_BEGIN_TARGET

// Notes a transform as FftPlans has it, in place where `in` is `out`. The way from complex to real overwrites `in`,
// which must be the spectrum of real planes; `inverse` matters from complex to complex.
void Transform(Cuda& device, const FftSpec& spec, bool inverse, void* in, void* out);

void RealFftForward(Cuda& device, const PlanesView& x, const PlanesView& scratch, const PlanesView& out);
void RealFftBackward(Cuda& device, const PlanesView& upstream, const PlanesView& scratch, const GradientView& gradient);
void InverseRealFftForward(Cuda& device, const PlanesView& x, const PlanesView& scratch, const PlanesView& out);
void InverseRealFftBackward(Cuda& device, const PlanesView& upstream, const PlanesView& scratch,
                            const GradientView& gradient);
void ExpandForward(Cuda& device, const PlanesView& x, const PlanesView& out);
void ExpandBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient);
void SelectForward(Cuda& device, const PlanesView& x, int first, const PlanesView& out);
void SelectBackward(Cuda& device, const PlanesView& upstream, int first, const GradientView& gradient);
void SpectrumMeanForward(Cuda& device, const PlanesView& x, int full_width, double* out);
void SpectrumMeanBackward(Cuda& device, const double* upstream, int full_width, const GradientView& gradient);
void FullSpectrumForward(Cuda& device, const PlanesView& x, const PlanesView& out);

LIKENESS_END_TARGET
