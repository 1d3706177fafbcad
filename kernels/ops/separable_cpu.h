// The engine under correlation, pooling, padding and resizing: each is a linear map of columns times a linear map of
// rows. Rows go through a horizontal function once each, into a ring that stays in cache; output rows are weighted sums
// of those.
#pragma once

#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

// For every output row, which source rows it sums and with what weight. Compressed rows.
struct RowSums {
  std::vector<int> begin;  // of output row y: [begin[y], begin[y + 1])
  std::vector<int> source;
  std::vector<Real> weight;

  int rows() const { return static_cast<int>(begin.size()) - 1; }
  // The same map the other way: source rows become output rows.
  RowSums Transposed(int source_rows) const;
};

// Builds RowSums from a function that lists an output row: list(y, add) calls add(source, weight).
template <class List>
RowSums MakeRowSums(int rows, List list) {
  RowSums sums;
  sums.begin.reserve(rows + 1);
  sums.begin.push_back(0);
  for (int y = 0; y < rows; ++y) {
    list(y, [&](int source, double weight) {
      if (source < 0 || weight == 0.0) return;
      sums.source.push_back(source);
      sums.weight.push_back(static_cast<Real>(weight));
    });
    sums.begin.push_back(static_cast<int>(sums.source.size()));
  }
  return sums;
}

// to = or += the weighted sum of rows.
void CombineRows(const Real* const* rows, const Real* weights, int count, int width, bool accumulate, Real* to);

// horizontal(from, to): maps a source row to `out`'s width. Source and output have the same channels.
template <class Horizontal>
void ApplySeparable(const PlanesView& in, const RowSums& vertical, const PlanesView& out, bool accumulate,
                    Horizontal horizontal) {
  const int height = out.shape.height;
  int widest = 1, span = 1;
  for (int y = 0; y < height; ++y) {
    widest = std::max(widest, vertical.begin[y + 1] - vertical.begin[y]);
    for (int i = vertical.begin[y]; i < vertical.begin[y + 1]; ++i) {
      span = std::max(span, std::abs(vertical.source[i] - vertical.source[vertical.begin[y]]) + 1);
    }
  }
  // Room for all the rows of one sum at once, wherever in it the first one lies; a row that was evicted is made again.
  const int slots = 2 * span;
  const std::ptrdiff_t stride = RowStride(out.shape.width);
  ParallelFor(out.shape.channels * height, out.shape.width, [&](int begin, int end) {
    Real* ring = RowScratch(slots * stride, 0);
    std::vector<std::int64_t> held(slots, -1);
    std::vector<const Real*> rows(widest);
    for (int row = begin; row < end; ++row) {
      const int channel = row / height;
      const int y = row % height;
      const int first = vertical.begin[y];
      const int count = vertical.begin[y + 1] - first;
      for (int i = 0; i < count; ++i) {
        const int source = vertical.source[first + i];
        const std::int64_t key = std::int64_t{channel} * in.shape.height + source;
        const int slot = static_cast<int>(key % slots);
        Real* filtered = ring + slot * stride;
        if (held[slot] != key) {
          horizontal(Row(in, channel, source), filtered);
          held[slot] = key;
        }
        rows[i] = filtered;
      }
      CombineRows(rows.data(), vertical.weight.data() + first, count, out.shape.width, accumulate,
                  Row(out, channel, y));
    }
  });
}

// to[x] = sum of taps[j] * from[x + j], for x in [0, width).
void FilterRow(const Real* from, const Real* taps, int count, int width, Real* to);

LIKENESS_END_TARGET
