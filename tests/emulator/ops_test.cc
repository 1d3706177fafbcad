// The CUDA kernels, run on the CPU: what the golden rows do not reach. Values against naive loops, adjoints by the
// dot-product test, every border, odd shapes, kernels longer than the image.
#include <cuda_fp16.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/owners.h"
#include "kernels/metrics/functors.h"
#include "kernels/ops/correlate/correlate_cuda.h"
#include "kernels/ops/load/load_cuda.h"
#include "kernels/ops/map/map_cuda.cuh"
#include "kernels/ops/pool/pool_cuda.h"
#include "kernels/ops/reduce/reduce_cuda.h"
#include "kernels/ops/resample/resample_cuda.h"
#include "server/half.h"
#include "tests/emulator/bench.h"
#include "tests/emulator/control.h"

namespace likeness::cuda {
namespace {

TEST(EmulatedCuda, Correlate) {
  const Kernel skewed{{{{0.3, -0.2, 0.5}, {1.0, 0.25, -0.75}}, {{0.1, 0.7, -0.4}, {-0.5, 0.2, 0.9}}}};
  const Kernel even{{{{0.4, 0.6, -0.1, 0.2}, {0.5, -0.3, 0.8, 0.1}}}};
  const Kernel wide{{{{0.5, 0.5}, GaussianTaps(17, 3.0)}}};
  const Kernel tall{{{GaussianTaps(141, 30.0), {0.25, 0.75}}}};  // more than a block holds
  for (const Shape& shape : kShapes) {
    for (const Border border : kBorders) {
      for (const Kernel& kernel : {skewed, even, wide, tall, Separable(GaussianTaps(11, 1.5)), PrewittX()}) {
        if (border == Border::kValid && (shape.width < kernel.width() || shape.height < kernel.height())) continue;
        const int up = border == Border::kValid ? 0 : (kernel.height() - 1) / 2;
        const int left = border == Border::kValid ? 0 : (kernel.width() - 1) / 2;
        CheckLinear(
            "correlate with border " + std::to_string(static_cast<int>(border)), shape,
            [&](CudaTape& t, const auto& x) { return Correlate(t, x, kernel, border); },
            [&](const PlanesView& x, int c, int y, int i) {
              double sum = 0.0;
              for (const Kernel::Term& term : kernel.terms) {
                for (int v = 0; v < kernel.height(); ++v) {
                  for (int h = 0; h < kernel.width(); ++h) {
                    const int row = BorderIndex(y + v - up, shape.height, border);
                    const int column = BorderIndex(i + h - left, shape.width, border);
                    if (row >= 0 && column >= 0) sum += term.vertical[v] * term.horizontal[h] * At(x, c, row, column);
                  }
                }
              }
              return sum;
            });
      }
    }
  }
}

TEST(EmulatedCuda, PadAndCrop) {
  for (const Shape& shape : kShapes) {
    for (const Border border : kBorders) {
      for (const Margins& margins : {Margins{2, 1, 3, 4}, Margins{0, 0, 1, 1}, Margins{-1, -2, -1, 0}}) {
        const bool crops = margins.top < 0;
        if (border == Border::kValid || (crops && (shape.width < 3 || shape.height < 3))) continue;
        CheckLinear(
            "pad", shape, [&](CudaTape& t, const auto& x) { return Pad(t, x, margins, border); },
            [&](const PlanesView& x, int c, int y, int i) -> double {
              const int row = BorderIndex(y - margins.top, shape.height, border);
              const int column = BorderIndex(i - margins.left, shape.width, border);
              return row < 0 || column < 0 ? 0.0f : At(x, c, row, column);
            });
      }
    }
  }
}

void CheckResize(const Shape& shape, int width, int height) {
  const auto blend = [](int i, int in, int out, auto read) {
    const double at = std::max(0.0, (i + 0.5) * in / out - 0.5);
    const int low = std::min(static_cast<int>(at), in - 1);
    return read(low) * (1.0 - (at - low)) + read(std::min(low + 1, in - 1)) * (at - low);
  };
  CheckLinear(
      "resize", shape, [&](CudaTape& t, const auto& x) { return ResizeBilinear(t, x, width, height); },
      [&](const PlanesView& x, int c, int y, int i) {
        return blend(y, shape.height, height, [&](int row) {
          return blend(i, shape.width, width, [&](int column) { return double{At(x, c, row, column)}; });
        });
      });
}

TEST(EmulatedCuda, ResizeBilinear) {
  for (const Shape& shape : kShapes) {
    for (const auto& [width, height] : {std::pair{5, 7}, std::pair{41, 23}, std::pair{1, 2}, std::pair{66, 24}}) {
      if (width != shape.width || height != shape.height) CheckResize(shape, width, height);
    }
  }
}

// Places between samples take more than 32 bits to work out, and just not.
TEST(EmulatedCuda, ResizeBilinearOfLongRows) {
  CheckResize({50000, 1, 1}, 60000, 2);
  CheckResize({32767, 1, 1}, 32766, 1);
}

TEST(EmulatedCuda, MeanPool) {
  for (const Shape& shape : kShapes) {
    for (const int factor : {2, 3}) {
      if (shape.width < factor || shape.height < factor) continue;
      CheckLinear(
          "mean pool", shape, [&](CudaTape& t, const auto& x) { return MeanPool(t, x, factor); },
          [&](const PlanesView& x, int c, int y, int i) {
            double sum = 0.0;
            for (int v = 0; v < factor; ++v) {
              for (int h = 0; h < factor; ++h) sum += At(x, c, y * factor + v, i * factor + h);
            }
            return sum / (factor * factor);
          });
    }
  }
}

// More rows than blocks, more samples in a row than threads, a channel for each column of a wide image.
TEST(EmulatedCuda, Reductions) {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{3, 2500, 2}, Shape{700, 3, 3}, Shape{2, 3, 9000}}) {
    Bench bench;
    CudaTape t(bench.device, bench.workspace, false);
    auto x = t.MakeOwn<true>(shape);
    Randomise(t, x, 4);
    const PlanesView view = t.View(x);
    std::vector<double> sums(shape.channels, 0.0), maxima(shape.channels, -1.0), ties(shape.channels, 0.0);
    ForEach(shape, [&](int c, int y, int i) {
      sums[c] += At(view, c, y, i);
      maxima[c] = std::max<double>(maxima[c], At(view, c, y, i));
    });
    ForEach(shape, [&](int c, int y, int i) { ties[c] += At(view, c, y, i) == maxima[c] ? 1.0 : 0.0; });
    double total = 0.0, squares = 0.0;
    for (double sum : sums) total += sum;
    const double mean = total / shape.count();
    ForEach(shape, [&](int c, int y, int i) { squares += std::pow(At(view, c, y, i) - mean, 2); });

    auto sum_of_all = Sum(t, x);
    auto mean_of_all = Mean(t, x);
    auto deviation = StandardDeviation(t, x);
    auto means = ChannelMean(t, x);
    auto largest = ChannelMax(t, x);
    bench.Finish();
    // Sums of multiples of 1/64 are exact.
    EXPECT_EQ(*t.Values(sum_of_all), total);
    EXPECT_EQ(*t.Values(mean_of_all), mean);
    EXPECT_NEAR(*t.Values(deviation), std::sqrt(squares / shape.count()), 1e-7);
    for (int c = 0; c < shape.channels; ++c) {
      EXPECT_EQ(t.Values(means)[c], sums[c] / shape.plane());
      EXPECT_EQ(t.Values(largest)[c], maxima[c]);
    }
    // d/dx of (2 mean of channel maxima + mean of channel means).
    auto score = MapScalars(t, Plus{}, MapScalars(t, Linear{2.0, 0.0}, MeanOf(t, largest)), MeanOf(t, means));
    t.Backward(score);
    bench.Finish();
    const PlanesView gradient = t.LeafGradient(x);
    ForEach(shape, [&](int c, int y, int i) {
      const double share = At(view, c, y, i) == maxima[c] ? 2.0 / ties[c] : 0.0;
      const double expected = (share + 1.0 / shape.plane()) / shape.channels;
      ASSERT_NEAR(At(gradient, c, y, i), expected, 1e-6 * expected);
    });
  }
}

TEST(EmulatedCuda, TooManyChannelsAreAFailure) {
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto x = t.MakeOwn<false>(Shape{1, 1, Cuda::kPartialCount + 1});
  ChannelMax(t, x);
  EXPECT_EQ(bench.device.failure().code, cudaErrorInvalidValue);
}

TEST(EmulatedCuda, DeviationGradient) {
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  const Shape shape{37, 11, 1};
  auto x = t.MakeOwn<true>(shape);
  Randomise(t, x, 5);
  const PlanesView view = t.View(x);
  double mean = 0.0;
  ForEach(shape, [&](int c, int y, int i) { mean += At(view, c, y, i) / double(shape.count()); });
  auto score = StandardDeviation(t, x, /*population=*/false);
  bench.Finish();
  const double deviation = *t.Values(score);
  t.Backward(score);
  bench.Finish();
  const PlanesView gradient = t.LeafGradient(x);
  ForEach(shape, [&](int c, int y, int i) {
    ASSERT_NEAR(At(gradient, c, y, i), (At(view, c, y, i) - mean) / ((shape.count() - 1) * deviation), 1e-8);
  });
}

struct Affine {
  LIKENESS_HD auto operator()(auto x, auto pair, auto channel, auto again) const { return x * pair + channel * again; }
};

// Tracked scalars beside planes: one for the pair and one a channel, the same one twice.
TEST(EmulatedCuda, MapWithScalars) {
  const Shape shape{19, 1300, 3};
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  auto x = t.MakeOwn<true>(shape);
  auto weights = t.MakeOwn<false>(shape);
  Randomise(t, x, 6);
  Randomise(t, weights, 7);
  auto pair = t.MakeScalar<true>(1, "Leaf");
  auto channel = t.MakeScalar<true>(3, "Leaf");
  *t.Values(pair) = 0.75;
  for (int c = 0; c < 3; ++c) t.Values(channel)[c] = 0.25 * (c + 1);
  auto out = Map(t, Affine{}, x, pair, channel, channel);
  bench.Finish();
  const PlanesView view = t.View(x), w = t.View(weights), result = t.View(out);
  double to_pair = 0.0, to_channel[3] = {};
  ForEach(shape, [&](int c, int y, int i) {
    const double weight = At(w, c, y, i);
    to_pair += weight * At(view, c, y, i);
    to_channel[c] += weight * 2.0 * 0.25 * (c + 1);
    ASSERT_EQ(At(result, c, y, i), At(view, c, y, i) * 0.75f + 0.0625f * (c + 1) * (c + 1));
  });
  t.Backward(Sum(t, Map(t, Product{}, weights, out)));
  bench.Finish();
  EXPECT_NEAR(*static_cast<double*>(t.LeafGradient(pair).data), to_pair, 1e-9);
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(static_cast<double*>(t.LeafGradient(channel).data)[c], to_channel[c], 1e-9);
  }
  const PlanesView gradient = t.LeafGradient(x);
  ForEach(shape, [&](int c, int y, int i) { ASSERT_EQ(At(gradient, c, y, i), At(w, c, y, i) * 0.75f); });
}

// Every sample type and layout loads to the same planes; alpha is composited and its gradient gathers.
TEST(EmulatedCuda, LoadAndUnload) {
  const int width = 5, height = 3;
  const std::vector<std::uint8_t> rgba = [] {
    std::vector<std::uint8_t> bytes(5 * 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = i * 37 % 256;
    return bytes;
  }();
  Bench bench;
  CudaTape t(bench.device, bench.workspace, false);
  ImageView image{rgba.data(), width, height, 4, PixelType::kUint8, Layout::kHwc, 255.0, 4 * width};
  auto planes = LoadImage<false>(t, Picture::kReference, image, 3, 0.5);
  bench.Finish();
  const PlanesView view = t.View(planes);
  ForEach(view.shape, [&](int c, int y, int x) {
    const std::uint8_t* pixel = &rgba[(y * width + x) * 4];
    ASSERT_EQ(At(view, c, y, x), 0.5f + pixel[3] / 255.0f * (pixel[c] / 255.0f - 0.5f));
  });

  std::vector<float> chw(rgba.size());
  for (int c = 0; c < 4; ++c) {
    for (int i = 0; i < width * height; ++i) chw[c * width * height + i] = rgba[i * 4 + c] / 255.0f;
  }
  ImageView floats{chw.data(), width, height, 4, PixelType::kFloat32, Layout::kChw, 1.0, 4 * width};
  auto same = LoadImage<false>(t, Picture::kReference, floats, 3, 0.5);
  bench.Finish();
  ForEach(view.shape, [&](int c, int y, int x) { ASSERT_EQ(At(t.View(same), c, y, x), At(view, c, y, x)); });

  auto upstream = t.MakeOwn<false>(view.shape);
  Randomise(t, upstream, 8);
  std::vector<float> gradient(rgba.size(), std::nanf(""));
  UnloadGradient(bench.device, t.View(upstream), image, 0.5, gradient.data());
  bench.Finish();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::uint8_t* pixel = &rgba[(y * width + x) * 4];
      double to_alpha = 0.0;
      for (int c = 0; c < 3; ++c) {
        const double g = At(t.View(upstream), c, y, x);
        EXPECT_NEAR(gradient[(y * width + x) * 4 + c], g * pixel[3] / 255.0, 1e-7);
        to_alpha += g * (pixel[c] / 255.0 - 0.5);
      }
      EXPECT_NEAR(gradient[(y * width + x) * 4 + 3], to_alpha, 1e-6);
    }
  }
  std::vector<float> tensor(view.shape.count());
  std::vector<std::uint16_t> half_gradient(gradient.size()), half_tensor(tensor.size());
  UnloadPlanes(bench.device, view, Layout::kChw, tensor.data());
  UnloadPlanes(bench.device, view, Layout::kChw, {half_tensor.data(), true});
  UnloadGradient(bench.device, t.View(upstream), image, 0.5, {half_gradient.data(), true});
  bench.Finish();
  for (std::size_t i = 0; i < tensor.size(); ++i) ASSERT_EQ(half_tensor[i], server::ToHalf(tensor[i]));
  for (std::size_t i = 0; i < gradient.size(); ++i) ASSERT_EQ(half_gradient[i], server::ToHalf(gradient[i]));
  ForEach(view.shape, [&](int c, int y, int x) { ASSERT_EQ(tensor[(c * height + y) * width + x], At(view, c, y, x)); });

  // Gray and 16 bits; R = G = B.
  const std::uint16_t gray[] = {0, 257, 65535};
  ImageView deep{gray, 3, 1, 1, PixelType::kUint16, Layout::kHwc, 65535.0, 6};
  auto colour = LoadImage<false>(t, Picture::kReference, deep, 3, 1.0);
  bench.Finish();
  for (int c = 0; c < 3; ++c) EXPECT_EQ(At(t.View(colour), c, 0, 1), 257 / 65535.0f);
  const std::uint16_t half[] = {0x3c00, 0x3800, 0x0001};  // 1, 0.5, the smallest
  ImageView small{half, 3, 1, 1, PixelType::kFloat16, Layout::kHwc, 1.0, 6};
  auto loaded = LoadImage<false>(t, Picture::kReference, small, 1, 1.0);
  bench.Finish();
  EXPECT_EQ(At(t.View(loaded), 0, 0, 0), 1.0f);
  EXPECT_EQ(At(t.View(loaded), 0, 0, 1), 0.5f);
  EXPECT_EQ(At(t.View(loaded), 0, 0, 2), std::ldexp(1.0f, -24));
}

TEST(EmulatedCuda, OwnersReleaseOnce) {
  const std::int64_t before = EmulatedAllocationCount();
  {
    Stream stream, other;
    Event event;
    DeviceBuffer buffer;
    PinnedBuffer pinned;
    ASSERT_FALSE(Stream::Create(&stream).failed());
    ASSERT_FALSE(Event::Create(Event::Kind::kOrder, &event).failed());
    ASSERT_FALSE(DeviceBuffer::Create(100, &buffer).failed());
    ASSERT_FALSE(PinnedBuffer::Create(100, &pinned).failed());
    EXPECT_EQ(EmulatedAllocationCount(), before + 4);
    other = std::move(stream);
    DeviceBuffer moved(std::move(buffer));
    EXPECT_EQ(buffer.data(), nullptr);
    EXPECT_EQ(moved.size_bytes(), 100);
    ASSERT_FALSE(DeviceBuffer::Create(200, &moved).failed());  // the old one goes
    EXPECT_EQ(EmulatedAllocationCount(), before + 4);
  }
  EXPECT_EQ(EmulatedAllocationCount(), before);
}

absl::Status Try(cudaError_t code) {
  LIKENESS_CUDA_RETURN_IF_ERROR(code);
  return absl::OkStatus();
}

TEST(EmulatedCuda, ErrorsBecomeStatuses) {
  EXPECT_TRUE(Try(cudaSuccess).ok());
  EXPECT_EQ(Try(cudaErrorMemoryAllocation).code(), absl::StatusCode::kResourceExhausted);
  const absl::Status status = Try(cudaErrorInvalidValue);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("cudaErrorInvalidValue"));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("ops_test.cc:"));

  LimitEmulatedMemory(1000);
  DeviceBuffer buffer;
  EXPECT_EQ(DeviceBuffer::Create(2000, &buffer).code, cudaErrorMemoryAllocation);
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // it was cleared
  LimitEmulatedMemory(std::int64_t{1} << 40);
}

}  // namespace
}  // namespace likeness::cuda
