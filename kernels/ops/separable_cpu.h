// The engine under correlation, pooling, padding and resizing: each is a linear map of columns times a linear map of
// rows. Rows go through a horizontal function once each, into a ring that stays in cache; output rows are weighted sums
// of those.
//
// Neighbouring output rows sum nearly the same rows. Up to kRowsTogether of them are made at once, so that a row that
// is loaded serves them all, with a weight of 0 in a sum that it is no part of. Every sum runs in the order of the
// source rows, and a term of 0 changes nothing: the result is the same however output rows come together.
#pragma once

#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

// For every output row, which source rows it sums and with what weight: ascending, none twice. Compressed rows.
struct RowSums {
  std::vector<int> begin;  // of output row y: [begin[y], begin[y + 1])
  std::vector<int> source;
  std::vector<Real> weight;

  int rows() const { return static_cast<int>(begin.size()) - 1; }
  // The same map the other way: source rows become output rows.
  RowSums Transposed(int source_rows) const;
  // How many source rows output rows [y, y + together) reach over, 0 if they sum none.
  int Reach(int y, int together) const;
};

// Sorts by source and adds up the weights of equal ones.
void MergeSources(std::vector<std::pair<int, double>>& row);

// Builds RowSums from a function that lists an output row: list(y, add) calls add(source, weight).
template <class List>
RowSums MakeRowSums(int rows, List list) {
  RowSums sums;
  sums.begin.reserve(rows + 1);
  sums.begin.push_back(0);
  std::vector<std::pair<int, double>> row;
  for (int y = 0; y < rows; ++y) {
    row.clear();
    bool ascending = true;
    list(y, [&](int source, double weight) {
      if (source < 0 || weight == 0.0) return;
      ascending &= row.empty() || row.back().first < source;
      row.emplace_back(source, weight);
    });
    if (!ascending) MergeSources(row);
    for (const auto& [source, weight] : row) {
      sums.source.push_back(source);
      sums.weight.push_back(static_cast<Real>(weight));
    }
    sums.begin.push_back(static_cast<int>(sums.source.size()));
  }
  return sums;
}

inline constexpr int kRowsTogether = 4;

// How many output rows to make together, 1, 2 or 4: the most for which terms of 0 are few.
int RowsTogether(const std::vector<const RowSums*>& sums);
// The most source rows that so many output rows reach over.
int LongestReach(const RowSums& sums, int together);

// A few output rows on their way: the rows that they sum, and each one's weights.
class RowBatch {
 public:
  void Start(int together) {
    together_ = together;
    rows_.clear();
    weights_.clear();
  }
  // Output rows [y, y + together) of `sums`; fetch(source) is where a source row lies.
  template <class Fetch>
  void Add(const RowSums& sums, int y, Fetch fetch) {
    const std::size_t first = rows_.size();
    AddWeights(sums, y);
    rows_.resize(first + sources_.size());
    for (std::size_t i = 0; i < sources_.size(); ++i) rows_[first + i] = fetch(sources_[i]);
  }
  // to[m] = or += the m-th sum.
  void Combine(int width, bool accumulate, Real* const* to) const;

 private:
  // Lists the sources of these output rows, and appends their weights.
  void AddWeights(const RowSums& sums, int y);

  int together_ = 1;
  std::vector<int> sources_;
  std::vector<const Real*> rows_;
  std::vector<Real> weights_;  // of a source row in each of the sums, then of the next
};

// to = or += the weighted sum of rows.
void CombineRows(const Real* const* rows, const Real* weights, int count, int width, bool accumulate, Real* to);

// horizontal(from, to): maps a source row to `out`'s width. Source and output have the same channels.
template <class Horizontal>
void ApplySeparable(const PlanesView& in, const RowSums& vertical, const PlanesView& out, bool accumulate,
                    Horizontal horizontal) {
  const int height = out.shape.height;
  const int most = RowsTogether({&vertical});
  // Room for all the rows of one batch at once; a row that was evicted is made again.
  const int slots = LongestReach(vertical, most);
  const std::ptrdiff_t stride = RowStride(out.shape.width);
  ParallelFor(out.shape.channels * height, out.shape.width, [&](int begin, int end) {
    Real* ring = RowScratch(slots * stride, 0);
    std::vector<std::int64_t> held(slots, -1);
    RowBatch batch;
    for (int row = begin; row < end;) {
      const int channel = row / height;
      const int y = row % height;
      int together = most;
      while (together > std::min(height - y, end - row)) together /= 2;
      batch.Start(together);
      batch.Add(vertical, y, [&](int source) {
        const std::int64_t key = std::int64_t{channel} * in.shape.height + source;
        const int slot = static_cast<int>(key % slots);
        Real* filtered = ring + slot * stride;
        if (held[slot] != key) {
          horizontal(Row(in, channel, source), filtered);
          held[slot] = key;
        }
        return filtered;
      });
      Real* to[kRowsTogether];
      for (int m = 0; m < together; ++m) to[m] = Row(out, channel, y + m);
      batch.Combine(out.shape.width, accumulate, to);
      row += together;
    }
  });
}

// to[k][x] = sum of taps[k][j] * from[x + j], for x in [0, width), for each k < kernels <= kMaxKernels.
inline constexpr int kMaxKernels = 3;
void FilterRow(const Real* from, const Real* const* taps, int kernels, int count, int width, Real* const* to);
inline void FilterRow(const Real* from, const Real* taps, int count, int width, Real* to) {
  FilterRow(from, &taps, 1, count, width, &to);
}

LIKENESS_END_TARGET
