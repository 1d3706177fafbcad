#include "kernels/ops/correlate/correlate_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// Samples of the border before the image; behind it come count - 1 - Before.
int Before(const Taps& taps, Border border) {
  return border == Border::kValid ? 0 : (static_cast<int>(taps.size()) - 1) / 2;
}

RowSums VerticalSums(const Taps& taps, Border border, int in_height, int out_height) {
  const int before = Before(taps, border);
  return MakeRowSums(out_height, [&](int y, auto add) {
    for (int j = 0; j < static_cast<int>(taps.size()); ++j) {
      add(BorderIndex(y + j - before, in_height, border), taps[j]);
    }
  });
}

// Taps without the zeros at either end, and where they begin.
struct TrimmedTaps {
  std::vector<Real> taps;
  int first = 0;
};
TrimmedTaps Trim(const Taps& taps) {
  int begin = 0, end = static_cast<int>(taps.size());
  while (begin < end - 1 && taps[begin] == 0.0) ++begin;
  while (end > begin + 1 && taps[end - 1] == 0.0) --end;
  return {std::vector<Real>(taps.begin() + begin, taps.begin() + end), begin};
}

}  // namespace

void CorrelateForward(Cpu&, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out) {
  const int in_width = x.shape.width;
  for (std::size_t term = 0; term < kernel.terms.size(); ++term) {
    const auto& [vertical, horizontal] = kernel.terms[term];
    const RowSums sums = VerticalSums(vertical, border, x.shape.height, out.shape.height);
    const TrimmedTaps taps = Trim(horizontal);
    const int count = static_cast<int>(taps.taps.size());
    const int before = Before(horizontal, border);
    const int after = border == Border::kValid ? 0 : static_cast<int>(horizontal.size()) - 1 - before;
    ApplySeparable(x, sums, out, term > 0, [&](const Real* from, Real* to) {
      if (before + after > 0) {
        Real* padded = RowScratch(in_width + before + after, 1);
        std::copy(from, from + in_width, padded + before);
        for (int i = 0; i < before; ++i) {
          const int source = BorderIndex(i - before, in_width, border);
          padded[i] = source < 0 ? Real(0) : from[source];
        }
        for (int i = 0; i < after; ++i) {
          const int source = BorderIndex(in_width + i, in_width, border);
          padded[before + in_width + i] = source < 0 ? Real(0) : from[source];
        }
        from = padded;
      }
      FilterRow(from + taps.first, taps.taps.data(), count, out.shape.width, to);
    });
  }
}

void CorrelateBackward(Cpu&, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient) {
  const PlanesView& x = gradient.planes;
  const int up_width = upstream.shape.width;
  const int width = x.shape.width;
  for (std::size_t term = 0; term < kernel.terms.size(); ++term) {
    const auto& [vertical, horizontal] = kernel.terms[term];
    const RowSums sums =
        VerticalSums(vertical, border, x.shape.height, upstream.shape.height).Transposed(x.shape.height);
    const int count = static_cast<int>(horizontal.size());
    const TrimmedTaps taps = Trim(Taps(horizontal.rbegin(), horizontal.rend()));
    const int taps_count = static_cast<int>(taps.taps.size());
    const int before = Before(horizontal, border);
    const int after = up_width + count - 1 - before - width;
    ApplySeparable(upstream, sums, x, gradient.accumulate || term > 0, [&](const Real* from, Real* to) {
      // The full correlation covers the padded image: [-before, width + after). What falls on the padding is folded
      // back to where it came from.
      Real* wide = RowScratch(up_width + 2 * (count - 1), 1);
      std::fill(wide, wide + count - 1, Real(0));
      std::copy(from, from + up_width, wide + count - 1);
      std::fill(wide + count - 1 + up_width, wide + 2 * (count - 1) + up_width + kLanes, Real(0));
      const Real* at = wide + before + taps.first;
      FilterRow(at, taps.taps.data(), taps_count, width, to);
      if (border == Border::kValid || border == Border::kZero) return;
      Real* margin = RowScratch(std::max(before, after), 2);
      FilterRow(at - before, taps.taps.data(), taps_count, before, margin);
      for (int i = 0; i < before; ++i) to[BorderIndex(i - before, width, border)] += margin[i];
      FilterRow(at + width, taps.taps.data(), taps_count, after, margin);
      for (int i = 0; i < after; ++i) to[BorderIndex(width + i, width, border)] += margin[i];
    });
  }
}

LIKENESS_END_TARGET
