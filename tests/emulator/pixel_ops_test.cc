// Ops that run a functor on whole pixels or windows under CUDA, run on the CPU: values against naive loops, gradients
// against derivatives that are written out here.
#include <gtest/gtest.h>

#include "kernels/ops/map_channels/map_channels_cuda.cuh"
#include "kernels/ops/pixel_means/pixel_means_cuda.cuh"
#include "kernels/ops/window_means/window_means_cuda.cuh"
#include "tests/emulator/bench.h"

namespace likeness::cuda {
namespace {

constexpr Shape kPlanes[] = {{1, 1, 1}, {7, 5, 1}, {33, 12, 1}, {12, 47, 1}, {300, 9, 1}, {70, 1030, 1}};

Shape WithChannels(const Shape& plane, int channels) { return {plane.width, plane.height, channels}; }

// Outputs a0 b1 s + c and a2 a0; the scalar s is tracked.
struct MixedPixel {
  LIKENESS_HD auto operator()(const auto& a, const auto& b, const auto& c, const auto& s) const {
    return Pack{a.v[0] * b.v[1] * s + c, a.v[2] * a.v[0]};
  }
};

TEST(PixelOps, MapChannels) {
  for (const Shape& plane : kPlanes) {
    SCOPED_TRACE(std::to_string(plane.width) + "x" + std::to_string(plane.height));
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto a = t.MakeOwn<true>(WithChannels(plane, 3));
    auto b = t.MakeOwn<false>(WithChannels(plane, 2));
    auto c = t.MakeOwn<true>(plane);
    auto weights = t.MakeOwn<false>(WithChannels(plane, 2));
    Randomise(t, a, 1);
    Randomise(t, b, 2);
    Randomise(t, c, 3);
    Randomise(t, weights, 4);
    auto s = t.MakeScalar<true>(1, "Leaf");
    *t.Values(s) = 0.75;
    auto out = MapChannels(t, MixedPixel{}, 2, Channels<3>(a), Channels<2>(b), c, s);
    bench.Finish();
    const PlanesView av = t.View(a), bv = t.View(b), cv = t.View(c), w = t.View(weights), result = t.View(out);
    double to_s = 0.0;
    ForEach(plane, [&](int, int y, int x) {
      ASSERT_EQ(At(result, 0, y, x), At(av, 0, y, x) * At(bv, 1, y, x) * 0.75f + At(cv, 0, y, x));
      ASSERT_EQ(At(result, 1, y, x), At(av, 2, y, x) * At(av, 0, y, x));
      to_s += double{At(w, 0, y, x)} * At(av, 0, y, x) * At(bv, 1, y, x);
    });
    // `a` is read twice: its gradient adds up.
    t.Backward(MapScalars(t, Plus{}, Sum(t, Map(t, Product{}, weights, out)), Sum(t, a)));
    bench.Finish();
    const PlanesView to_a = t.LeafGradient(a), to_c = t.LeafGradient(c);
    ForEach(plane, [&](int, int y, int x) {
      const double up0 = At(w, 0, y, x), up1 = At(w, 1, y, x);
      ASSERT_NEAR(At(to_a, 0, y, x), 1.0 + up0 * At(bv, 1, y, x) * 0.75 + up1 * At(av, 2, y, x), 1e-6);
      ASSERT_EQ(At(to_a, 1, y, x), 1.0f);
      ASSERT_NEAR(At(to_a, 2, y, x), 1.0 + up1 * At(av, 0, y, x), 1e-6);
      ASSERT_EQ(At(to_c, 0, y, x), At(w, 0, y, x));
    });
    EXPECT_NEAR(*static_cast<double*>(t.LeafGradient(s).data), to_s, 1e-9);
  }
}

// From each group two channels of a and one of b: a0 b and a1 + b b.
struct TwoMeans {
  static constexpr int kChannels[] = {2, 1};
  static constexpr int kOutputs = 2;
  LIKENESS_HD auto operator()(const auto& a, const auto& b) const { return Pack{a.v[0] * b, a.v[1] + b * b}; }
};

template <bool tracked_a>
void CheckPixelMeans(const Shape& plane) {
  SCOPED_TRACE(std::to_string(plane.width) + "x" + std::to_string(plane.height));
  constexpr int kGroups = 3;
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto a = t.MakeOwn<tracked_a>(WithChannels(plane, 2 * kGroups));
  auto b = t.MakeOwn<true>(WithChannels(plane, kGroups));
  Randomise(t, a, 1);
  Randomise(t, b, 2);
  auto means = PixelMeans(t, TwoMeans{}, a, b);
  const std::vector<double> weights = {1.0, -2.0, 0.5, 3.0, 0.25, -0.75};
  auto score = WeightedSum(t, means, weights);
  bench.Finish();
  ASSERT_EQ(means.count(), 2 * kGroups);
  const PlanesView av = t.View(a), bv = t.View(b);
  const double count = static_cast<double>(plane.plane());
  double expected_score = 0.0;
  for (int g = 0; g < kGroups; ++g) {
    double first = 0.0, second = 0.0;
    ForEach(plane, [&](int, int y, int x) {
      const double bx = At(bv, g, y, x);
      first += At(av, 2 * g, y, x) * bx / count;
      second += (At(av, 2 * g + 1, y, x) + bx * bx) / count;
    });
    EXPECT_NEAR(t.Values(means)[2 * g], first, 1e-7);
    EXPECT_NEAR(t.Values(means)[2 * g + 1], second, 1e-7);
    expected_score += weights[2 * g] * first + weights[2 * g + 1] * second;
  }
  EXPECT_NEAR(*t.Values(score), expected_score, 1e-6);
  // `means` is read twice.
  t.Backward(MapScalars(t, Plus{}, score, MapScalars(t, Linear{6.0, 0.0}, MeanOf(t, means))));
  bench.Finish();
  for (int g = 0; g < kGroups; ++g) {
    const double up0 = (weights[2 * g] + 1.0) / count, up1 = (weights[2 * g + 1] + 1.0) / count;
    ForEach(plane, [&](int, int y, int x) {
      const double ax = At(av, 2 * g, y, x), bx = At(bv, g, y, x);
      ASSERT_NEAR(At(t.LeafGradient(b), g, y, x), up0 * ax + up1 * 2.0 * bx, 1e-6 / count);
      if constexpr (tracked_a) {
        ASSERT_NEAR(At(t.LeafGradient(a), 2 * g, y, x), up0 * bx, 1e-6 / count);
        ASSERT_NEAR(At(t.LeafGradient(a), 2 * g + 1, y, x), up1, 1e-6 / count);
      }
    });
  }
}

TEST(PixelOps, PixelMeans) {
  for (const Shape& plane : kPlanes) {
    CheckPixelMeans<true>(plane);
    CheckPixelMeans<false>(plane);
  }
}

// Of r its window mean m; of the pair those of d and of r d, u and v. Outputs u v + d and m u - r d.
struct WindowProducts {
  static constexpr int kOfReference = 1, kOfPair = 2, kOutputs = 2;
  template <class R>
  LIKENESS_HD Pack<R, 1> OfReference(const R& r) const {
    return {{r}};
  }
  template <class R, class D>
  LIKENESS_HD Pack<D, 2> OfPair(const R& r, const D& d) const {
    return {{d, d * r}};
  }
  template <class R, class D>
  LIKENESS_HD Pack<D, 2> operator()(const R& r, const D& d, const Pack<R, 1>& m, const Pack<D, 2>& of_pair) const {
    return {{of_pair.v[0] * of_pair.v[1] + d, of_pair.v[0] * m.v[0] - d * r}};
  }
};

// body(row, column, weight) for the samples of the window around one, or (backwards) of the windows that it is in.
template <class Body>
void ForEachOfWindow(const Shape& shape, const Taps& taps, bool backwards, int y, int x, Body body) {
  const int count = static_cast<int>(taps.size());
  for (int v = 0; v < count; ++v) {
    for (int h = 0; h < count; ++h) {
      const int row = backwards ? y - v + count / 2 : y + v - count / 2;
      const int column = backwards ? x - h + count / 2 : x + h - count / 2;
      if (row < 0 || row >= shape.height || column < 0 || column >= shape.width) continue;
      body(row, column, taps[v] * taps[h]);
    }
  }
}

TEST(PixelOps, WindowMeans) {
  const Taps skewed = {0.1, -0.2, 0.4, 0.3, 0.5};
  for (const Shape& plane : {Shape{1, 1, 2}, Shape{7, 5, 1}, Shape{33, 12, 3}, Shape{12, 47, 1}, Shape{300, 9, 1}}) {
    for (const Taps& taps : {skewed, GaussianTaps(kMaxWindowTaps, 2.0)}) {
      SCOPED_TRACE(std::to_string(plane.width) + "x" + std::to_string(plane.height));
      Bench bench;
      CudaTape t(bench.device, bench.workspace, false);
      auto r = t.MakeOwn<false>(plane);
      auto d = t.MakeOwn<true>(plane);
      Randomise(t, r, 1);
      Randomise(t, d, 2);
      auto means = WindowMeans(t, WindowProducts{}, taps, r, d);
      std::vector<double> weights(2 * plane.channels);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 1.0 + 0.5 * static_cast<double>(i);
      auto score = WeightedSum(t, means, weights);
      bench.Finish();

      const PlanesView rv = t.View(r), dv = t.View(d);
      const double count = static_cast<double>(plane.plane());
      std::vector<double> expected(2 * plane.channels, 0.0), m(plane.count()), u = m, v = m;
      const auto index = [&](int c, int y, int x) { return (c * plane.height + y) * plane.width + x; };
      ForEach(plane, [&](int c, int y, int x) {
        const int at = index(c, y, x);
        ForEachOfWindow(plane, taps, false, y, x, [&](int row, int column, double weight) {
          m[at] += weight * At(rv, c, row, column);
          u[at] += weight * At(dv, c, row, column);
          v[at] += weight * At(dv, c, row, column) * At(rv, c, row, column);
        });
        expected[2 * c] += (u[at] * v[at] + At(dv, c, y, x)) / count;
        expected[2 * c + 1] += (u[at] * m[at] - double{At(dv, c, y, x)} * At(rv, c, y, x)) / count;
      });
      for (int i = 0; i < 2 * plane.channels; ++i) EXPECT_NEAR(t.Values(means)[i], expected[i], 1e-6) << i;

      t.Backward(MapScalars(t, Plus{}, score, Sum(t, d)));
      bench.Finish();
      const PlanesView gradient = t.LeafGradient(d);
      ForEach(plane, [&](int c, int y, int x) {
        const double up0 = weights[2 * c] / count, up1 = weights[2 * c + 1] / count, rx = At(rv, c, y, x);
        double sum = 1.0 + up0 - up1 * rx;
        ForEachOfWindow(plane, taps, true, y, x, [&](int row, int column, double weight) {
          const int at = index(c, row, column);
          sum += weight * (up0 * v[at] + up1 * m[at] + rx * up0 * u[at]);
        });
        ASSERT_NEAR(At(gradient, c, y, x), sum, 2e-6) << c << " " << y << " " << x;
      });
    }
  }
}

TEST(PixelOps, TooWideAWindowIsAFailure) {
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto r = t.MakeOwn<false>(Shape{64, 64, 1});
  WindowMeans(t, WindowProducts{}, GaussianTaps(kMaxWindowTaps + 2, 2.0), r, r);
  EXPECT_EQ(bench.device.failure().code, cudaErrorInvalidValue);
}

}  // namespace
}  // namespace likeness::cuda
