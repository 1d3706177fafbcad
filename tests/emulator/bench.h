// What tests of ops on the emulator share: a device to note steps on, random planes, the adjoint's dot-product test.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/owners.h"
#include "kernels/metrics/functors.h"
#include "kernels/ops/border.h"
#include "kernels/ops/fft/fft_plans.h"
#include "kernels/ops/filter_bank/device_banks.h"
#include "kernels/ops/map/map_cuda.cuh"
#include "kernels/ops/reduce/reduce_cuda.h"

namespace likeness::cuda {

using CudaTape = Tape<Cuda>;

template <class Buffer>
Buffer Make(std::int64_t bytes) {
  Buffer buffer;
  EXPECT_FALSE(Buffer::Create(bytes, &buffer).failed());
  return buffer;
}

struct Bench {
  std::vector<double> scratch = std::vector<double>(Cuda::kScratchCount, std::nan(""));
  PinnedBuffer staged_table = Make<PinnedBuffer>(1 << 20);
  DeviceBuffer table = Make<DeviceBuffer>(1 << 20);
  Launches launches{staged_table.data(), table.data(), 1 << 20};
  FftPlans fft_plans;
  DeviceBanks banks;
  Cuda device{launches, scratch.data(), {&fft_plans, &banks}};
  Workspace workspace;
  Bench() {
    EXPECT_TRUE(workspace.arena().Reserve(64 << 20));
    launches.BeginLane();
  }
  // Runs what was noted.
  void Finish() {
    EXPECT_FALSE(device.failure().failed()) << device.failure().expression;
    EXPECT_FALSE(launches.Merge().failed());
    EXPECT_FALSE(launches.UploadAsync(nullptr).failed());
    EXPECT_FALSE(EnqueueAll(launches.merged(), nullptr).failed());
    launches.Clear();
    launches.BeginLane();
  }
};

template <class Body>
void ForEach(const Shape& shape, Body body) {
  for (int c = 0; c < shape.channels; ++c) {
    for (int y = 0; y < shape.height; ++y) {
      for (int x = 0; x < shape.width; ++x) body(c, y, x);
    }
  }
}

inline float& At(const PlanesView& view, int c, int y, int x) { return Row(view, c, y)[x]; }

// Multiples of 1/64 in [-0.5, 0.5): products and short sums are exact in float.
inline void Randomise(CudaTape& t, const DataHandle& planes, std::uint32_t seed) {
  std::mt19937 random(seed);
  const PlanesView view = t.View(planes);
  ForEach(view.shape, [&](int c, int y, int x) { At(view, c, y, x) = static_cast<int>(random() % 64) / 64.0f - 0.5f; });
}

inline double Dot(const PlanesView& a, const PlanesView& b) {
  double sum = 0.0;
  ForEach(a.shape, [&](int c, int y, int x) { sum += double{At(a, c, y, x)} * At(b, c, y, x); });
  return sum;
}

inline constexpr Shape kShapes[] = {{1, 1, 1}, {2, 3, 1}, {7, 5, 2}, {33, 12, 3}, {12, 47, 1}, {300, 9, 1}, {1, 40, 2}};

// <A x, y> = <x, A^T y>; `naive(x view, c, y, x)` is A's value. x has a second reader, so that gradients accumulate.
template <class Op, class Naive>
void CheckLinear(const std::string& name, const Shape& shape, Op op, Naive naive) {
  SCOPED_TRACE(name + " on " + std::to_string(shape.width) + "x" + std::to_string(shape.height));
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto x = t.MakeOwn<true>(shape);
  Randomise(t, x, 1);
  auto out = op(t, x);
  bench.Finish();
  const PlanesView source = t.View(x), result = t.View(out);
  ForEach(out.shape(), [&](int c, int y, int i) {
    const double expected = naive(source, c, y, i);
    ASSERT_NEAR(At(result, c, y, i), expected, 1e-6 * std::max(1.0, std::abs(expected))) << c << " " << y << " " << i;
  });
  auto y = t.MakeOwn<false>(out.shape());
  Randomise(t, y, 2);
  auto direct = t.MakeOwn<false>(shape);
  Randomise(t, direct, 3);
  auto score = MapScalars(t, Plus{}, Sum(t, Map(t, Product{}, y, out)), Sum(t, Map(t, Product{}, x, direct)));
  bench.Finish();
  const double forward = *t.Values(score);
  EXPECT_NEAR(forward, Dot(t.View(y), result) + Dot(source, t.View(direct)), 1e-5 * (1.0 + std::abs(forward)));
  t.Backward(score);
  bench.Finish();
  // Sums of float values of size one, each rounded once or twice.
  EXPECT_NEAR(forward, Dot(t.View(x), t.LeafGradient(x)), 2e-6 * (1.0 + static_cast<double>(shape.count())));
}

inline constexpr Border kBorders[] = {Border::kZero, Border::kReplicate, Border::kReflect101, Border::kSymmetric,
                                      Border::kValid};

}  // namespace likeness::cuda
