#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// kSums weighted sums of the same `count` loads, kWide vectors at a time: load(j) is where the j-th begins, its weight
// in the m-th sum is weight(j, m). What was there before is added last: a sum from 0 on is never -0.
template <int kSums, int kWide, class Source, class Weight>
LIKENESS_HD void SumVectors(Source source, Weight weight, int count, bool accumulate, Real* const* to, int x) {
  Vec sum[kSums][kWide];
  for (int m = 0; m < kSums; ++m) {
    for (int k = 0; k < kWide; ++k) sum[m][k] = Vec(0.0);
  }
  for (int j = 0; j < count; ++j) {
    const Real* from = source(j) + x;
    Vec value[kWide];
    for (int k = 0; k < kWide; ++k) value[k] = Load(from + k * kLanes);
    for (int m = 0; m < kSums; ++m) {
      const Vec by(weight(j, m));
      for (int k = 0; k < kWide; ++k) sum[m][k] = MulAdd(by, value[k], sum[m][k]);
    }
  }
  for (int m = 0; m < kSums; ++m) {
    for (int k = 0; k < kWide; ++k) {
      Real* at = to[m] + x + k * kLanes;
      Store(accumulate ? Load(at) + sum[m][k] : sum[m][k], at);
    }
  }
}

// A whole row of the above. kWide fills the registers: kSums * kWide sums, kWide loads and a weight.
template <int kSums, int kWide, class Source, class Weight>
void SumRows(Source source, Weight weight, int count, int width, bool accumulate, Real* const* to) {
  int x = 0;
  for (; x + kWide * kLanes <= width; x += kWide * kLanes) {
    SumVectors<kSums, kWide>(source, weight, count, accumulate, to, x);
  }
  for (; x < width; x += kLanes) SumVectors<kSums, 1>(source, weight, count, accumulate, to, x);
}

template <int kSums, int kWide>
void SumBatch(const Real* const* rows, const Real* weights, int count, int width, bool accumulate, Real* const* to) {
  const auto source = [rows](int j) { return rows[j]; };
  const auto weight = [weights](int j, int m) { return weights[j * kSums + m]; };
  SumRows<kSums, kWide>(source, weight, count, width, accumulate, to);
}

template <int kSums, int kWide>
void FilterInto(const Real* from, const Real* weights, int count, int width, Real* const* to) {
  const auto source = [from](int j) { return from + j; };
  const auto weight = [weights](int j, int m) { return weights[j * kSums + m]; };
  SumRows<kSums, kWide>(source, weight, count, width, false, to);
}

}  // namespace

RowSums RowSums::Transposed(int source_rows) const {
  RowSums out;
  out.begin.assign(source_rows + 1, 0);
  for (int s : source) ++out.begin[s + 1];
  for (int s = 0; s < source_rows; ++s) out.begin[s + 1] += out.begin[s];
  out.source.resize(source.size());
  out.weight.resize(weight.size());
  std::vector<int> next(out.begin.begin(), out.begin.end() - 1);
  for (int y = 0; y < rows(); ++y) {
    for (int i = begin[y]; i < begin[y + 1]; ++i) {
      const int at = next[source[i]]++;
      out.source[at] = y;
      out.weight[at] = weight[i];
    }
  }
  return out;
}

int RowSums::Reach(int y, int together) const {
  int low = std::numeric_limits<int>::max(), high = -1;
  for (int m = 0; m < together; ++m) {
    if (begin[y + m] == begin[y + m + 1]) continue;
    low = std::min(low, source[begin[y + m]]);
    high = std::max(high, source[begin[y + m + 1] - 1]);
  }
  return high < 0 ? 0 : high - low + 1;
}

int RowsTogether(const std::vector<const RowSums*>& sums) {
  constexpr double kMostWork = 1.45;  // of that without terms of 0: less than the loads that are saved
  for (int together = kRowsTogether; together > 1; together /= 2) {
    std::int64_t made = 0, needed = 0;
    for (const RowSums* s : sums) {
      for (int y = 0; y + together <= s->rows(); y += together) {
        made += std::int64_t{together} * s->Reach(y, together);
        needed += s->begin[y + together] - s->begin[y];
      }
    }
    if (needed > 0 && static_cast<double>(made) <= kMostWork * static_cast<double>(needed)) return together;
  }
  return 1;
}

int LongestReach(const RowSums& sums, int together) {
  int reach = 1;
  // A batch may begin at any row, and those at the end are smaller.
  for (int y = 0; y < sums.rows(); ++y) reach = std::max(reach, sums.Reach(y, std::min(together, sums.rows() - y)));
  return reach;
}

void MergeSources(std::vector<std::pair<int, double>>& row) {
  std::stable_sort(row.begin(), row.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::size_t count = 0;
  for (const auto& [source, weight] : row) {
    if (count > 0 && row[count - 1].first == source) {
      row[count - 1].second += weight;
    } else {
      row[count++] = {source, weight};
    }
  }
  row.resize(count);
}

void RowBatch::AddWeights(const RowSums& sums, int y) {
  sources_.clear();
  int at[kRowsTogether], end[kRowsTogether];
  int low = std::numeric_limits<int>::max(), high = -1;
  for (int m = 0; m < together_; ++m) {
    at[m] = sums.begin[y + m];
    end[m] = sums.begin[y + m + 1];
    if (at[m] == end[m]) continue;
    low = std::min(low, sums.source[at[m]]);
    high = std::max(high, sums.source[end[m] - 1]);
  }
  for (int source = low; source <= high; ++source) {
    Real weights[kRowsTogether];
    bool summed = false;
    for (int m = 0; m < together_; ++m) {
      const bool here = at[m] < end[m] && sums.source[at[m]] == source;
      weights[m] = here ? sums.weight[at[m]] : Real(0);
      at[m] += here;
      summed |= here;
    }
    if (!summed) continue;
    sources_.push_back(source);
    weights_.insert(weights_.end(), weights, weights + together_);
  }
}

void RowBatch::Combine(int width, bool accumulate, Real* const* to) const {
  const int count = static_cast<int>(rows_.size());
  switch (together_) {
    case 4:
      return SumBatch<4, 3>(rows_.data(), weights_.data(), count, width, accumulate, to);
    case 2:
      return SumBatch<2, 4>(rows_.data(), weights_.data(), count, width, accumulate, to);
    default:
      return SumBatch<1, 8>(rows_.data(), weights_.data(), count, width, accumulate, to);
  }
}

void CombineRows(const Real* const* rows, const Real* weights, int count, int width, bool accumulate, Real* to) {
  SumBatch<1, 8>(rows, weights, count, width, accumulate, &to);
}

void FilterRow(const Real* from, const Real* const* taps, int kernels, int count, int width, Real* const* to) {
  if (kernels == 1) return FilterInto<1, 8>(from, taps[0], count, width, to);
  Real* weights = RowScratch(kernels * count, 3);
  for (int m = 0; m < kernels; ++m) {
    for (int j = 0; j < count; ++j) weights[j * kernels + m] = taps[m][j];
  }
  if (kernels == 2) return FilterInto<2, 4>(from, weights, count, width, to);
  FilterInto<3, 4>(from, weights, count, width, to);
}

LIKENESS_END_TARGET
