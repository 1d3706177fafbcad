// Padding, cropping and resizing under CUDA.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/ops/load/load_cuda.h"  // Pad may have to load first
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

void PadForward(Cuda& device, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out);
void PadBackward(Cuda& device, const PlanesView& upstream, const Margins& margins, Border border,
                 const GradientView& gradient);
void ResizeForward(Cuda& device, const PlanesView& x, const PlanesView& out);
void ResizeBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient);
void MeanOfResizedForward(Cuda& device, const PlanesView& x, const Shape& resized, double* out);
void MeanOfResizedBackward(Cuda& device, const Shape& resized, const double* upstream, const GradientView& gradient);
void ResizeByCornersForward(Cuda& device, const PlanesView& x, const PlanesView& out);
void ResizeByCornersBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient);

LIKENESS_END_TARGET
