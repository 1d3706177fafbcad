#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// Sums `count` weighted loads for kWide vectors at a time: load(j) is where the j-th row begins.
template <int kWide, class Source>
LIKENESS_HD void SumVectors(Source source, const Real* weights, int count, bool accumulate, Real* to) {
  Vec sum[kWide];
  for (int k = 0; k < kWide; ++k) sum[k] = accumulate ? Load(to + k * kLanes) : Vec(0.0);
  for (int j = 0; j < count; ++j) {
    const Vec weight(weights[j]);
    const Real* from = source(j);
    for (int k = 0; k < kWide; ++k) sum[k] = MulAdd(weight, Load(from + k * kLanes), sum[k]);
  }
  for (int k = 0; k < kWide; ++k) Store(sum[k], to + k * kLanes);
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

void CombineRows(const Real* const* rows, const Real* weights, int count, int width, bool accumulate, Real* to) {
  int x = 0;
  for (; x + 4 * kLanes <= width; x += 4 * kLanes) {
    SumVectors<4>([&](int j) { return rows[j] + x; }, weights, count, accumulate, to + x);
  }
  for (; x < width; x += kLanes) {
    SumVectors<1>([&](int j) { return rows[j] + x; }, weights, count, accumulate, to + x);
  }
}

void FilterRow(const Real* from, const Real* taps, int count, int width, Real* to) {
  int x = 0;
  for (; x + 4 * kLanes <= width; x += 4 * kLanes) {
    SumVectors<4>([&](int j) { return from + x + j; }, taps, count, false, to + x);
  }
  for (; x < width; x += kLanes) {
    SumVectors<1>([&](int j) { return from + x + j; }, taps, count, false, to + x);
  }
}

LIKENESS_END_TARGET
