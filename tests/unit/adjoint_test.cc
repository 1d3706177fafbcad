// Each linear op's adjoint by the dot-product test: <A x, y> must equal <x, A^T y> to the last digits of double, for
// every border and odd shape. The op runs on the oracle's tape; A^T y is the gradient of <A x, y> with respect to x.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "kernels/metrics/functors.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/filter_bank/filter_bank.h"
#include "kernels/ops/ops_cpu.h"
#include "kernels/ops/order/order.h"
#include "kernels/ops/permute/permute.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/pyramid/pyramid.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"
#include "kernels/ops/window_means/window_means.h"

namespace likeness::oracle {
namespace {

using CpuTape = Tape<Cpu>;

void Randomise(CpuTape& t, const DataHandle& x, std::uint32_t seed) {
  std::mt19937 random(seed);
  const PlanesView view = t.View(x);
  for (int c = 0; c < view.shape.channels; ++c) {
    for (int y = 0; y < view.shape.height; ++y) {
      for (int i = 0; i < view.shape.width; ++i) Row(view, c, y)[i] = random() / 4294967296.0 - 0.5;
    }
  }
}

double Dot(const PlanesView& a, const PlanesView& b) {
  double sum = 0.0;
  for (int c = 0; c < a.shape.channels; ++c) {
    for (int y = 0; y < a.shape.height; ++y) {
      for (int i = 0; i < a.shape.width; ++i) sum += Row(a, c, y)[i] * Row(b, c, y)[i];
    }
  }
  return sum;
}

template <class Op>
void CheckAdjoint(const std::string& name, const Shape& shape, Op op) {
  SCOPED_TRACE(name + " on " + std::to_string(shape.width) + "x" + std::to_string(shape.height));
  Workspace workspace;
  ASSERT_TRUE(workspace.arena().Reserve(64 << 20));
  Cpu cpu;
  CpuTape t(cpu, workspace, false);
  auto x = t.MakeOwn<true>(shape);
  Randomise(t, x, 1);
  auto out = op(t, x);
  auto y = t.MakeOwn<false>(out.shape());
  Randomise(t, y, 2);
  auto score = Sum(t, Map(t, Product{}, y, out));
  const double forward = *t.Values(score);
  t.Backward(score);
  const double backward = Dot(t.View(x), t.LeafGradient(x));
  EXPECT_NEAR(forward, backward, 1e-12 * std::max(1.0, std::abs(forward)));
  // One sample: a derivative filter is 0 there, and so is an imaginary part.
  if (shape.plane() > 1) {
    EXPECT_NE(forward, 0.0);
  }
}

constexpr Shape kShapes[] = {{1, 1, 1}, {7, 5, 2}, {16, 16, 1}, {33, 12, 3}, {12, 47, 1}};

TEST(Adjoint, Correlate) {
  const Kernel skewed{{{{0.3, -0.2, 0.5}, {1.0, 0.25, -0.75}}, {{0.1, 0.7, -0.4}, {-0.5, 0.2, 0.9}}}};
  const Kernel even{{{{0.4, 0.6, -0.1, 0.2}, {0.5, -0.3, 0.8, 0.1}}}};
  for (const Shape& shape : kShapes) {
    for (const Border border :
         {Border::kZero, Border::kReplicate, Border::kReflect101, Border::kSymmetric, Border::kValid}) {
      for (const Kernel& kernel : {skewed, even, Separable(GaussianTaps(11, 1.5)), PrewittX()}) {
        if (border == Border::kValid && (shape.width < kernel.width() || shape.height < kernel.height())) continue;
        CheckAdjoint("correlate with border " + std::to_string(static_cast<int>(border)), shape,
                     [&](CpuTape& t, const auto& x) { return Correlate(t, x, kernel, border); });
      }
    }
  }
}

TEST(Adjoint, MeanPool) {
  for (const Shape& shape : kShapes) {
    for (const int factor : {2, 3, 4, 6}) {
      if (shape.width < factor || shape.height < factor) continue;
      CheckAdjoint("mean pool", shape, [&](CpuTape& t, const auto& x) { return MeanPool(t, x, factor); });
      for (const Border border : {Border::kZero, Border::kReplicate}) {
        for (const int before : {factor / 2, (factor - 1) / 2, factor - 1}) {
          CheckAdjoint("mean pool with border", shape,
                       [&](CpuTape& t, const auto& x) { return MeanPool(t, x, factor, before, border); });
        }
      }
    }
  }
}

TEST(Adjoint, CorrelateBank) {
  const Kernel skewed{{{{0.3, -0.2, 0.5}, {1.0, 0.25, -0.75}}, {{0.1, 0.7, -0.4}, {-0.5, 0.2, 0.9}}}};
  const Kernel other{{{{0.4, -0.6, 0.1}, {1.0, 0.25, -0.75}}}};
  const Kernel even{{{{0.4, 0.6, -0.1, 0.2}, {0.5, -0.3, 0.8, 0.1}}}};
  const Kernel wide = Separable(GaussianTaps(11, 1.5));
  for (const Shape& shape : kShapes) {
    for (const Border border :
         {Border::kZero, Border::kReplicate, Border::kReflect101, Border::kSymmetric, Border::kValid}) {
      for (const int stride : {1, 2, 3}) {
        KernelBank bank{{{0, skewed}, {shape.channels - 1, other}, {0, other}}, border, stride};
        // The last channel of three is read by nobody.
        if (shape.channels == 3) bank.filters[1].source = 1;
        if (border != Border::kValid) bank.filters.insert(bank.filters.end(), {{0, even}, {0, wide}});
        if (border == Border::kValid && (shape.width < 3 || shape.height < 3)) continue;
        CheckAdjoint("bank of border " + std::to_string(static_cast<int>(border)) + " stride " + std::to_string(stride),
                     shape, [&](CpuTape& t, const auto& x) { return CorrelateBank(t, x, bank); });
      }
    }
  }
}

TEST(Adjoint, PadAndCrop) {
  for (const Shape& shape : kShapes) {
    for (const Border border : {Border::kZero, Border::kReplicate, Border::kReflect101, Border::kSymmetric}) {
      CheckAdjoint("pad", shape, [&](CpuTape& t, const auto& x) { return Pad(t, x, {2, 1, 3, 4}, border); });
    }
    if (shape.width > 4 && shape.height > 4) {
      CheckAdjoint("crop", shape, [&](CpuTape& t, const auto& x) { return Crop(t, x, 2); });
    }
  }
}

TEST(Adjoint, Pyramid) {
  const Taps skewed = {0.05, 0.3, 0.4, -0.2, 0.1};
  for (const Shape& shape : kShapes) {
    CheckAdjoint("pyramid down", shape, [&](CpuTape& t, const auto& x) { return PyramidDown(t, x, skewed); });
    for (const int odd : {0, 1}) {
      CheckAdjoint("pyramid up", shape, [&](CpuTape& t, const auto& x) {
        return PyramidUp(t, x, skewed, 2 * shape.width - odd, 2 * shape.height - odd);
      });
    }
  }
}

TEST(Adjoint, Permute) {
  for (const Shape& shape : kShapes) {
    for (const AxisOrder& order : {AxisOrder{2, 0, 1}, AxisOrder{1, 2, 0}, AxisOrder{0, 2, 1}, AxisOrder{0, 1, 2}}) {
      CheckAdjoint("permute", shape, [&](CpuTape& t, const auto& x) { return Permute(t, x, order); });
      CheckAdjoint("permute there and back", shape, [&](CpuTape& t, const auto& x) {
        return Map(t, Difference{}, Permute(t, Permute(t, x, order), Inverse(order)), Map(t, Linear{3.0, 0.0}, x));
      });
    }
  }
}

TEST(Adjoint, ResizeBilinear) {
  for (const Shape& shape : kShapes) {
    for (const auto& [width, height] : {std::pair{40, 50}, std::pair{9, 4}, std::pair{64, 3}, std::pair{1, 1}}) {
      CheckAdjoint("resize", shape,
                   [&, w = width, h = height](CpuTape& t, const auto& x) { return ResizeBilinear(t, x, w, h); });
      CheckAdjoint("resize by corners", shape,
                   [&, w = width, h = height](CpuTape& t, const auto& x) { return ResizeByCorners(t, x, w, h); });
    }
  }
}

// Its value and gradient against those of the enlarged image's mean; a second reader makes the gradient accumulate.
TEST(Adjoint, MeanOfResized) {
  for (const Shape& shape : kShapes) {
    for (const auto& [width, height] : {std::pair{40, 50}, std::pair{9, 4}, std::pair{64, 3}, std::pair{1, 1},
                                        std::pair{3 * shape.width, 2 * shape.height}, std::pair{shape.width, 31}}) {
      SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height) + " to " + std::to_string(width) +
                   "x" + std::to_string(height));
      std::vector<double> scores;
      std::vector<std::vector<double>> gradients;
      for (const bool at_once : {true, false}) {
        Workspace workspace;
        ASSERT_TRUE(workspace.arena().Reserve(64 << 20));
        Cpu cpu;
        CpuTape t(cpu, workspace, false);
        auto x = t.MakeOwn<true>(shape);
        Randomise(t, x, 1);
        auto squares = Sum(t, Map(t, Square{}, x));
        auto mean = at_once ? MeanOfResized(t, x, width, height) : Mean(t, ResizeBilinear(t, x, width, height));
        const auto score = MapScalars(t, AddScaled{100.0}, squares, mean);
        scores.push_back(*t.Values(score));
        t.Backward(score);
        const PlanesView gradient = t.LeafGradient(x);
        std::vector<double>& numbers = gradients.emplace_back();
        for (int c = 0; c < shape.channels; ++c) {
          for (int y = 0; y < shape.height; ++y) {
            numbers.insert(numbers.end(), Row(gradient, c, y), Row(gradient, c, y) + shape.width);
          }
        }
      }
      EXPECT_NEAR(scores[0], scores[1], 1e-12 * std::max(1.0, scores[1]));
      for (std::size_t i = 0; i < gradients[0].size(); ++i) EXPECT_NEAR(gradients[0][i], gradients[1][i], 1e-13) << i;
    }
  }
}

TEST(Adjoint, RealFftAndSelect) {
  for (const Shape& shape : kShapes) {
    CheckAdjoint("fft", shape, [&](CpuTape& t, const auto& x) { return RealFft(t, x); });
    CheckAdjoint("select", shape, [&](CpuTape& t, const auto& x) {
      return SelectChannels(t, RealFft(t, x), shape.channels, shape.channels);
    });
  }
}

TEST(Adjoint, InverseRealFft) {
  for (const Shape& half : {Shape{1, 1, 2}, Shape{4, 5, 4}, Shape{9, 16, 2}, Shape{17, 12, 6}}) {
    for (const int width : {2 * half.width - 2, 2 * half.width - 1}) {
      if (width < 1) continue;
      CheckAdjoint("inverse fft", half, [&](CpuTape& t, const auto& x) { return InverseRealFft(t, x, width); });
    }
  }
}

TEST(Adjoint, ExpandSpectrum) {
  for (const Shape& shape : kShapes) {
    for (const int by : {1, 2, 3}) {
      const int width = (shape.width + by - 1) / by, height = (shape.height + by - 1) / by;
      CheckAdjoint("expand", shape,
                   [&](CpuTape& t, const auto& x) { return ExpandSpectrum(t, RealFft(t, x), width, height); });
    }
  }
}

// Filters of no symmetry at all.
void FillSkewed(const BankSpec& spec, double* filters, double* constants) {
  std::mt19937 random(9);
  for (int i = 0; i < spec.filters * spec.height * spec.width; ++i) filters[i] = random() / 4294967296.0;
  for (int i = 0; i < spec.constants; ++i) constants[i] = i;
}

TEST(Adjoint, FilterBands) {
  for (Shape shape : kShapes) {
    const BankSpec bank{"skewed", shape.width, shape.height, shape.width, shape.height, 5, 0, &FillSkewed};
    shape.channels = 2;
    CheckAdjoint("filter bands", shape, [&](CpuTape& t, const auto& x) { return FilterBands(t, x, bank, 1, 3); });
  }
}

// The inverse of a transform is what was transformed, and the full spectrum says the same as its half.
TEST(Fft, InversesAgree) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height));
    Workspace workspace;
    ASSERT_TRUE(workspace.arena().Reserve(64 << 20));
    Cpu cpu;
    CpuTape t(cpu, workspace, false);
    auto x = t.Make<false>({shape.width, shape.height, 1}, "values");
    Randomise(t, x, 1);
    auto spectrum = RealFft(t, x);
    auto back = InverseRealFft(t, spectrum, shape.width);
    const BankSpec ones{"ones",
                        shape.width,
                        shape.height,
                        shape.width,
                        shape.height,
                        1,
                        0,
                        [](const BankSpec& spec, double* filters, double*) {
                          std::fill(filters, filters + spec.width * spec.height, 1.0);
                        }};
    auto bands = FilterBands(t, ExpandSpectrum(t, spectrum, shape.width, shape.height), ones, 0, 1);
    for (int y = 0; y < shape.height; ++y) {
      for (int i = 0; i < shape.width; ++i) {
        EXPECT_NEAR(Row(t.View(back), 0, y)[i], Row(t.View(x), 0, y)[i], 1e-14);
        EXPECT_NEAR(Row(t.View(bands), 0, y)[i], Row(t.View(x), 0, y)[i], 1e-14);
        EXPECT_NEAR(Row(t.View(bands), 1, y)[i], 0.0, 1e-14);
      }
    }
  }
}

// The gradient of an order statistic lands on the samples that have its value.
TEST(Order, MedianAndMinimumSendTheirGradientToTheirSamples) {
  Workspace workspace;
  ASSERT_TRUE(workspace.arena().Reserve(1 << 20));
  Cpu cpu;
  CpuTape t(cpu, workspace, false);
  auto x = t.Make<true>({3, 2, 2}, "values");
  const double values[2][6] = {{5, 1, 4, 1, 3, 2}, {7, 7, 7, 7, -2, 9}};
  for (int c = 0; c < 2; ++c) {
    for (int i = 0; i < 6; ++i) Row(t.View(x), c, i / 3)[i % 3] = values[c][i];
  }
  auto median = LowerMedian(t, x);
  auto least = ChannelMin(t, x);
  EXPECT_EQ(t.Values(median)[0], 2.0);
  EXPECT_EQ(t.Values(median)[1], 7.0);
  EXPECT_EQ(t.Values(least)[0], 1.0);
  EXPECT_EQ(t.Values(least)[1], -2.0);
  EXPECT_EQ(*t.Values(Min(t, x)), -2.0);
  auto score = MeanOf(t, MapScalars(t, AddScaled{10.0}, median, least));
  t.Backward(score);
  const PlanesView gradient = t.LeafGradient(x);
  const double expected[2][6] = {{0, 2.5, 0, 2.5, 0, 0.5}, {0.5, 0, 0, 0, 5, 0}};
  for (int c = 0; c < 2; ++c) {
    for (int i = 0; i < 6; ++i) EXPECT_EQ(Row(gradient, c, i / 3)[i % 3], expected[c][i]) << c << " " << i;
  }
}

// Smooth maths, so that differences tell the gradient.
struct WindowProducts {
  static constexpr int kOfReference = 1, kOfPair = 2, kOutputs = 2;
  auto OfReference(const auto& r) const { return Pack<std::remove_cvref_t<decltype(r)>, 1>{{r}}; }
  auto OfPair(const auto& r, const auto& d) const { return Pack{r * d, d * d}; }
  auto operator()(const auto& r, const auto& d, const auto& of_reference, const auto& of_pair) const {
    return Pack{of_pair.v[0] * d - of_reference.v[0], of_pair.v[1] * of_reference.v[0] + r * d};
  }
};
// The same of planes.
struct WindowMaths {
  static constexpr int kChannels[] = {1, 1, 1, 1, 1}, kOutputs = 2;
  auto operator()(const auto& r, const auto& d, const auto& mean_r, const auto& mean_rd, const auto& mean_dd) const {
    using V = std::remove_cvref_t<decltype(mean_dd)>;
    using R = std::remove_cvref_t<decltype(mean_r)>;
    return WindowProducts{}(r, d, Pack<R, 1>{{mean_r}}, Pack<V, 2>{{mean_rd, mean_dd}});
  }
};

// WindowMeans is not linear: its values against those of the ops that it is made of, its gradient against theirs.
TEST(Adjoint, WindowMeans) {
  const Taps skewed = {0.05, 0.3, 0.4, -0.2, 0.1};
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height));
    std::vector<double> scores;
    std::vector<std::vector<double>> gradients;
    for (const bool at_once : {true, false}) {
      Workspace workspace;
      ASSERT_TRUE(workspace.arena().Reserve(64 << 20));
      Cpu cpu;
      CpuTape t(cpu, workspace, false);
      auto r = t.MakeOwn<false>(shape);
      Randomise(t, r, 1);
      auto d = t.MakeOwn<true>(shape);
      Randomise(t, d, 2);
      std::vector<double> weights(shape.channels * 2);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 1.0 + i;
      const auto means = [&] {
        if (at_once) return WindowMeans(t, WindowProducts{}, skewed, r, d);
        const auto blur = [&](const auto& x) { return Correlate(t, x, Separable(skewed), Border::kZero); };
        return PixelMeans(t, WindowMaths{}, r, d, blur(r), blur(Map(t, Product{}, r, d)), blur(Map(t, Square{}, d)));
      }();
      const auto score = WeightedSum(t, means, weights);
      scores.push_back(*t.Values(score));
      t.Backward(score);
      const PlanesView gradient = t.LeafGradient(d);
      std::vector<double>& numbers = gradients.emplace_back();
      for (int c = 0; c < shape.channels; ++c) {
        for (int y = 0; y < shape.height; ++y) {
          numbers.insert(numbers.end(), Row(gradient, c, y), Row(gradient, c, y) + shape.width);
        }
      }
    }
    EXPECT_NEAR(scores[0], scores[1], 1e-13);
    for (std::size_t i = 0; i < gradients[0].size(); ++i) EXPECT_NEAR(gradients[0][i], gradients[1][i], 1e-13) << i;
  }
}

// A value with two readers gets the sum of what they send back.
TEST(Adjoint, FanOutAccumulates) {
  for (const Shape& shape : kShapes) {
    CheckAdjoint("fan out", shape, [&](CpuTape& t, const auto& x) {
      auto blurred = Correlate(t, x, Separable(GaussianTaps(5, 1.0)), Border::kReflect101);
      auto both = Map(t, Difference{}, blurred, x);
      auto spectrum = SelectChannels(t, RealFft(t, x), 0, shape.channels);
      return Map(t, AddScaled{0.5}, Pad(t, both, {0, 0, 0, spectrum.shape().width - shape.width}, Border::kZero),
                 spectrum);
    });
  }
}

}  // namespace
}  // namespace likeness::oracle
