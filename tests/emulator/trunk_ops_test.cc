// What the golden rows do not reach of the trunk's ops.
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "kernels/metrics/dists/dists_math.h"
#include "kernels/ops/conv_trunk/conv_trunk_cuda.h"
#include "kernels/ops/conv_trunk/features_cuda.cuh"
#include "kernels/ops/conv_trunk/tap_distances.h"
#include "kernels/ops/conv_trunk/tap_moments.h"
#include "kernels/ops/resample/resample_cuda.h"
#include "tests/emulator/bench.h"
#include "tests/gpu/support.h"

namespace likeness::cuda {
namespace {

using likeness::testing::SyntheticTrunk;

// A bench with a trunk's weights.
struct TrunkBench : Bench {
  SyntheticTrunk host;
  DeviceTrunks trunks;
  ConvPlans plans;
  TrunkUse use;
  Cuda device;

  TrunkBench(const TrunkSpec& spec, Precision precision)
      : host(spec), device(launches, scratch.data(), {&fft_plans, &banks, &plans, &trunks}) {
    const DeviceTrunks::Source source{&spec, &host.weights};
    EXPECT_FALSE(DeviceTrunks::Create({&source, 1}, &trunks).failed());
    EXPECT_FALSE(ConvPlans::Create(nullptr, nullptr, 0, &plans).failed());
    use.spec = &spec;
    use.weights = &host.weights;
    use.precision = precision;
    // cuDNN insists on memory of the GPU.
    work = Make<DeviceBuffer>(64 << 20);
    memory.arena().Adopt(work.data(), work.size_bytes());
  }
  DeviceBuffer work;
  Workspace memory;
  CudaTape MakeTape() { return CudaTape(device, memory, false); }
};

constexpr ColorNormalization kColor = {{0.4, 0.5, 0.6}, {0.2, 0.3, 0.25}};

// The value's two readers, a tap and the next convolution, in both orders of recording: whichever sends its gradient
// first writes it, the other adds.
TEST(TrunkOps, GradientsAddUpInEitherOrder) {
  const Shape shape{47, 39, 3};
  const UnitLength length{0.0, 1e-10};
  std::vector<float> gradients[2];
  for (const bool tap_last : {false, true}) {
    TrunkBench bench(kAlexTrunk, Precision::kExact);
    CudaTape t = bench.MakeTape();
    auto image = t.MakeOwn<true>(shape);
    auto other = t.MakeOwn<false>(shape);
    Randomise(t, image, 1);
    Randomise(t, other, 2);
    const TrunkUse& use = bench.use;
    const auto down = [&](const auto& x) {
      auto f = ConvRelu(t, use, 0, ImageFeatures(t, use, x, kColor));
      f = ConvRelu(t, use, 1, PoolBefore(t, use, 1, f));
      return ConvRelu(t, use, 2, PoolBefore(t, use, 2, f));
    };
    auto r = down(other);
    auto d = down(image);
    const auto deeper = [&] {
      return Mean(t, TapDistance(t, use, 3, length, ConvRelu(t, use, 3, r), ConvRelu(t, use, 3, d)));
    };
    const auto here = [&] { return Mean(t, TapDistance(t, use, 2, length, r, d)); };
    if (tap_last) {
      auto far = deeper();
      t.Backward(MapScalars(t, Plus{}, here(), far));
    } else {
      auto near = here();
      t.Backward(MapScalars(t, Plus{}, near, deeper()));
    }
    bench.Finish();
    EXPECT_FALSE(bench.device.failure().failed());
    const PlanesView gradient = t.LeafGradient(image);
    ForEach(shape, [&](int c, int y, int x) { gradients[tap_last].push_back(At(gradient, c, y, x)); });
  }
  double size = 0.0;
  for (const float g : gradients[0]) size = std::fmax(size, std::fabs(g));
  ASSERT_GT(size, 0.0);
  for (std::size_t i = 0; i < gradients[0].size(); ++i) ASSERT_NEAR(gradients[0][i], gradients[1][i], 1e-5 * size) << i;
}

struct Passed {
  std::vector<double> values;
  std::vector<float> gradient;
};

// Of one pair through `spec`. score(t, use, reference, distorted, values) makes the score and notes how to read what it
// is made of.
template <class Score>
Passed PassThrough(const TrunkSpec& spec, Precision precision, const Shape& shape, Score score) {
  TrunkBench bench(spec, precision);
  CudaTape t = bench.MakeTape();
  auto image = t.MakeOwn<true>(shape);
  auto other = t.MakeOwn<false>(shape);
  Randomise(t, image, 1);
  Randomise(t, other, 2);
  std::function<void(std::vector<double>&)> values;
  const Scalar<true> made = score(t, bench.use, other, image, values);
  bench.Finish();
  EXPECT_FALSE(bench.device.failure().failed());
  Passed passed;
  values(passed.values);
  t.Backward(made);
  bench.Finish();
  const PlanesView gradient = t.LeafGradient(image);
  ForEach(shape, [&](int c, int y, int x) { passed.gradient.push_back(At(gradient, c, y, x)); });
  return passed;
}

// An image in windows: the values are those of the whole image, but for `tolerance` of one and one, and the gradient is
// the same but for the order of sums, and in half for where each window rounds. `whole` looks less far than the whole
// network, so that small windows do.
template <class Score>
void ExpectWindowsChangeNothing(TrunkSpec whole, double tolerance, Score score) {
  whole.whole_pixels = whole.whole_pixels_gradient = 0;
  TrunkSpec windowed = whole;
  const Shape shape{57, 43, 3};
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    windowed.whole_pixels = windowed.whole_pixels_gradient = precision == Precision::kFast ? 1'000 : 2'000;
    ASSERT_FALSE(TrunkWindows(windowed, FeatureLayout::kPixels, precision, shape.width, shape.height, /*gradient=*/true)
                     .whole());
    const Passed expected = PassThrough(whole, precision, shape, score);
    const Passed seen = PassThrough(windowed, precision, shape, score);
    ASSERT_EQ(seen.values.size(), expected.values.size());
    ASSERT_FALSE(seen.values.empty());
    for (std::size_t i = 0; i < seen.values.size(); ++i) {
      ASSERT_NEAR(seen.values[i], expected.values[i], tolerance * (1.0 + std::fabs(expected.values[i]))) << i;
    }
    double size = 0.0;
    for (const float g : expected.gradient) size = std::fmax(size, std::fabs(g));
    ASSERT_GT(size, 0.0);
    const double of_gradient = precision == Precision::kFast ? 5e-3 : 2e-6;
    for (std::size_t i = 0; i < seen.gradient.size(); ++i) {
      ASSERT_NEAR(seen.gradient[i], expected.gradient[i], of_gradient * size) << i;
    }
  }
}

TEST(TrunkOps, WindowsChangeNoDistance) {
  TrunkSpec spec = kVgg16Trunk;
  spec.convs = std::span(kVgg16Convs).first(4);
  ExpectWindowsChangeNothing(spec, 0.0,
                             [](CudaTape& t, const TrunkUse& use, const auto& other, const auto& image, auto& values) {
                               const auto distances = TapDistances(t, use, {kColor, {0.0, 1e-10}, false}, other, image);
                               Scalar<true> score;
                               for (const Planes<true>& tap : distances) {
                                 auto mean = Mean(t, tap);
                                 score = score.empty() ? mean : MapScalars(t, Plus{}, score, mean);
                               }
                               values = [&t, distances](std::vector<double>& to) {
                                 for (const Planes<true>& tap : distances) {
                                   const PlanesView view = t.View(tap);
                                   ForEach(view.shape, [&](int c, int y, int x) { to.push_back(At(view, c, y, x)); });
                                 }
                               };
                               return score;
                             });
}

// Moments are merged of those of the windows, which are sums of floats.
TEST(TrunkOps, WindowsChangeNoMoments) {
  TrunkSpec spec = kVgg16SmoothTrunk;
  spec.convs = std::span(kVgg16Convs).first(4);
  ExpectWindowsChangeNothing(
      spec, 1e-6, [](CudaTape& t, const TrunkUse& use, const auto& other, const auto& image, auto& values) {
        const auto taps = TapMoments(t, use, kColor, other, image);
        Scalar<true> score;
        for (const auto& m : taps) {
          const auto one = MapScalars(t, Linear{0.0, 1.0}, m.reference_mean);
          auto mean = MeanOf(t, MapScalars(t, DistsChannel{}, one, one, m.reference_mean, m.reference_variance,
                                           m.distorted_mean, m.distorted_variance, m.difference_variance));
          score = score.empty() ? mean : MapScalars(t, Plus{}, score, mean);
        }
        values = [&t, taps](std::vector<double>& to) {
          for (const auto& tap : taps) {
            const MomentValues of = trunk_internal::ValuesOf(t, tap);
            for (const double* moment : {of.reference_mean, of.reference_variance, of.distorted_mean,
                                         of.distorted_variance, of.difference_variance}) {
              to.insert(to.end(), moment, moment + tap.distorted_mean.count());
            }
          }
        };
        return score;
      });
}

// A convolution of two images, in half, in as many batches as its proof takes: 262144 numbers.
TEST(TrunkOps, ProofsInHalfTakeManyNumbers) {
  Stream stream;
  ASSERT_FALSE(Stream::Create(&stream).failed());
  const DeviceBuffer area = Make<DeviceBuffer>(1 << 16), in = Make<DeviceBuffer>(1 << 16),
                     out = Make<DeviceBuffer>(1 << 16), weight = Make<DeviceBuffer>(1 << 10);
  ConvPlans plans;
  ASSERT_FALSE(ConvPlans::Create(stream.get(), area.data(), area.size_bytes(), &plans).failed());
  const ConvShape shape{{8, 8, 1, 0}, 32, 32, Precision::kFast};
  constexpr std::int64_t kImageBytes = 32 * 32 * 8 * 2;
  int trials = 0;
  for (int batch = 0; batch < 30; ++batch) {
    plans.BeginBatch();
    const auto run = [&] {
      EXPECT_FALSE(plans.Run(shape, {in.data(), weight.data(), weight.data(), out.data()}, 2, kImageBytes, kImageBytes)
                       .failed());
      EXPECT_FALSE(stream.Wait().failed());
    };
    run();
    if (!plans.WantsTrial()) continue;
    plans.BeginTrial();
    run();
    plans.EndTrial(true);
    ++trials;
  }
  EXPECT_EQ(trials, (1 << 18) / (2 * 32 * 32 * 8));
  EXPECT_EQ(plans.trials().agreed, 1);
}

// 5 x 5, windows of 3 at stride 2 that share a row and a column; the centre is the maximum of all four, and a tie in
// the first.
TEST(TrunkOps, MaxPoolSendsTheGradientToTheFirstMaximum) {
  Bench bench;
  const Shape shape{5, 5, 8}, pooled{2, 2, 8};
  std::vector<float> in(shape.count(), 0.0f), upstream(pooled.count(), 1.0f), out(shape.count(), NAN);
  const auto at = [&](std::vector<float>& features, int channel, int y, int x) -> float& {
    return features[(y * 5 + x) * 8 + channel];
  };
  at(in, 3, 2, 2) = 1.0f;
  at(in, 3, 0, 1) = 1.0f;  // earlier, in the first window only
  MaxPoolBackward(bench.device, {in.data(), shape}, 3, 2, {upstream.data(), pooled}, {out.data(), shape}, false);
  bench.Finish();
  EXPECT_EQ(at(out, 3, 0, 1), 1.0f);
  EXPECT_EQ(at(out, 3, 2, 2), 3.0f);
  // All zeros: the first sample of each window.
  EXPECT_EQ(at(out, 0, 0, 0), 1.0f);
  EXPECT_EQ(at(out, 0, 2, 2), 1.0f);
  double total = 0.0;
  for (const float g : out) total += g;
  EXPECT_EQ(total, 4.0 * 8);
}

// Narrower kernels beside a wide one are in its middle, on both ways.
TEST(TrunkOps, ConvolutionsBesideEachOtherAreOne) {
  const TrunkSpec& spec = kSqueezeNetTrunk;
  const SyntheticTrunk host(spec);
  const DeviceTrunks::Source source{&spec, &host.weights};
  DeviceTrunks trunks;
  ASSERT_FALSE(DeviceTrunks::Create({&source, 1}, &trunks).failed());
  const int layer = 2;  // 16 to 64 channels, 1x1 beside 3x3
  const DeviceConv& conv = trunks.conv(&host.weights, layer);
  EXPECT_EQ(conv.geometry, (ConvGeometry{16, 128, 3, 1}));
  const auto* weight = static_cast<const float*>(conv.exact.weight);
  const auto* adjoint = static_cast<const float*>(conv.exact.adjoint);
  const auto* half = static_cast<const __half*>(conv.fast.weight);
  for (int out = 0; out < 128; ++out) {
    for (int in = 0; in < 16; ++in) {
      for (int tap = 0; tap < 9; ++tap) {
        const bool narrow = out < 64;
        const std::span<const float> from = host.weights.convs[narrow ? layer : layer + 1].weight;
        float expected = 0.0f;
        if (!narrow) expected = from[((out - 64) * 16 + in) * 9 + tap];
        if (narrow && tap == 4) expected = from[out * 16 + in];
        ASSERT_EQ(weight[(out * 9 + tap) * 16 + in], expected);
        ASSERT_EQ(adjoint[(in * 9 + (8 - tap)) * 128 + out], expected);
        ASSERT_NEAR(__half2float(half[(out * 9 + tap) * 16 + in]), expected, 5e-4 * std::fabs(expected) + 3e-8);
      }
    }
  }
}

TEST(TrunkOps, HalfRoundsToTheNearest) {
  const struct {
    float value;
    std::uint16_t bits;
  } cases[] = {{0.0f, 0},
               {1.0f, 0x3c00},
               {-2.0f, 0xc000},
               {65504.0f, 0x7bff},
               {65519.0f, 0x7bff},
               {65520.0f, 0x7c00},
               {1e9f, 0x7c00},
               {0x1p-24f, 1},
               {0x1p-25f, 0},
               {0x1.8p-24f, 2},
               {0x1p-14f, 0x400},
               {1.00048828125f, 0x3c00},
               {1.00146484375f, 0x3c02},
               {2047.9f, 0x6800}};
  for (const auto& c : cases) EXPECT_EQ(__float2half_rn(c.value).bits, c.bits) << c.value;
  for (int bits = 0; bits < 0x7c00; ++bits) {
    const __half half{static_cast<std::uint16_t>(bits)};
    ASSERT_EQ(__float2half_rn(__half2float(half)).bits, bits);
  }
}

}  // namespace
}  // namespace likeness::cuda
