// Geometry on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/load/load_cpu.h"  // Pad may have to load first
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

void PadForward(Cpu&, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out);
void PadBackward(Cpu&, const PlanesView& upstream, const Margins& margins, Border border, const GradientView& gradient);
void ResizeForward(Cpu&, const PlanesView& x, const PlanesView& out);
void ResizeBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient);
void MeanOfResizedForward(Cpu&, const PlanesView& x, const Shape& resized, double* out);
void MeanOfResizedBackward(Cpu&, const Shape& resized, const double* upstream, const GradientView& gradient);
void ResizeByCornersForward(Cpu&, const PlanesView& x, const PlanesView& out);
void ResizeByCornersBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient);

LIKENESS_END_TARGET
