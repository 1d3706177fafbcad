// Linear ops under CUDA, run on the CPU: values against naive loops, adjoints by the dot-product test.
#include <gtest/gtest.h>

#include "kernels/ops/correlate_bank/correlate_bank_cuda.h"
#include "kernels/ops/permute/permute_cuda.h"
#include "kernels/ops/pool/pool_cuda.h"
#include "kernels/ops/pyramid/pyramid_cuda.h"
#include "kernels/ops/resample/resample_cuda.h"
#include "tests/emulator/bench.h"

namespace likeness::cuda {
namespace {

TEST(LinearOps, Permute) {
  for (const Shape& shape : kShapes) {
    for (const AxisOrder& order : {AxisOrder{1, 2, 0}, AxisOrder{2, 1, 0}, AxisOrder{0, 2, 1}}) {
      CheckLinear(
          "permute", shape, [&](CudaTape& t, const auto& x) { return Permute(t, x, order); },
          [&](const PlanesView& x, int c, int y, int i) {
            int at[3];
            at[order[0]] = c;
            at[order[1]] = y;
            at[order[2]] = i;
            return At(x, at[0], at[1], at[2]);
          });
    }
  }
}

TEST(LinearOps, BorderedMeanPool) {
  for (const Shape& shape : kShapes) {
    for (const auto& [factor, before] : {std::pair{2, 0}, {2, 1}, {3, 2}, {4, 1}}) {
      for (const Border border : {Border::kZero, Border::kReplicate}) {
        CheckLinear(
            "bordered pool by " + std::to_string(factor), shape,
            [&, factor = factor, before = before](CudaTape& t, const auto& x) {
              return MeanPool(t, x, factor, before, border);
            },
            [&, factor = factor, before = before](const PlanesView& x, int c, int y, int i) {
              double sum = 0.0;
              for (int v = 0; v < factor; ++v) {
                for (int h = 0; h < factor; ++h) {
                  const int row = BorderIndex(y * factor + v - before, shape.height, border);
                  const int column = BorderIndex(i * factor + h - before, shape.width, border);
                  if (row >= 0 && column >= 0) sum += At(x, c, row, column);
                }
              }
              return sum / (factor * factor);
            });
      }
    }
  }
}

TEST(LinearOps, ResizeByCorners) {
  for (const Shape& shape : kShapes) {
    for (const auto& [width, height] : {std::pair{5, 7}, std::pair{41, 23}, std::pair{1, 2}, std::pair{66, 24}}) {
      if (width == shape.width && height == shape.height) continue;
      const auto blend = [](int i, int in, int out, auto read) {
        const double at = out == 1 ? 0.0 : static_cast<double>(i) * (in - 1) / (out - 1);
        const int low = static_cast<int>(at);
        return read(low) * (1.0 - (at - low)) + read(std::min(low + 1, in - 1)) * (at - low);
      };
      CheckLinear(
          "resize by corners", shape,
          [&, width = width, height = height](CudaTape& t, const auto& x) {
            return ResizeByCorners(t, x, width, height);
          },
          [&, width = width, height = height](const PlanesView& x, int c, int y, int i) {
            return blend(y, shape.height, height, [&](int row) {
              return blend(i, shape.width, width, [&](int column) { return double{At(x, c, row, column)}; });
            });
          });
    }
  }
}

TEST(LinearOps, MeanOfResized) {
  for (const Shape& shape : kShapes) {
    for (const auto& [width, height] : {std::pair{5, 7}, std::pair{41, 23}, std::pair{1, 2}, std::pair{66, 24},
                                        std::pair{3 * shape.width, 2 * shape.height}}) {
      SCOPED_TRACE(std::to_string(shape.width) + "x" + std::to_string(shape.height) + " to " + std::to_string(width) +
                   "x" + std::to_string(height));
      Bench bench;
      CudaTape t(bench.device, bench.workspace, false);
      auto x = t.MakeOwn<true>(shape);
      Randomise(t, x, 1);
      auto mean = MeanOfResized(t, x, width, height);
      auto sum = Sum(t, x);
      auto score = MapScalars(t, Plus{}, mean, sum);
      bench.Finish();
      const PlanesView source = t.View(x);
      std::vector<double> expected(shape.count());  // gradient
      double total = 0.0;
      const auto blend = [](int i, int in, int out, auto add) {
        const double at = std::max(0.0, (i + 0.5) * in / out - 0.5);
        const int low = std::min(static_cast<int>(at), in - 1);
        add(low, 1.0 - (at - low));
        add(std::min(low + 1, in - 1), at - low);
      };
      const double count = static_cast<double>(width) * height * shape.channels;
      ForEach({width, height, shape.channels}, [&, width = width, height = height](int c, int y, int i) {
        blend(y, shape.height, height, [&](int row, double down) {
          blend(i, shape.width, width, [&](int column, double across) {
            expected[(c * shape.height + row) * shape.width + column] += down * across / count;
            total += down * across * At(source, c, row, column) / count;
          });
        });
      });
      EXPECT_NEAR(*t.Values(mean), total, 1e-7);
      t.Backward(score);
      bench.Finish();
      const PlanesView gradient = t.LeafGradient(x);
      ForEach(shape, [&](int c, int y, int i) {
        ASSERT_NEAR(At(gradient, c, y, i), 1.0 + expected[(c * shape.height + y) * shape.width + i], 3e-7)
            << c << " " << y << " " << i;
      });
      EXPECT_NEAR(*t.Values(score), Dot(source, gradient), 2e-6 * (1.0 + static_cast<double>(shape.count())));
    }
  }
}

TEST(LinearOps, PyramidDown) {
  for (const Shape& shape : kShapes) {
    for (const Taps& taps : {Taps{0.05, 0.25, 0.4, 0.25, 0.05}, Taps{0.5, -0.25, 0.75}}) {
      const int count = static_cast<int>(taps.size());
      CheckLinear(
          "pyramid down", shape, [&](CudaTape& t, const auto& x) { return PyramidDown(t, x, taps); },
          [&](const PlanesView& x, int c, int y, int i) {
            double sum = 0.0;
            for (int v = 0; v < count; ++v) {
              for (int h = 0; h < count; ++h) {
                const int row = BorderIndex(2 * y + v - count / 2, shape.height, Border::kSymmetric);
                const int column = BorderIndex(2 * i + h - count / 2, shape.width, Border::kSymmetric);
                sum += taps[v] * taps[h] * At(x, c, row, column);
              }
            }
            return sum;
          });
    }
  }
}

TEST(LinearOps, PyramidUp) {
  for (const Shape& shape : kShapes) {
    for (const Taps& taps : {Taps{0.05, 0.25, 0.4, 0.25, 0.05}, Taps{0.5, -0.25, 0.75}}) {
      const int count = static_cast<int>(taps.size());
      // Even and odd sides of what is enlarged.
      for (const int less : {0, 1}) {
        const int width = 2 * shape.width - less, height = 2 * shape.height - less;
        CheckLinear(
            "pyramid up", shape, [&](CudaTape& t, const auto& x) { return PyramidUp(t, x, taps, width, height); },
            [&](const PlanesView& x, int c, int y, int i) {
              // Edge samples once more on each side, and a zero after each.
              const auto read = [&](int row, int column) {
                if (row % 2 != 0 || column % 2 != 0) return 0.0f;
                return At(x, c, std::clamp(row / 2, 0, shape.height - 1), std::clamp(column / 2, 0, shape.width - 1));
              };
              double sum = 0.0;
              for (int v = 0; v < count; ++v) {
                for (int h = 0; h < count; ++h) {
                  sum += 4.0 * taps[v] * taps[h] * read(y + v - count / 2, i + h - count / 2);
                }
              }
              return sum;
            });
      }
    }
  }
}

KernelBank MixedBank(const Shape& shape, Border border, int stride) {
  const Kernel skewed{{{{0.3, -0.2, 0.5}, {1.0, 0.25, -0.75}}, {{0.1, 0.7, -0.4}, {-0.5, 0.2, 0.9}}}};
  KernelBank bank;
  bank.border = border;
  bank.stride = stride;
  const int last = shape.channels - 1;  // with three channels nothing reads the middle one
  bank.filters = {{0, skewed}, {last, Transposed(skewed)}, {0, PrewittX()}};
  if (border != Border::kValid) {
    bank.filters.push_back({last, {{{{0.4, 0.6, -0.1, 0.2}, {0.5, -0.3}}}}});
    bank.filters.push_back({0, {{{GaussianTaps(121, 30.0), {1.0}}}}});
  }
  return bank;
}

TEST(LinearOps, CorrelateBank) {
  for (const Shape& shape : kShapes) {
    for (const Border border : kBorders) {
      for (const int stride : {1, 2, 3}) {
        if (border == Border::kValid && (shape.width < 3 || shape.height < 3)) continue;
        const KernelBank bank = MixedBank(shape, border, stride);
        CheckLinear(
            "bank with border " + std::to_string(static_cast<int>(border)) + " and stride " + std::to_string(stride),
            shape, [&](CudaTape& t, const auto& x) { return CorrelateBank(t, x, bank); },
            [&](const PlanesView& x, int c, int y, int i) {
              const Kernel& kernel = bank.filters[c].kernel;
              const int up = border == Border::kValid ? 0 : (kernel.height() - 1) / 2;
              const int left = border == Border::kValid ? 0 : (kernel.width() - 1) / 2;
              double sum = 0.0;
              for (const Kernel::Term& term : kernel.terms) {
                for (int v = 0; v < kernel.height(); ++v) {
                  for (int h = 0; h < kernel.width(); ++h) {
                    const int row = BorderIndex(y * stride + v - up, shape.height, border);
                    const int column = BorderIndex(i * stride + h - left, shape.width, border);
                    if (row < 0 || column < 0) continue;
                    sum += term.vertical[v] * term.horizontal[h] * At(x, bank.filters[c].source, row, column);
                  }
                }
              }
              return sum;
            });
      }
    }
  }
}

TEST(LinearOps, TooLongAStrideIsAFailure) {
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto x = t.MakeOwn<false>(Shape{64, 64, 1});
  CorrelateBank(t, x, {{{0, PrewittX()}}, Border::kZero, 11});
  EXPECT_EQ(bench.device.failure().code, cudaErrorInvalidValue);
}

}  // namespace
}  // namespace likeness::cuda
