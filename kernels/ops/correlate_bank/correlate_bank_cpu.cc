#include "kernels/ops/correlate_bank/correlate_bank_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

int SamplesBefore(const Taps& taps, Border border) {
  return border == Border::kValid ? 0 : (static_cast<int>(taps.size()) - 1) / 2;
}
int SamplesAfter(const Taps& taps, Border border) {
  return border == Border::kValid ? 0 : static_cast<int>(taps.size()) - 1 - SamplesBefore(taps, border);
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
  const Taps* taps;
  // Without the zeros at either end, and how many of those came first.
  std::vector<Real> weights;
  int first = 0;

  // Takes the taps in their order or backwards.
  template <class Iterator>
  void SetWeights(Iterator begin, Iterator end) {
    const auto is_zero = [](double tap) { return tap == 0.0; };
    const auto from = std::find_if_not(begin, end, is_zero);
    first = static_cast<int>(from - begin);
    weights.assign(from, end);
    while (weights.size() > 1 && weights.back() == 0) weights.pop_back();
    if (weights.empty()) {
      weights = {Real(0)};
      first = 0;
    }
  }
};

// All that is filtered of one channel: a row of it is read once for all.
struct SourceRows {
  int channel;
  std::vector<FilteredRows> filtered;

  // The index of these filtered rows, which are added when new.
  int Find(const Taps& taps) {
    for (std::size_t i = 0; i < filtered.size(); ++i) {
      if (*filtered[i].taps == taps) return static_cast<int>(i);
    }
    filtered.push_back({&taps, {}});
    return static_cast<int>(filtered.size()) - 1;
  }
};

// One output plane: weighted sums of filtered rows.
struct OutputPlane {
  struct Term {
    int source;  // index of its SourceRows
    int rows;    // of its FilteredRows there
    RowSums sums;
  };
  int channel;
  std::vector<Term> terms;
};

// Makes every output plane. horizontal(source_rows, from, to) filters one source row, to[i] by the i-th filter.
template <class Horizontal>
void ApplyBank(const PlanesView& in, const std::vector<SourceRows>& sources, const std::vector<OutputPlane>& outputs,
               const PlanesView& out, bool accumulate, Horizontal horizontal) {
  std::vector<const RowSums*> sums;
  for (const OutputPlane& output : outputs) {
    for (const OutputPlane::Term& term : output.terms) sums.push_back(&term.sums);
  }
  const int most = RowsTogether(sums);
  // Of each source a ring of slots, each of a row for every filter; all rows of one batch have room at once.
  struct Ring {
    int first_row = 0, slots = 1, filters = 1, first_held = 0;
  };
  std::vector<Ring> rings(sources.size());
  for (const OutputPlane& output : outputs) {
    for (const OutputPlane::Term& term : output.terms) {
      Ring& ring = rings[term.source];
      ring.slots = std::max(ring.slots, LongestReach(term.sums, most));
    }
  }
  int ring_rows = 0, all_slots = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    rings[i].filters = static_cast<int>(sources[i].filtered.size());
    rings[i].first_row = ring_rows;
    rings[i].first_held = all_slots;
    ring_rows += rings[i].slots * rings[i].filters;
    all_slots += rings[i].slots;
  }
  const std::ptrdiff_t stride = RowStride(out.shape.width);
  const std::int64_t work = std::int64_t{out.shape.width} * static_cast<int>(outputs.size());
  ParallelFor(out.shape.height, work, [&](int begin, int end) {
    Real* memory = RowScratch(ring_rows * stride, 0);
    std::vector<int> held(all_slots, -1);
    std::vector<Real*> filtered;
    RowBatch batch;
    for (int y = begin; y < end;) {
      int together = most;
      while (together > end - y) together /= 2;
      for (const OutputPlane& output : outputs) {
        batch.Start(together);
        for (const OutputPlane::Term& term : output.terms) {
          const Ring& ring = rings[term.source];
          batch.Add(term.sums, y, [&](int row) {
            const int slot = row % ring.slots;
            Real* const at = memory + (ring.first_row + slot * ring.filters) * stride;
            if (held[ring.first_held + slot] != row) {
              filtered.clear();
              for (int i = 0; i < ring.filters; ++i) filtered.push_back(at + i * stride);
              const SourceRows& source = sources[term.source];
              horizontal(source, Row(in, source.channel, row), filtered.data());
              held[ring.first_held + slot] = row;
            }
            return at + term.rows * stride;
          });
        }
        Real* to[kRowsTogether];
        for (int m = 0; m < together; ++m) to[m] = Row(out, output.channel, y + m);
        batch.Combine(out.shape.width, accumulate, to);
      }
      y += together;
    }
  });
}

// Filters a row by all filters of a source; at(rows) is where the samples under its first tap begin. Those with equally
// many taps go together.
template <class At>
void FilterAll(const SourceRows& source, At at, int width, Real* const* to) {
  const std::vector<FilteredRows>& filtered = source.filtered;
  for (std::size_t i = 0; i < filtered.size();) {
    const Real* const from = at(filtered[i]) + filtered[i].first;
    const std::size_t count = filtered[i].weights.size();
    std::array<const Real*, kMaxKernels> taps;
    int kernels = 0;
    const std::size_t begin = i;
    for (; i < filtered.size() && kernels < kMaxKernels && filtered[i].weights.size() == count &&
           at(filtered[i]) + filtered[i].first == from;
         ++i) {
      taps[kernels++] = filtered[i].weights.data();
    }
    FilterRow(from, taps.data(), kernels, static_cast<int>(count), width, to + begin);
  }
}

// A row with its border on both sides.
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
  for (int channel = 0; channel < x.shape.channels; ++channel) {
    std::vector<SourceRows> sources{{channel, {}}};
    SourceRows& source = sources.front();
    std::vector<OutputPlane> outputs;
    for (std::size_t i = 0; i < bank.filters.size(); ++i) {
      if (bank.filters[i].source != channel) continue;
      OutputPlane& output = outputs.emplace_back();
      output.channel = static_cast<int>(i);
      for (const Kernel::Term& term : bank.filters[i].kernel.terms) {
        output.terms.push_back(
            {0, source.Find(term.horizontal),
             StridedSums(term.vertical, bank.border, bank.stride, x.shape.height, out.shape.height)});
      }
    }
    if (outputs.empty()) continue;
    int before = 0, after = 0;
    for (FilteredRows& rows : source.filtered) {
      rows.SetWeights(rows.taps->begin(), rows.taps->end());
      before = std::max(before, SamplesBefore(*rows.taps, bank.border));
      after = std::max(after, SamplesAfter(*rows.taps, bank.border));
    }
    ApplyBank(x, sources, outputs, out, false, [&](const SourceRows& source, const Real* from, Real* const* to) {
      const Real* const padded = Bordered(from, width, before, after, bank.border);
      const auto at = [&](const FilteredRows& rows) {
        return padded + before - SamplesBefore(*rows.taps, bank.border);
      };
      if (bank.stride == 1) return FilterAll(source, at, out.shape.width, to);
      const int dense = (out.shape.width - 1) * bank.stride + 1;
      Real* all = RowScratch(dense, 2);
      for (std::size_t k = 0; k < source.filtered.size(); ++k) {
        const FilteredRows& rows = source.filtered[k];
        FilterRow(at(rows) + rows.first, rows.weights.data(), static_cast<int>(rows.weights.size()), dense, all);
        for (int i = 0; i < out.shape.width; ++i) to[k][i] = all[i * bank.stride];
      }
    });
  }
}

void CorrelateBankBackward(Cpu&, const PlanesView& upstream, const KernelBank& bank, const GradientView& gradient) {
  const PlanesView& x = gradient.planes;
  const int width = x.shape.width;
  const int spread = (upstream.shape.width - 1) * bank.stride + 1;  // of an upstream row, with zeros between
  for (int channel = 0; channel < x.shape.channels; ++channel) {
    std::vector<SourceRows> sources;
    OutputPlane output;
    output.channel = channel;
    for (std::size_t i = 0; i < bank.filters.size(); ++i) {
      if (bank.filters[i].source != channel) continue;
      SourceRows& source = sources.emplace_back();
      source.channel = static_cast<int>(i);
      for (const Kernel::Term& term : bank.filters[i].kernel.terms) {
        output.terms.push_back(
            {static_cast<int>(sources.size()) - 1, source.Find(term.horizontal),
             StridedSums(term.vertical, bank.border, bank.stride, x.shape.height, upstream.shape.height)
                 .Transposed(x.shape.height)});
      }
      for (FilteredRows& rows : source.filtered) rows.SetWeights(rows.taps->rbegin(), rows.taps->rend());
    }
    // A channel that no filter reads gets a gradient of zero: a sum of no rows.
    ApplyBank(upstream, sources, {output}, x, gradient.accumulate,
              [&](const SourceRows& source, const Real* from, Real* const* to) {
                // The full correlation covers the padded image: [-before, width + after). What falls on the padding is
                // folded back.
                const Taps& taps = *source.filtered[0].taps;  // a filter's terms are all of one size
                const int count = static_cast<int>(taps.size());
                const int before = SamplesBefore(taps, bank.border);
                const int full = std::max(spread + count - 1, before + width);
                Real* wide = RowScratch(full + count - 1, 1);
                Real* const end = wide + full + count - 1 + kLanes;
                if (bank.stride == 1) {
                  std::fill(wide, wide + count - 1, Real(0));
                  std::fill(std::copy(from, from + spread, wide + count - 1), end, Real(0));
                } else {
                  std::fill(wide, end, Real(0));
                  for (int i = 0; i < upstream.shape.width; ++i) wide[count - 1 + i * bank.stride] = from[i];
                }
                FilterAll(
                    source, [&](const FilteredRows&) { return wide + before; }, width, to);
                if (bank.border == Border::kValid || bank.border == Border::kZero) return;
                const auto fold = [&](int begin, int end) {
                  if (begin == end) return;
                  Real* margin = RowScratch(end - begin, 2);
                  for (std::size_t k = 0; k < source.filtered.size(); ++k) {
                    const FilteredRows& rows = source.filtered[k];
                    FilterRow(wide + before + begin + rows.first, rows.weights.data(),
                              static_cast<int>(rows.weights.size()), end - begin, margin);
                    for (int i = begin; i < end; ++i) to[k][BorderIndex(i, width, bank.border)] += margin[i - begin];
                  }
                };
                fold(-before, 0);
                fold(width, full - before);
              });
  }
}

LIKENESS_END_TARGET
