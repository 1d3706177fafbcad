// Loading and unloading on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/load/load.h"

LIKENESS_BEGIN_TARGET

void LoadForward(Cpu&, const ImageView& image, double background, const PlanesView& out);

// The gradient with respect to the planes, as a tensor in the submitted channels and layout of `image`.
Tensor UnloadGradient(const PlanesView& gradient, const ImageView& image, double background);

// Planes as a tensor.
Tensor UnloadPlanes(const PlanesView& planes, Layout layout, int offset);

LIKENESS_END_TARGET
