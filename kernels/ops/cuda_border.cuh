// The transpose of a border rule, for kernels that gather a gradient.
#pragma once

#include "kernels/ops/border.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

// body(p) for every p in [-before, n + after) for which BorderIndex(p, n, border) is i: first i itself, then what lies
// beyond the edges, in order. Negative margins crop.
template <class Body>
__device__ __forceinline__ void ForEachImage(int i, int n, int before, int after, Border border, Body body) {
  if (i >= -before && i < n + after) body(i);
  if (border == Border::kValid || border == Border::kZero) return;
  // Only samples this near an edge are ever repeated beyond it; when a margin is longer than the axis, all are.
  if (i > before && i < n - 1 - after) return;
  for (int p = -before; p < 0; ++p) {
    if (BorderIndex(p, n, border) == i) body(p);
  }
  for (int p = n; p < n + after; ++p) {
    if (BorderIndex(p, n, border) == i) body(p);
  }
}

LIKENESS_END_TARGET
