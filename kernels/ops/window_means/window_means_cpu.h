// WindowMeans on the CPU. A thread works down the rows of a channel with rings of filtered rows that stay in cache:
// each row is filtered along once, and the sums down the columns go straight into f.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/separable_cpu.h"
#include "kernels/ops/window_means/window_means.h"

LIKENESS_BEGIN_TARGET

// Samples that are worked on between two loops, few enough for the first-level cache.
inline constexpr int kWindowBlock = 8 * kLanes;

// Memory of one thread, handed out row by row.
class WindowMemory {
 public:
  WindowMemory(int width, int taps) : stride_(RowStride(width + taps + kWindowBlock)) {}
  static std::int64_t Samples(int width, int taps, int rows) { return rows * RowStride(width + taps + kWindowBlock); }
  void Open(int rows) { next_ = RowScratch(rows * stride_); }
  Real* Take(int rows) {
    Real* taken = next_;
    next_ += rows * stride_;
    return taken;
  }
  std::ptrdiff_t stride() const { return stride_; }

 private:
  std::ptrdiff_t stride_;
  Real* next_ = nullptr;
};

// Window sums of kCount numbers a pixel, whose rows come in order.
template <int kCount>
class WindowRing {
 public:
  static constexpr int Rows(int taps) { return kCount * (taps + 1); }

  WindowRing(const std::vector<Real>& taps, int width, int height, WindowMemory& memory)
      : taps_(taps),
        width_(width),
        height_(height),
        stride_(memory.stride()),
        count_(static_cast<int>(taps.size())),
        rows_(taps.size()) {
    const int before = count_ / 2;
    for (int k = 0; k < kCount; ++k) {
      input_[k] = memory.Take(1) + before;
      std::fill(input_[k] - before, input_[k], Real(0));
    }
    ring_ = memory.Take(kCount * count_);
  }

  // Where the numbers of the next row are to be written, `width` of each and more to fill a block.
  Real* const* input() { return input_; }

  void Push(int y) {
    for (int k = 0; k < kCount; ++k) {
      std::fill(input_[k] + width_, input_[k] + width_ + count_ / 2 + kLanes, Real(0));
      FilterRow(input_[k] - count_ / 2, taps_.data(), count_, width_, Slot(y) + k * stride_);
    }
  }

  // Chooses the row whose sums are wanted next. All rows that reach it have been pushed, the last one last.
  void Centre(int y) {
    const int before = count_ / 2;
    first_ = std::max(0, y - before);
    last_ = std::min(height_ - 1, y + before);
    weights_ = taps_.data() + (first_ - (y - before));
    for (int i = first_; i <= last_; ++i) rows_[i - first_] = Slot(i);
  }

  // The sums at kWide vectors from x.
  template <int kWide>
  LIKENESS_HD void Sum(int x, Vec (*sums)[kWide]) const {
    for (int k = 0; k < kCount; ++k) {
      for (int i = 0; i < kWide; ++i) sums[k][i] = Vec(0.0);
    }
    for (int j = 0; j <= last_ - first_; ++j) {
      const Vec weight(weights_[j]);
      const Real* from = rows_[j] + x;
      for (int k = 0; k < kCount; ++k) {
        for (int i = 0; i < kWide; ++i) sums[k][i] = MulAdd(weight, Load(from + k * stride_ + i * kLanes), sums[k][i]);
      }
    }
  }

 private:
  Real* Slot(int y) const { return ring_ + y % count_ * kCount * stride_; }

  const std::vector<Real>& taps_;
  int width_, height_;
  std::ptrdiff_t stride_;
  int count_;
  Real* input_[kCount];
  Real* ring_;
  int first_ = 0, last_ = 0;
  const Real* weights_ = nullptr;
  std::vector<const Real*> rows_;
};

// The images' rows of one channel and the window means of what f makes of them.
template <class F>
class WindowMeansRows {
 public:
  static constexpr int kWindows = F::kOfReference + F::kOfPair;
  static constexpr int Rows(int taps) { return WindowRing<kWindows>::Rows(taps); }

  WindowMeansRows(const F& f, const std::vector<Real>& taps, const PlanesView& reference, const PlanesView& distorted,
                  int channel, int first_row, WindowMemory& memory)
      : f_(f),
        reference_(reference),
        distorted_(distorted),
        channel_(channel),
        after_(static_cast<int>(taps.size()) / 2),
        next_(std::max(0, first_row - after_)),
        ring_(taps, distorted.shape.width, distorted.shape.height, memory) {}

  // Row y block by block: block(x, vectors, at), where at(i, body) is body(r, d, of_reference, of_pair) for the block's
  // i-th vector. Rows are asked for in order, from the first.
  template <class Block>
  void ForEachBlock(int y, const Block& block) {
    for (; next_ < distorted_.shape.height && next_ <= y + after_; ++next_) Push();
    ring_.Centre(y);
    const Real* r = Row(reference_, channel_, y);
    const Real* d = Row(distorted_, channel_, y);
    for (int x = 0; x < distorted_.shape.width; x += kWindowBlock) {
      Vec means[4][kWindows][2];
      for (int i = 0; i < 4; ++i) ring_.Sum(x + 2 * i * kLanes, means[i]);
      const int vectors = std::min(8, (distorted_.shape.width - x + kLanes - 1) / kLanes);
      block(x, vectors, [&](int i, auto body) {
        Pack<Vec, F::kOfReference> of_reference;
        for (int k = 0; k < F::kOfReference; ++k) of_reference.v[k] = means[i / 2][k][i % 2];
        Pack<Vec, F::kOfPair> of_pair;
        for (int k = 0; k < F::kOfPair; ++k) of_pair.v[k] = means[i / 2][F::kOfReference + k][i % 2];
        return body(Load(r + x + i * kLanes), Load(d + x + i * kLanes), of_reference, of_pair);
      });
    }
  }

 private:
  void Push() {
    const Real* r = Row(reference_, channel_, next_);
    const Real* d = Row(distorted_, channel_, next_);
    Real* const* to = ring_.input();
    for (int x = 0; x < distorted_.shape.width; x += kLanes) {
      const auto of_reference = f_.OfReference(Load(r + x));
      const auto of_pair = f_.OfPair(Load(r + x), Load(d + x));
      for (int k = 0; k < F::kOfReference; ++k) Store(of_reference.v[k], to[k] + x);
      for (int k = 0; k < F::kOfPair; ++k) Store(of_pair.v[k], to[F::kOfReference + k] + x);
    }
    ring_.Push(next_);
  }

  const F& f_;
  const PlanesView& reference_;
  const PlanesView& distorted_;
  int channel_, after_, next_;
  WindowRing<kWindows> ring_;
};

// body(channel, begin, end) for stretches of rows that cover all channels, in parallel.
template <class Body>
void ForEachStretch(const Shape& shape, Body body) {
  ParallelFor(shape.channels * shape.height, shape.width, [&](int begin, int end) {
    while (begin < end) {
      const int channel = begin / shape.height, top = channel * shape.height;
      const int until = std::min(end, top + shape.height);
      body(channel, begin - top, until - top);
      begin = until;
    }
  });
}

template <class F>
void WindowMeansForward(Cpu&, const F& f, const Taps& window, const PlanesView& reference, const PlanesView& distorted,
                        double* out) {
  const Shape shape = distorted.shape;
  const std::vector<Real> taps(window.begin(), window.end());
  const int count = static_cast<int>(taps.size());
  std::vector<double> totals(static_cast<std::size_t>(shape.channels) * shape.height * F::kOutputs, 0.0);
  ForEachStretch(shape, [&](int channel, int begin, int end) {
    WindowMemory memory(shape.width, count);
    memory.Open(WindowMeansRows<F>::Rows(count));
    WindowMeansRows<F> rows(f, taps, reference, distorted, channel, begin, memory);
    for (int y = begin; y < end; ++y) {
      RowSum sums[F::kOutputs];
      rows.ForEachBlock(y, [&](int x, int vectors, const auto& at) {
        // A few numbers are summed in the vectors' own precision, and those sums in double.
        Vec block[F::kOutputs];
        for (Vec& sum : block) sum = Vec(0.0);
        for (int i = 0; i < vectors; ++i) {
          const int valid = shape.width - x - i * kLanes;
          const auto y = at(i, f);
          for (int k = 0; k < F::kOutputs; ++k) {
            block[k] = block[k] + (valid >= kLanes ? y.v[k] : FirstLanes(y.v[k], valid, Vec(0.0)));
          }
        }
        for (int k = 0; k < F::kOutputs; ++k) sums[k].Add(block[k]);
      });
      double* total = &totals[(static_cast<std::size_t>(channel) * shape.height + y) * F::kOutputs];
      for (int k = 0; k < F::kOutputs; ++k) total[k] = sums[k].Total();
    }
  });
  for (int channel = 0; channel < shape.channels; ++channel) {
    for (int k = 0; k < F::kOutputs; ++k) {
      double sum = 0.0;
      for (int y = 0; y < shape.height; ++y) {
        sum += totals[(static_cast<std::size_t>(channel) * shape.height + y) * F::kOutputs + k];
      }
      out[channel * F::kOutputs + k] = sum / static_cast<double>(shape.plane());
    }
  }
}

template <class F>
void WindowMeansBackward(Cpu&, const F& f, const Taps& window, const double* upstream, const PlanesView& reference,
                         const PlanesView& distorted, const GradientView& gradient) {
  constexpr int kPartials = 1 + F::kOfPair;
  using D = Dual<Vec, kPartials>;
  const Shape shape = distorted.shape;
  const std::vector<Real> taps(window.begin(), window.end());
  const std::vector<Real> reversed(window.rbegin(), window.rend());
  const int count = static_cast<int>(taps.size()), after = count / 2;
  const double scale = 1.0 / static_cast<double>(shape.plane());
  ForEachStretch(shape, [&](int channel, int begin, int end) {
    using Pulled = WindowRing<F::kOfPair>;
    WindowMemory memory(shape.width, count);
    memory.Open(WindowMeansRows<F>::Rows(count) + Pulled::Rows(count) + count);
    int next = std::max(0, begin - after);
    WindowMeansRows<F> rows(f, taps, reference, distorted, channel, next, memory);
    // What reaches OfPair of a row, and what reaches d past it.
    Pulled pulled(reversed, shape.width, shape.height, memory);
    Real* direct = memory.Take(count);
    const auto direct_row = [&](int y) { return direct + y % count * memory.stride(); };
    Real up[F::kOutputs];
    for (int k = 0; k < F::kOutputs; ++k) up[k] = static_cast<Real>(upstream[channel * F::kOutputs + k] * scale);
    const auto push = [&](int y) {
      rows.ForEachBlock(y, [&](int x, int vectors, const auto& at) {
        for (int i = 0; i < vectors; ++i) {
          const auto results = at(i, [&](Vec r, Vec d, const auto& of_reference, const auto& of_pair) {
            Pack<D, F::kOfPair> variables;
            for (int k = 0; k < F::kOfPair; ++k) variables.v[k] = D::Variable(of_pair.v[k], 1 + k);
            return f(r, D::Variable(d, 0), of_reference, variables);
          });
          for (int p = 0; p < kPartials; ++p) {
            Vec sum = Vec(up[0]) * results.v[0].d[p];
            for (int k = 1; k < F::kOutputs; ++k) sum = MulAdd(Vec(up[k]), results.v[k].d[p], sum);
            Store(sum, (p == 0 ? direct_row(y) : pulled.input()[p - 1]) + x + i * kLanes);
          }
        }
      });
      pulled.Push(y);
    };
    for (int y = begin; y < end; ++y) {
      for (; next < shape.height && next <= y + after; ++next) push(next);
      pulled.Centre(y);
      const Real* r = Row(reference, channel, y);
      const Real* d = Row(distorted, channel, y);
      const Real* past = direct_row(y);
      Real* to = Row(gradient.planes, channel, y);
      for (int x = 0; x < shape.width; x += kLanes) {
        Vec sums[F::kOfPair][1];
        pulled.Sum(x, sums);
        const auto products = f.OfPair(Load(r + x), Dual<Vec, 1>::Variable(Load(d + x), 0));
        Vec sum = Load(past + x);
        for (int k = 0; k < F::kOfPair; ++k) sum = MulAdd(sums[k][0], products.v[k].d[0], sum);
        Store(gradient.accumulate ? Load(to + x) + sum : sum, to + x);
      }
    }
  });
}

LIKENESS_END_TARGET
