#include "kernels/ops/fft/fft_cpu.h"

#include <complex>

#include "kernels/ops/fft/frequency.h"
#include "kernels/ops/fft/pocket.h"

LIKENESS_BEGIN_TARGET
namespace {

std::complex<Real>* ComplexPlane(const PlanesView& scratch, int channel) {
  return reinterpret_cast<std::complex<Real>*>(Row(scratch, channel, 0));
}

// SameFrequency of each of n indices.
std::vector<int> SameFrequencies(int n, int to, int sign) {
  std::vector<int> indices(n);
  for (int i = 0; i < n; ++i) indices[i] = SameFrequency(i, n, to, sign);
  return indices;
}

}  // namespace

void RealFftForward(Cpu&, const PlanesView& x, const PlanesView& scratch, const PlanesView& out) {
  const Shape& shape = x.shape;
  ParallelFor(shape.channels, 8 * shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      PocketForward(shape.width, shape.height, Row(x, c, 0), x.stride(), ComplexPlane(scratch, c),
                    scratch.stride() / 2);
    }
  });
  ForEachRow({out.shape.width, out.shape.height, shape.channels}, [&](int c, int y) {
    const Real* from = Row(scratch, c, y);
    Real* real = Row(out, c, y);
    Real* imaginary = Row(out, c + shape.channels, y);
    for (int i = 0; i < out.shape.width; ++i) {
      real[i] = from[2 * i];
      imaginary[i] = from[2 * i + 1];
    }
  });
}

void RealFftBackward(Cpu&, const PlanesView& upstream, const PlanesView& scratch, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  // The inverse counts the columns that stand for two twice; the transpose counts each stored number once.
  ForEachRow({upstream.shape.width, upstream.shape.height, shape.channels}, [&](int c, int y) {
    const Real* real = Row(upstream, c, y);
    const Real* imaginary = Row(upstream, c + shape.channels, y);
    Real* to = Row(scratch, c, y);
    for (int i = 0; i < upstream.shape.width; ++i) {
      const Real weight = StandsForTwo(i, shape.width) ? Real(0.5) : Real(1);
      to[2 * i] = weight * real[i];
      to[2 * i + 1] = weight * imaginary[i];
    }
  });
  ParallelFor(shape.channels, 8 * shape.plane(), [&](int begin, int end) {
    std::vector<Real> kept;
    for (int c = begin; c < end; ++c) {
      Real* to = Row(gradient.planes, c, 0);
      const std::int64_t count = gradient.planes.stride() * shape.height;
      if (gradient.accumulate) kept.assign(to, to + count);
      PocketInverse(shape.width, shape.height, ComplexPlane(scratch, c), scratch.stride() / 2, to,
                    gradient.planes.stride());
      if (!gradient.accumulate) continue;
      for (int y = 0; y < shape.height; ++y) {
        for (int x = 0; x < shape.width; ++x)
          to[y * gradient.planes.stride() + x] += kept[y * gradient.planes.stride() + x];
      }
    }
  });
}

void InverseRealFftForward(Cpu&, const PlanesView& x, const PlanesView& scratch, const PlanesView& out) {
  const Shape& shape = out.shape;
  ForEachRow({x.shape.width, x.shape.height, shape.channels}, [&](int c, int y) {
    const Real* real = Row(x, c, y);
    const Real* imaginary = Row(x, c + shape.channels, y);
    Real* to = Row(scratch, c, y);
    for (int i = 0; i < x.shape.width; ++i) {
      to[2 * i] = real[i];
      to[2 * i + 1] = imaginary[i];
    }
  });
  ParallelFor(shape.channels, 8 * shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      PocketInverse(shape.width, shape.height, ComplexPlane(scratch, c), scratch.stride() / 2, Row(out, c, 0),
                    out.stride());
    }
  });
}

void InverseRealFftBackward(Cpu&, const PlanesView& upstream, const PlanesView& scratch, const GradientView& gradient) {
  const Shape& shape = upstream.shape;
  ParallelFor(shape.channels, 8 * shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      PocketForward(shape.width, shape.height, Row(upstream, c, 0), upstream.stride(), ComplexPlane(scratch, c),
                    scratch.stride() / 2);
    }
  });
  const Shape& half = gradient.planes.shape;
  ForEachRow({half.width, half.height, shape.channels}, [&](int c, int y) {
    const Real* from = Row(scratch, c, y);
    Real* real = Row(gradient.planes, c, y);
    Real* imaginary = Row(gradient.planes, c + shape.channels, y);
    for (int i = 0; i < half.width; ++i) {
      const Real weight = StandsForTwo(i, shape.width) ? Real(2) : Real(1);
      real[i] = weight * from[2 * i] + (gradient.accumulate ? real[i] : Real(0));
      imaginary[i] = weight * from[2 * i + 1] + (gradient.accumulate ? imaginary[i] : Real(0));
    }
  });
}

void ExpandForward(Cpu&, const PlanesView& x, const PlanesView& out) {
  const int width = out.shape.width, height = out.shape.height, rows = x.shape.height;
  const int channels = out.shape.channels / 2;
  const int direct = (width + 1) / 2;  // columns of frequencies that are stored as they are
  ForEachRow(out.shape, [&](int c, int y) {
    const int frequency = FrequencyAt(y, height);
    const Real* stored = Row(x, c, IndexOfFrequency(frequency, rows));
    const Real* mirrored = Row(x, c, (rows - frequency) % rows);
    Real* to = Row(out, c, y);
    const Real sign = c < channels ? Real(1) : Real(-1);
    std::copy(stored, stored + direct, to);
    for (int i = direct; i < width; ++i) to[i] = sign * mirrored[width - i];
  });
}

void ExpandBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient) {
  const int width = upstream.shape.width, height = upstream.shape.height;
  const Shape& half = gradient.planes.shape;
  const int channels = half.channels / 2;
  const int direct = (width + 1) / 2;
  const std::vector<int> same = SameFrequencies(half.height, height, 1);
  const std::vector<int> opposite = SameFrequencies(half.height, height, -1);
  ForEachRow(half, [&](int c, int y) {
    Real* to = Row(gradient.planes, c, y);
    if (!gradient.accumulate) std::fill(to, to + half.width, Real(0));
    if (same[y] >= 0) {
      const Real* from = Row(upstream, c, same[y]);
      for (int i = 0; i < direct; ++i) to[i] += from[i];
    }
    if (opposite[y] >= 0) {
      const Real* from = Row(upstream, c, opposite[y]);
      const Real sign = c < channels ? Real(1) : Real(-1);
      for (int i = direct; i < width; ++i) to[width - i] += sign * from[i];
    }
  });
}

void SelectForward(Cpu&, const PlanesView& x, int first, const PlanesView& out) {
  ForEachRow(out.shape, [&](int c, int y) {
    const Real* from = Row(x, first + c, y);
    std::copy(from, from + out.shape.width, Row(out, c, y));
  });
}

void SelectBackward(Cpu&, const PlanesView& upstream, int first, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  ForEachRow(shape, [&](int c, int y) {
    Real* to = Row(gradient.planes, c, y);
    if (!gradient.accumulate) std::fill(to, to + shape.width, Real(0));
    if (c < first || c >= first + upstream.shape.channels) return;
    const Real* from = Row(upstream, c - first, y);
    for (int x = 0; x < shape.width; ++x) to[x] += from[x];
  });
}

void SpectrumMeanForward(Cpu&, const PlanesView& x, int full_width, double* out) {
  const Shape& shape = x.shape;
  std::vector<double> rows(std::size_t(shape.channels) * shape.height);
  ForEachRow(shape, [&](int c, int y) {
    const Real* from = Row(x, c, y);
    double sum = 0.0;
    for (int i = 0; i < shape.width; ++i) sum += StandsForTwo(i, full_width) ? 2.0 * from[i] : 1.0 * from[i];
    rows[c * shape.height + y] = sum;
  });
  *out = 0.0;
  for (double row : rows) *out += row;
  *out /= static_cast<double>(full_width) * shape.height * shape.channels;
}

void SpectrumMeanBackward(Cpu&, const double* upstream, int full_width, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const Real once = static_cast<Real>(*upstream / (static_cast<double>(full_width) * shape.height * shape.channels));
  ForEachRow(shape, [&](int c, int y) {
    Real* to = Row(gradient.planes, c, y);
    for (int i = 0; i < shape.width; ++i) {
      const Real g = StandsForTwo(i, full_width) ? 2 * once : once;
      to[i] = gradient.accumulate ? to[i] + g : g;
    }
  });
}

void FullSpectrumForward(Cpu&, const PlanesView& x, const PlanesView& out) {
  ForEachRow(out.shape, [&](int c, int y) {
    const Real* stored = Row(x, c, y);
    const Real* mirrored = Row(x, c, (out.shape.height - y) % out.shape.height);
    Real* to = Row(out, c, y);
    for (int i = 0; i < out.shape.width; ++i) to[i] = i < x.shape.width ? stored[i] : mirrored[out.shape.width - i];
  });
}

LIKENESS_END_TARGET
