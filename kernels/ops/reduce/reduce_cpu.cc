#include "kernels/ops/reduce/reduce_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// value(vector) summed over every row; the rows' sums are then added in order, for each group of channels of its own.
template <class Body>
void SumRows(const PlanesView& x, double* out, int groups, Body value) {
  const Shape& shape = x.shape;
  std::vector<double> rows(std::size_t(shape.channels) * shape.height);
  ForEachRow(shape, [&](int channel, int y) {
    const Real* from = Row(x, channel, y);
    RowSum sum;
    int i = 0;
    for (; i + kLanes <= shape.width; i += kLanes) sum.Add(value(Load(from + i)));
    if (i < shape.width) sum.AddFirst(value(Load(from + i)), shape.width - i);
    rows[channel * shape.height + y] = sum.Total();
  });
  std::fill(out, out + groups, 0.0);
  for (int channel = 0; channel < shape.channels; ++channel) {
    for (int y = 0; y < shape.height; ++y) out[groups == 1 ? 0 : channel] += rows[channel * shape.height + y];
  }
}

template <class Body>
void StoreRows(const GradientView& gradient, Body value) {
  ForEachRow(gradient.planes.shape, [&](int channel, int y) {
    Real* to = Row(gradient.planes, channel, y);
    for (int i = 0; i < gradient.planes.shape.width; i += kLanes) {
      const Vec g = value(channel, y, i);
      Store(gradient.accumulate ? Load(to + i) + g : g, to + i);
    }
  });
}

double SamplesIn(const Shape& shape, int groups) { return static_cast<double>(shape.count()) / groups; }

}  // namespace

void ReduceForward(Cpu&, const PlanesView& x, Reduction reduction, double* out, int count) {
  if (reduction != Reduction::kMax) {
    SumRows(x, out, count, [](Vec v) { return v; });
    if (reduction == Reduction::kMean) {
      for (int i = 0; i < count; ++i) out[i] /= SamplesIn(x.shape, count);
    }
    return;
  }
  constexpr double kLowest = std::numeric_limits<Real>::lowest();
  const Shape& shape = x.shape;
  std::vector<double> rows(std::size_t(shape.channels) * shape.height);
  ForEachRow(shape, [&](int channel, int y) {
    const Real* from = Row(x, channel, y);
    Vec best(kLowest);
    int i = 0;
    for (; i + kLanes <= shape.width; i += kLanes) best = MaxValue(best, Load(from + i));
    if (i < shape.width) best = MaxValue(best, FirstLanes(Load(from + i), shape.width - i, Vec(kLowest)));
    rows[channel * shape.height + y] = MaxLane(best);
  });
  std::fill(out, out + count, kLowest);
  for (int row = 0; row < shape.channels * shape.height; ++row) {
    double& best = out[count == 1 ? 0 : row / shape.height];
    best = std::max(best, rows[row]);
  }
}

void SumBackward(Cpu&, Reduction reduction, const double* upstream, int count, const GradientView& gradient) {
  const double scale = reduction == Reduction::kMean ? 1.0 / SamplesIn(gradient.planes.shape, count) : 1.0;
  StoreRows(gradient, [&](int channel, int, int) { return Vec(upstream[count == 1 ? 0 : channel] * scale); });
}

void MaxBackward(Cpu&, const PlanesView& x, const double* maxima, const double* upstream, int count,
                 const GradientView& gradient) {
  // How many samples share the maximum.
  std::vector<double> ties(count);
  for (int group = 0; group < count; ++group) {
    const Vec maximum(maxima[group]);
    PlanesView part = x;
    if (count > 1) {
      part.shape.channels = 1;
      part.data = Row(x, group, 0);
    }
    SumRows(part, &ties[group], 1, [&](Vec v) { return SelectValue(v == maximum, Vec(1.0), Vec(0.0)); });
  }
  StoreRows(gradient, [&](int channel, int y, int i) {
    const int group = count == 1 ? 0 : channel;
    const Vec v = Load(Row(x, channel, y) + i);
    return SelectValue(v == Vec(maxima[group]), Vec(upstream[group] / ties[group]), Vec(0.0));
  });
}

void DeviationForward(Cpu&, const PlanesView& x, double divisor, double* mean, double* out) {
  SumRows(x, mean, 1, [](Vec v) { return v; });
  *mean /= static_cast<double>(x.shape.count());
  const Vec center(*mean);
  double squares = 0.0;
  SumRows(x, &squares, 1, [&](Vec v) { return (v - center) * (v - center); });
  *out = std::sqrt(squares / divisor);
}

void DeviationBackward(Cpu&, const PlanesView& x, double divisor, const double* mean, const double* deviation,
                       const double* upstream, const GradientView& gradient) {
  const Vec scale(*deviation > 0.0 ? *upstream / (divisor * *deviation) : 0.0);
  const Vec center(*mean);
  StoreRows(gradient, [&](int channel, int y, int i) { return (Load(Row(x, channel, y) + i) - center) * scale; });
}

void MeanOfForward(Cpu&, const double* x, int count, double* out) {
  *out = 0.0;
  for (int i = 0; i < count; ++i) *out += x[i];
  *out /= count;
}

void MeanOfBackward(Cpu&, const double* upstream, const GradientView& gradient) {
  double* to = static_cast<double*>(gradient.planes.data);
  const int count = gradient.planes.shape.width;
  for (int i = 0; i < count; ++i) to[i] = (gradient.accumulate ? to[i] : 0.0) + *upstream / count;
}

LIKENESS_END_TARGET
