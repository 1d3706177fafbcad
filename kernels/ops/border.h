// What a filter sees beyond the edge of an image. The words of two worlds clash here, so both are given:
//
//   kValid       nothing: the result is smaller by the taps minus one
//   kZero        zeros                              0 0 | a b c
//   kReplicate   the edge sample                    a a | a b c
//   kReflect101  mirrored, the edge not repeated    c b | a b c   (torch "reflect", numpy "reflect")
//   kSymmetric   mirrored, the edge repeated        b a | a b c   (numpy "symmetric", scipy.ndimage "reflect")
#pragma once

namespace likeness {

enum class Border { kValid, kZero, kReplicate, kReflect101, kSymmetric };

// The sample that stands for index i of an axis of n samples; -1 for a zero. Works for any distance beyond the edge.
constexpr int BorderIndex(int i, int n, Border border) {
  if (i >= 0 && i < n) return i;
  switch (border) {
    case Border::kValid:
    case Border::kZero:
      return -1;
    case Border::kReplicate:
      return i < 0 ? 0 : n - 1;
    case Border::kReflect101: {
      if (n == 1) return 0;
      const int period = 2 * (n - 1);
      i = (i % period + period) % period;
      return i < n ? i : period - i;
    }
    case Border::kSymmetric: {
      const int period = 2 * n;
      i = (i % period + period) % period;
      return i < n ? i : period - 1 - i;
    }
  }
  return -1;
}

}  // namespace likeness
