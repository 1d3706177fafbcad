// Pyramid steps on the CPU.
#pragma once

#include "kernels/ops/cpu.h"
#include "kernels/ops/pyramid/pyramid.h"

LIKENESS_BEGIN_TARGET

void PyramidDownForward(Cpu&, const PlanesView& x, const Taps& taps, const PlanesView& out);
void PyramidDownBackward(Cpu&, const PlanesView& upstream, const Taps& taps, const GradientView& gradient);
void PyramidUpForward(Cpu&, const PlanesView& x, const Taps& taps, const PlanesView& out);
void PyramidUpBackward(Cpu&, const PlanesView& upstream, const Taps& taps, const GradientView& gradient);

LIKENESS_END_TARGET
