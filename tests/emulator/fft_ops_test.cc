// Spectra, filter banks and order statistics under CUDA: values against naive sums, adjoints by the dot-product test,
// odd and even sides, single rows and columns.
#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <numbers>
#include <random>
#include <vector>

#include "kernels/ops/fft/fft_cuda.h"
#include "kernels/ops/filter_bank/filter_bank_cuda.h"
#include "kernels/ops/order/order_cuda.h"
#include "tests/emulator/bench.h"

namespace likeness::cuda {
namespace {

using Complex = std::complex<double>;

// e^(i 2 pi at / n).
Complex Root(std::int64_t at, int n) {
  return std::polar(1.0, 2.0 * std::numbers::pi * static_cast<double>(at % n) / n);
}

double Norm(int width, int height) { return 1.0 / std::sqrt(static_cast<double>(width) * height); }

TEST(EmulatedFft, RealFft) {
  for (const Shape& shape : kShapes) {
    CheckLinear(
        "real FFT", shape, [](CudaTape& t, const auto& x) { return RealFft(t, x); },
        [&](const PlanesView& x, int c, int v, int u) {
          Complex sum = 0.0;
          for (int y = 0; y < shape.height; ++y) {
            for (int i = 0; i < shape.width; ++i) {
              sum += double{At(x, c % shape.channels, y, i)} *
                     std::conj(Root(std::int64_t{v} * y, shape.height) * Root(std::int64_t{u} * i, shape.width));
            }
          }
          sum *= Norm(shape.width, shape.height);
          return c < shape.channels ? sum.real() : sum.imag();
        });
  }
}

// Of any numbers, the spectrum of real planes or not: the real part of their inverse transform, where each column but
// the first, and the last of an even width, counts twice.
TEST(EmulatedFft, InverseRealFft) {
  for (const Shape& shape : kShapes) {
    const Shape half{shape.width / 2 + 1, shape.height, 2 * shape.channels};
    CheckLinear(
        "inverse real FFT", half, [&](CudaTape& t, const auto& x) { return InverseRealFft(t, x, shape.width); },
        [&](const PlanesView& x, int c, int y, int i) {
          double sum = 0.0;
          for (int v = 0; v < half.height; ++v) {
            for (int u = 0; u < half.width; ++u) {
              const Complex value(At(x, c, v, u), At(x, shape.channels + c, v, u));
              const Complex term =
                  value * Root(std::int64_t{v} * y, shape.height) * Root(std::int64_t{u} * i, shape.width);
              sum += (u == 0 || 2 * u == shape.width ? 1.0 : 2.0) * term.real();
            }
          }
          return sum * Norm(shape.width, shape.height);
        });
  }
}

TEST(EmulatedFft, ExpandSpectrum) {
  for (const Shape& shape : kShapes) {
    for (const int by : {1, 2, 3}) {
      const int width = (shape.width + by - 1) / by, height = (shape.height + by - 1) / by;
      const Shape half{shape.width / 2 + 1, shape.height, 2 * shape.channels};
      CheckLinear(
          "expand", half, [&](CudaTape& t, const auto& x) { return ExpandSpectrum(t, x, width, height); },
          [&](const PlanesView& x, int c, int y, int i) -> double {
            // The two signed frequencies; the lone one of an even side is the negative one.
            int v = 2 * y < height ? y : y - height;
            int u = 2 * i < width ? i : i - width;
            const bool mirrored = u < 0;
            if (mirrored) u = -u, v = -v;
            const double stored = At(x, c, (v + shape.height) % shape.height, u);
            return mirrored && c >= shape.channels ? -stored : stored;
          });
    }
  }
}

TEST(EmulatedFft, SelectChannels) {
  const Shape shape{70, 9, 4};
  CheckLinear(
      "select", shape, [](CudaTape& t, const auto& x) { return SelectChannels(t, x, 1, 2); },
      [](const PlanesView& x, int c, int y, int i) -> double { return At(x, 1 + c, y, i); });
}

// A mean over all that FullSpectrum writes out.
TEST(EmulatedFft, SpectrumMean) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height));
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto x = t.MakeOwn<true>({shape.width / 2 + 1, shape.height, shape.channels});
    Randomise(t, x, 1);
    auto mean = SpectrumMean(t, x, shape.width);
    auto full = FullSpectrum(t, x.Detached(), shape.width);
    bench.Finish();
    double sum = 0.0;
    std::vector<double> counts(x.shape().width);
    ForEach(full.shape(), [&](int c, int y, int i) {
      const bool mirrored = i >= x.shape().width;
      const int row = mirrored ? (shape.height - y) % shape.height : y, column = mirrored ? shape.width - i : i;
      ASSERT_EQ(At(t.View(full), c, y, i), At(t.View(x), c, row, column));
      sum += At(t.View(full), c, y, i);
      if (c == 0 && y == 0) counts[column] += 1.0;
    });
    EXPECT_NEAR(*t.Values(mean), sum / full.shape().count(), 1e-12);
    t.Backward(mean);
    bench.Finish();
    const PlanesView gradient = t.LeafGradient(x);
    ForEach(x.shape(), [&](int c, int y, int i) {
      const double expected = counts[i] / full.shape().count();
      ASSERT_NEAR(At(gradient, c, y, i), expected, 1e-7 * expected);
    });
  }
}

// Filters of no symmetry at all.
void FillSkewed(const BankSpec& spec, double* filters, double* constants) {
  std::mt19937 random(9);
  for (int i = 0; i < spec.filters * spec.height * spec.width; ++i) filters[i] = random() % 64 / 64.0;
  for (int i = 0; i < spec.constants; ++i) constants[i] = 0.1 * i;
}

BankSpec SkewedBank(const Shape& shape) {
  return {"skewed", shape.width, shape.height, shape.width, shape.height, 5, 3, &FillSkewed};
}

TEST(EmulatedFilterBank, FilterBands) {
  for (Shape shape : kShapes) {
    const BankSpec bank = SkewedBank(shape);
    std::vector<double> filters(bank.filters * shape.plane()), constants(bank.constants);
    FillSkewed(bank, filters.data(), constants.data());
    shape.channels = 2;
    CheckLinear(
        "filter bands", shape, [&](CudaTape& t, const auto& x) { return FilterBands(t, x, bank, 1, 3); },
        [&](const PlanesView& x, int c, int y, int i) {
          const double* filter = &filters[(1 + c % 3) * shape.plane()];
          Complex sum = 0.0;
          for (int v = 0; v < shape.height; ++v) {
            for (int u = 0; u < shape.width; ++u) {
              sum += filter[v * shape.width + u] * Complex(At(x, 0, v, u), At(x, 1, v, u)) *
                     Root(std::int64_t{v} * y, shape.height) * Root(std::int64_t{u} * i, shape.width);
            }
          }
          sum *= Norm(shape.width, shape.height);
          return c < 3 ? sum.real() : sum.imag();
        });
  }
}

// Large filters are answered some at a time.
TEST(EmulatedFilterBank, FiltersInPartsGiveTheSameBands) {
  const Shape shape{33, 12, 2};
  const BankSpec bank = SkewedBank({33, 12, 1});
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto x = t.MakeOwn<false>(shape);
  Randomise(t, x, 1);
  auto upstream = t.MakeOwn<false>({33, 12, 10});
  Randomise(t, upstream, 2);
  std::vector<Planes<false>> bands, gradients;
  for (const int planes : {5, 2, 1}) {
    Shape room = FilteredShape(bank, 5);
    ASSERT_EQ(room.channels, 5);
    room.channels = planes;
    const auto scratch = t.MakeOwn<false>(room);
    bands.push_back(t.MakeOwn<false>({33, 12, 10}));
    gradients.push_back(t.MakeOwn<false>(shape));
    BandsForward(bench.device, t.View(x), bank, 0, t.View(scratch), t.View(bands.back()));
    BandsBackward(bench.device, t.View(upstream), bank, 0, t.View(scratch), {t.View(gradients.back()), false});
  }
  bench.Finish();
  for (int i = 1; i < 3; ++i) {
    const PlanesView a = t.View(bands[i]), b = t.View(bands[0]);
    ForEach(a.shape, [&](int c, int y, int x) { ASSERT_EQ(At(a, c, y, x), At(b, c, y, x)) << c; });
    const PlanesView g = t.View(gradients[i]), h = t.View(gradients[0]);
    ForEach(g.shape, [&](int c, int y, int x) { ASSERT_NEAR(At(g, c, y, x), At(h, c, y, x), 1e-5); });
  }
  EXPECT_EQ(FilteredShape({"large", 3000, 2000, 3000, 2000, 5, 0, &FillSkewed}, 5).channels, 1);
}

TEST(EmulatedFilterBank, PlanesAndConstants) {
  const Shape shape{70, 13, 1};
  const BankSpec bank = SkewedBank(shape);
  std::vector<double> filters(bank.filters * shape.plane()), constants(bank.constants);
  FillSkewed(bank, filters.data(), constants.data());
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto planes = BankPlanes(t, bank, 2, 3, 65);
  auto constant = BankConstant(t, bank, 2);
  bench.Finish();
  EXPECT_EQ(*t.Values(constant), constants[2]);
  ForEach(planes.shape(), [&](int c, int y, int x) {
    ASSERT_EQ(At(t.View(planes), c, y, x), filters[(2 + c) * shape.plane() + y * shape.width + x]);
  });
}

// Values from a few, so that many are the median; the gradient goes to the first.
TEST(EmulatedOrder, LowerMedian) {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{2, 1, 1}, Shape{5, 4, 3}, Shape{1, 300, 1}, Shape{130, 1100, 2}}) {
    SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height));
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto x = t.MakeOwn<true>(shape);
    Randomise(t, x, 1);
    auto median = LowerMedian(t, x);
    bench.Finish();
    std::vector<std::vector<float>> values(shape.channels);
    ForEach(shape, [&](int c, int y, int i) { values[c].push_back(At(t.View(x), c, y, i)); });
    t.Backward(MeanOf(t, median));
    bench.Finish();
    for (int c = 0; c < shape.channels; ++c) {
      std::vector<float> sorted = values[c];
      std::sort(sorted.begin(), sorted.end());
      const float expected = sorted[(sorted.size() - 1) / 2];
      EXPECT_EQ(t.Values(median)[c], expected);
      const std::int64_t first = std::find(values[c].begin(), values[c].end(), expected) - values[c].begin();
      std::int64_t at = 0;
      ForEach({shape.width, shape.height, 1}, [&](int, int y, int i) {
        ASSERT_EQ(At(t.LeafGradient(x), c, y, i), at++ == first ? 1.0f / shape.channels : 0.0f);
      });
    }
  }
}

// Numbers of every size and both signs.
TEST(EmulatedOrder, LowerMedianOfAnyNumbers) {
  const Shape shape{61, 37, 1};
  std::mt19937 random(2);
  for (int trial = 0; trial < 8; ++trial) {
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto x = t.MakeOwn<false>(shape);
    std::vector<float> values;
    ForEach(shape, [&](int c, int y, int i) {
      const float magnitude = std::ldexp(1.0f + static_cast<float>(random() % 1000003) / 1e6f, random() % 200 - 100);
      // More and more of them negative, none at first.
      values.push_back(At(t.View(x), c, y, i) = static_cast<int>(random() % 7) < trial ? -magnitude : magnitude);
    });
    auto median = LowerMedian(t, x);
    bench.Finish();
    std::sort(values.begin(), values.end());
    EXPECT_EQ(*t.Values(median), values[(values.size() - 1) / 2]);
  }
}

TEST(EmulatedOrder, Minimum) {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{3, 2500, 2}, Shape{700, 3, 3}}) {
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto x = t.MakeOwn<true>(shape);
    Randomise(t, x, 4);
    const PlanesView view = t.View(x);
    std::vector<double> least(shape.channels, 1.0), ties(shape.channels, 0.0);
    ForEach(shape, [&](int c, int y, int i) { least[c] = std::min<double>(least[c], At(view, c, y, i)); });
    ForEach(shape, [&](int c, int y, int i) { ties[c] += At(view, c, y, i) == least[c] ? 1.0 : 0.0; });
    auto all = Min(t, x.Detached());
    auto each = ChannelMin(t, x);
    bench.Finish();
    EXPECT_EQ(*t.Values(all), *std::min_element(least.begin(), least.end()));
    for (int c = 0; c < shape.channels; ++c) EXPECT_EQ(t.Values(each)[c], least[c]);
    t.Backward(MeanOf(t, each));
    bench.Finish();
    ForEach(shape, [&](int c, int y, int i) {
      const double expected = At(view, c, y, i) == least[c] ? 1.0 / ties[c] / shape.channels : 0.0;
      ASSERT_NEAR(At(t.LeafGradient(x), c, y, i), expected, 1e-7 * expected);
    });
  }
}

TEST(EmulatedFft, PlansAreKeptUntilThereAreTooMany) {
  // Room for the first plan.
  DeviceBuffer area = Make<DeviceBuffer>(16 * 8 * 8);
  FftPlans plans(area.data(), area.size_bytes());
  FftSpec spec{CUFFT_C2C, 16, 8, 16, 16, 1};
  cufftHandle first, again;
  ASSERT_FALSE(plans.Find(spec, &first).failed());
  ASSERT_FALSE(plans.Find(spec, &again).failed());
  EXPECT_EQ(first, again);
  // Growing: each plan needs a larger work area than the last.
  for (spec.height = 9; spec.height < 200; ++spec.height) ASSERT_FALSE(plans.Find(spec, &again).failed());
  std::size_t work_bytes = 0;
  EXPECT_EQ(cufftGetSize(first, &work_bytes), CUFFT_SUCCESS);
  plans.Trim();
  EXPECT_EQ(cufftGetSize(first, &work_bytes), CUFFT_INVALID_PLAN);
  EXPECT_EQ(cufftGetSize(again, &work_bytes), CUFFT_SUCCESS);
}

}  // namespace
}  // namespace likeness::cuda
