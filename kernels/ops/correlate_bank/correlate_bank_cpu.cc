#include "kernels/ops/correlate_bank/correlate_bank_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

int SamplesBefore(const Taps& taps, Border border) {
  return border == Border::kValid ? 0 : (static_cast<int>(taps.size()) - 1) / 2;
}

// Which source rows an output row sums.
RowSums StridedSums(const Taps& taps, Border border, int stride, int in_height, int out_height) {
  const int before = SamplesBefore(taps, border);
  return MakeRowSums(out_height, [&](int y, auto add) {
    for (int j = 0; j < static_cast<int>(taps.size()); ++j) {
      add(BorderIndex(y * stride + j - before, in_height, border), taps[j]);
    }
  });
}

// Rows of one channel, filtered horizontally: what a ring holds.
struct FilteredRows {
  int channel;
  const Taps* taps;
  std::vector<Real> weights;
  int slots = 1;
};

// One output plane: weighted sums of filtered rows.
struct OutputPlane {
  struct Term {
    int rows;  // index of its FilteredRows
    RowSums sums;
  };
  int channel;
  std::vector<Term> terms;
};

// Room for all rows of any one sum at once.
int SpanOf(const RowSums& sums) {
  int span = 1;
  for (int y = 0; y < sums.rows(); ++y) {
    if (sums.begin[y] == sums.begin[y + 1]) continue;
    const auto [low, high] =
        std::minmax_element(sums.source.begin() + sums.begin[y], sums.source.begin() + sums.begin[y + 1]);
    span = std::max(span, *high - *low + 1);
  }
  return span;
}

// Makes every output plane row by row. horizontal(filtered_rows, from, to) filters one source row.
template <class Horizontal>
void ApplyBank(const PlanesView& in, std::vector<FilteredRows>& filtered, const std::vector<OutputPlane>& outputs,
               const PlanesView& out, bool accumulate, Horizontal horizontal) {
  std::size_t most_terms = 1;
  for (const OutputPlane& output : outputs) {
    std::size_t count = 0;
    for (const OutputPlane::Term& term : output.terms) {
      FilteredRows& rows = filtered[term.rows];
      rows.slots = std::max(rows.slots, SpanOf(term.sums));
      count += rows.slots;
    }
    most_terms = std::max(most_terms, count);
  }
  const std::ptrdiff_t stride = RowStride(out.shape.width);
  std::vector<int> first_slot;
  int slots = 0;
  for (const FilteredRows& rows : filtered) {
    first_slot.push_back(slots);
    slots += rows.slots;
  }
  const std::int64_t work = std::int64_t{out.shape.width} * static_cast<int>(outputs.size());
  ParallelFor(out.shape.height, work, [&](int begin, int end) {
    Real* ring = RowScratch(slots * stride, 0);
    std::vector<int> held(slots, -1);
    std::vector<const Real*> rows;
    std::vector<Real> weights;
    rows.reserve(most_terms);
    weights.reserve(most_terms);
    for (int y = begin; y < end; ++y) {
      for (const OutputPlane& output : outputs) {
        rows.clear();
        weights.clear();
        for (const OutputPlane::Term& term : output.terms) {
          const FilteredRows& from = filtered[term.rows];
          for (int i = term.sums.begin[y]; i < term.sums.begin[y + 1]; ++i) {
            const int source = term.sums.source[i];
            const int slot = first_slot[term.rows] + source % from.slots;
            Real* row = ring + slot * stride;
            if (held[slot] != source) {
              horizontal(from, Row(in, from.channel, source), row);
              held[slot] = source;
            }
            rows.push_back(row);
            weights.push_back(term.sums.weight[i]);
          }
        }
        CombineRows(rows.data(), weights.data(), static_cast<int>(rows.size()), out.shape.width, accumulate,
                    Row(out, output.channel, y));
      }
    }
  });
}

// The index of these filtered rows in the list, to which they are added when new.
int FindRows(std::vector<FilteredRows>& filtered, int channel, const Taps& taps) {
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    if (filtered[i].channel == channel && *filtered[i].taps == taps) return static_cast<int>(i);
  }
  filtered.push_back({channel, &taps, {}});
  return static_cast<int>(filtered.size()) - 1;
}

// A row with its border, as wide as the taps reach.
const Real* Bordered(const Real* from, int width, int before, int after, Border border) {
  if (before + after == 0) return from;
  Real* padded = RowScratch(width + before + after, 1);
  std::copy(from, from + width, padded + before);
  for (int i = 0; i < before; ++i) {
    const int source = BorderIndex(i - before, width, border);
    padded[i] = source < 0 ? Real(0) : from[source];
  }
  for (int i = 0; i < after; ++i) {
    const int source = BorderIndex(width + i, width, border);
    padded[before + width + i] = source < 0 ? Real(0) : from[source];
  }
  return padded;
}

}  // namespace

void CorrelateBankForward(Cpu&, const PlanesView& x, const KernelBank& bank, const PlanesView& out) {
  const int width = x.shape.width;
  // Channel by channel, so that its rows stay in cache for all filters that read it.
  for (int source = 0; source < x.shape.channels; ++source) {
    std::vector<FilteredRows> filtered;
    std::vector<OutputPlane> outputs;
    for (std::size_t i = 0; i < bank.filters.size(); ++i) {
      if (bank.filters[i].source != source) continue;
      OutputPlane& output = outputs.emplace_back();
      output.channel = static_cast<int>(i);
      for (const Kernel::Term& term : bank.filters[i].kernel.terms) {
        output.terms.push_back(
            {FindRows(filtered, source, term.horizontal),
             StridedSums(term.vertical, bank.border, bank.stride, x.shape.height, out.shape.height)});
      }
    }
    if (outputs.empty()) continue;
    for (FilteredRows& rows : filtered) rows.weights.assign(rows.taps->begin(), rows.taps->end());
    ApplyBank(x, filtered, outputs, out, false, [&](const FilteredRows& rows, const Real* from, Real* to) {
      const int count = static_cast<int>(rows.weights.size());
      const int before = SamplesBefore(*rows.taps, bank.border);
      const int after = bank.border == Border::kValid ? 0 : count - 1 - before;
      from = Bordered(from, width, before, after, bank.border);
      if (bank.stride == 1) return FilterRow(from, rows.weights.data(), count, out.shape.width, to);
      const int dense = (out.shape.width - 1) * bank.stride + 1;
      Real* all = RowScratch(dense, 2);
      FilterRow(from, rows.weights.data(), count, dense, all);
      for (int i = 0; i < out.shape.width; ++i) to[i] = all[i * bank.stride];
    });
  }
}

void CorrelateBankBackward(Cpu&, const PlanesView& upstream, const KernelBank& bank, const GradientView& gradient) {
  const PlanesView& x = gradient.planes;
  const int width = x.shape.width;
  const int spread = (upstream.shape.width - 1) * bank.stride + 1;  // of an upstream row, with zeros between
  for (int source = 0; source < x.shape.channels; ++source) {
    std::vector<FilteredRows> filtered;
    OutputPlane output;
    output.channel = source;
    for (std::size_t i = 0; i < bank.filters.size(); ++i) {
      if (bank.filters[i].source != source) continue;
      for (const Kernel::Term& term : bank.filters[i].kernel.terms) {
        output.terms.push_back(
            {FindRows(filtered, static_cast<int>(i), term.horizontal),
             StridedSums(term.vertical, bank.border, bank.stride, x.shape.height, upstream.shape.height)
                 .Transposed(x.shape.height)});
      }
    }
    // A channel that no filter reads gets a gradient of zero: a sum of no rows.
    for (FilteredRows& rows : filtered) rows.weights.assign(rows.taps->rbegin(), rows.taps->rend());
    ApplyBank(upstream, filtered, {output}, x, gradient.accumulate,
              [&](const FilteredRows& rows, const Real* from, Real* to) {
                // The full correlation covers the padded image; what fell on padding is folded back.
                const int count = static_cast<int>(rows.weights.size());
                const int before = SamplesBefore(*rows.taps, bank.border);
                Real* wide = RowScratch(spread + 2 * (count - 1), 1);
                std::fill(wide, wide + spread + 2 * (count - 1) + kLanes, Real(0));
                for (int i = 0; i < upstream.shape.width; ++i) wide[count - 1 + i * bank.stride] = from[i];
                const int full_width = spread + count - 1;
                Real* full = RowScratch(full_width, 2);
                FilterRow(wide, rows.weights.data(), count, full_width, full);
                std::fill(to, to + width, Real(0));
                const int inside = std::min(full_width - before, width);
                std::copy(full + before, full + before + inside, to);
                if (bank.border == Border::kValid || bank.border == Border::kZero) return;
                for (int i = 0; i < before; ++i) to[BorderIndex(i - before, width, bank.border)] += full[i];
                for (int i = before + width; i < full_width; ++i) {
                  to[BorderIndex(i - before, width, bank.border)] += full[i];
                }
              });
  }
}

LIKENESS_END_TARGET
