// How a metric whose score is the mean of a spatial map makes its score. Every such metric ends here.
#pragma once

#include "kernels/base/target.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

// The mean over all samples of `map`, whose first sample lies at (map_offset, map_offset) of the image.
template <class T, bool tracked>
Output<tracked> MeanScore(T& t, const Planes<tracked>& map, int map_offset = 0) {
  return {Mean(t, map), t.wants_map() ? map.Detached() : Planes<false>(), map_offset};
}

LIKENESS_END_TARGET
