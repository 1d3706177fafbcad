// CorrelateBank: several correlations of one set of planes in one pass, each result a plane of its own.
//
// A filter reads one channel. Filters that read the same channel share its rows, and those with the same horizontal
// taps share the filtered rows too: the second derivatives of a Gaussian cost little more than the first. With a stride
// only every stride-th sample of every stride-th row is made.
#pragma once

#include <vector>

#include "kernels/ops/correlate/correlate.h"

namespace likeness {

struct KernelBank {
  struct Filter {
    int source;  // the channel that it reads
    Kernel kernel;
  };
  std::vector<Filter> filters;
  Border border = Border::kZero;
  int stride = 1;

  template <class Key>
  void AddTo(Key& key) const {
    for (const Filter& filter : filters) {
      key.Add(filter.source);
      filter.kernel.AddTo(key);
    }
    key.Add(border);
    key.Add(stride);
  }
};

// Under Border::kValid all kernels must be of one size.
template <class T, bool tracked>
Planes<tracked> CorrelateBank(T& t, const Planes<tracked>& x, KernelBank bank) {
  const Kernel& kernel = bank.filters[0].kernel;
  const bool valid = bank.border == Border::kValid;
  const Shape in = x.shape();
  const auto size = [&](int side, int taps) { return (side - (valid ? taps - 1 : 0) + bank.stride - 1) / bank.stride; };
  const Shape shape{size(in.width, kernel.width()), size(in.height, kernel.height()),
                    static_cast<int>(bank.filters.size())};
  auto out = t.template Make<tracked>(shape, "CorrelateBank", x, bank);
  Cost cost{(in.count() + shape.count()) * t.device().bytes_per_sample(), 0};
  for (const KernelBank::Filter& filter : bank.filters) {
    cost.operations += 2 * (filter.kernel.width() + filter.kernel.height()) *
                       static_cast<std::int64_t>(filter.kernel.terms.size()) * shape.plane();
  }
  t.RunFor(out, cost, [&](auto& device) { CorrelateBankForward(device, t.View(x), bank, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), bank, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { CorrelateBankBackward(device, t.Upstream(out), bank, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
