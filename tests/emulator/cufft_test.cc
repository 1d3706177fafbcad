// The emulated cuFFT: against plain sums, with every kind of layout, and what it spoils and refuses.
#include <cufft.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <random>
#include <vector>

#include "tests/emulator/control.h"

namespace {

using ::testing::Each;
using ::testing::IsNan;
using Complex = std::complex<float>;
using Samples = std::vector<Complex>;

constexpr float kUntouched = 12345.0f;

struct Size {
  int height, width;
};
constexpr Size kSizes[] = {{1, 1}, {1, 5}, {6, 1}, {2, 2}, {4, 6}, {5, 7}, {7, 4}, {9, 15}};

// The rows, columns and batches of one side of a transform.
struct Layout {
  int row;  // samples from one row's begin to the next's
  int stride;
  int distance;
  int inembed[2];

  Layout(int height, int row, int stride, int gap)
      : row(row), stride(stride), distance(height * row * stride + gap), inembed{height, row} {}
  int At(int batch, int y, int x) const { return batch * distance + (y * row + x) * stride; }
};

class Plan {
 public:
  Plan() { EXPECT_EQ(cufftCreate(&plan_), CUFFT_SUCCESS); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() { EXPECT_EQ(cufftDestroy(plan_), CUFFT_SUCCESS); }
  operator cufftHandle() const { return plan_; }  // NOLINT: as a handle

  cufftResult Make(Size size, Layout in, Layout out, cufftType type, int batch) {
    int n[] = {size.height, size.width};
    return cufftMakePlanMany(plan_, 2, n, in.inembed, in.stride, in.distance, out.inembed, out.stride, out.distance,
                             type, batch, &work_bytes);
  }
  cufftResult MakeDense(Size size, cufftType type, int batch) {
    int n[] = {size.height, size.width};
    return cufftMakePlanMany(plan_, 2, n, nullptr, 0, 0, nullptr, 0, 0, type, batch, &work_bytes);
  }
  std::size_t work_bytes = 0;

 private:
  cufftHandle plan_ = 0;
};

// One transform by its definition.
Samples Sum(Size size, const Samples& in, int sign) {
  Samples out;
  for (int v = 0; v < size.height; ++v) {
    for (int u = 0; u < size.width; ++u) {
      std::complex<double> sum = 0.0;
      for (int y = 0; y < size.height; ++y) {
        for (int x = 0; x < size.width; ++x) {
          const double turns = static_cast<double>(v * y % size.height) / size.height +
                               static_cast<double>(u * x % size.width) / size.width;
          sum += std::complex<double>(in[y * size.width + x]) * std::polar(1.0, sign * 2.0 * std::numbers::pi * turns);
        }
      }
      out.emplace_back(sum);
    }
  }
  return out;
}

Samples Random(int count, bool real, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto number = [&] { return static_cast<float>(random() % 2048) / 1024.0f - 1.0f; };
  Samples samples;
  for (int i = 0; i < count; ++i) samples.emplace_back(number(), real ? 0.0f : number());
  return samples;
}

void ExpectNear(Complex value, Complex expected, int count) {
  ASSERT_NEAR(value.real(), expected.real(), 1e-6 * count);
  ASSERT_NEAR(value.imag(), expected.imag(), 1e-6 * count);
}

cufftComplex* Raw(Samples& samples) { return reinterpret_cast<cufftComplex*>(samples.data()); }

// Whether all samples but those of the layout are as they were.
template <class Sample>
int Untouched(const std::vector<Sample>& samples) {
  int count = 0;
  for (const Sample& sample : samples) count += sample == Sample(kUntouched) ? 1 : 0;
  return count;
}

TEST(EmulatedCufft, ComplexToComplex) {
  constexpr int kBatch = 2;
  for (const Size& size : kSizes) {
    const int count = size.height * size.width;
    const Layout in(size.height, size.width + 3, 2, 5), out(size.height, size.width + 1, 3, 0);
    for (const int direction : {CUFFT_FORWARD, CUFFT_INVERSE}) {
      const Samples values = Random(kBatch * count, false, 1);
      Samples from(kBatch * in.distance, kUntouched), to(kBatch * out.distance, kUntouched);
      const auto for_each = [&](auto body) {
        for (int i = 0; i < kBatch * count; ++i) body(i, i / count, i % count / size.width, i % size.width);
      };
      for_each([&](int i, int b, int y, int x) { from[in.At(b, y, x)] = values[i]; });
      Plan plan;
      ASSERT_EQ(plan.Make(size, in, out, CUFFT_C2C, kBatch), CUFFT_SUCCESS);
      ASSERT_EQ(cufftExecC2C(plan, Raw(from), Raw(to), direction), CUFFT_SUCCESS);
      EXPECT_EQ(Untouched(to), static_cast<int>(to.size()) - kBatch * count);
      for (int b = 0; b < kBatch; ++b) {
        const Samples one(values.begin() + b * count, values.begin() + (b + 1) * count);
        const Samples expected = Sum(size, one, direction);
        for (int i = 0; i < count; ++i) {
          ExpectNear(to[out.At(b, i / size.width, i % size.width)], expected[i], count);
          ASSERT_EQ(from[in.At(b, i / size.width, i % size.width)], one[i]);
        }
      }
      // In place.
      Plan dense;
      Samples both = values;
      ASSERT_EQ(dense.MakeDense(size, CUFFT_C2C, kBatch), CUFFT_SUCCESS);
      ASSERT_EQ(cufftExecC2C(dense, Raw(both), Raw(both), direction), CUFFT_SUCCESS);
      for_each([&](int i, int b, int y, int x) { ASSERT_EQ(both[i], to[out.At(b, y, x)]); });
    }
  }
}

TEST(EmulatedCufft, RealToComplexAndBack) {
  constexpr int kBatch = 3;
  for (const Size& size : kSizes) {
    const int count = size.height * size.width, half = size.width / 2 + 1;
    const Layout real(size.height, size.width + 3, 2, 5), complex(size.height, half + 1, 3, 7);
    std::vector<float> from(kBatch * real.distance, kUntouched), back(from);
    Samples to(kBatch * complex.distance, kUntouched);
    const Samples values = Random(kBatch * count, true, 2);
    for (int i = 0; i < kBatch * count; ++i) {
      from[real.At(i / count, i % count / size.width, i % size.width)] = values[i].real();
    }
    const std::vector<float> kept = from;
    Plan forward, inverse;
    ASSERT_EQ(forward.Make(size, real, complex, CUFFT_R2C, kBatch), CUFFT_SUCCESS);
    ASSERT_EQ(inverse.Make(size, complex, real, CUFFT_C2R, kBatch), CUFFT_SUCCESS);
    ASSERT_EQ(cufftExecR2C(forward, from.data(), Raw(to)), CUFFT_SUCCESS);
    EXPECT_EQ(from, kept);
    EXPECT_EQ(Untouched(to), static_cast<int>(to.size()) - kBatch * size.height * half);
    for (int b = 0; b < kBatch; ++b) {
      const Samples expected = Sum(size, {values.begin() + b * count, values.begin() + (b + 1) * count}, -1);
      for (int y = 0; y < size.height; ++y) {
        for (int x = 0; x < half; ++x) ExpectNear(to[complex.At(b, y, x)], expected[y * size.width + x], count);
      }
    }
    ASSERT_EQ(cufftExecC2R(inverse, Raw(to), back.data()), CUFFT_SUCCESS);
    EXPECT_EQ(Untouched(back), static_cast<int>(back.size()) - kBatch * count);
    for (std::size_t i = 0; i < back.size(); ++i) {
      ASSERT_NEAR(back[i], kept[i] == kUntouched ? kUntouched : count * kept[i], 2e-6 * count);
    }
    // Its input is gone, and nothing but its input.
    for (int b = 0; b < kBatch; ++b) {
      for (int y = 0; y < size.height; ++y) {
        for (int x = 0; x < half; ++x) ASSERT_TRUE(std::isnan(to[complex.At(b, y, x)].real()));
      }
    }
    EXPECT_EQ(Untouched(to), static_cast<int>(to.size()) - kBatch * size.height * half);
  }
}

// Dense rows of real samples have the room that their spectrum needs.
TEST(EmulatedCufft, RealToComplexInPlace) {
  constexpr int kBatch = 2;
  for (const Size& size : kSizes) {
    const int count = size.height * size.width, half = size.width / 2 + 1;
    const Samples values = Random(kBatch * count, true, 3);
    Samples both(kBatch * size.height * half);
    float* reals = reinterpret_cast<float*>(both.data());
    const auto at = [&](int i) { return i / size.width * 2 * half + i % size.width; };
    for (int i = 0; i < kBatch * count; ++i) reals[at(i)] = values[i].real();
    Plan forward, inverse;
    ASSERT_EQ(forward.MakeDense(size, CUFFT_R2C, kBatch), CUFFT_SUCCESS);
    ASSERT_EQ(inverse.MakeDense(size, CUFFT_C2R, kBatch), CUFFT_SUCCESS);
    ASSERT_EQ(cufftExecR2C(forward, reals, Raw(both)), CUFFT_SUCCESS);
    for (int b = 0; b < kBatch; ++b) {
      const Samples expected = Sum(size, {values.begin() + b * count, values.begin() + (b + 1) * count}, -1);
      for (int i = 0; i < size.height * half; ++i) {
        ExpectNear(both[b * size.height * half + i], expected[i / half * size.width + i % half], count);
      }
    }
    ASSERT_EQ(cufftExecC2R(inverse, Raw(both), reals), CUFFT_SUCCESS);
    for (int i = 0; i < kBatch * count; ++i) ASSERT_NEAR(reals[at(i)], count * values[i].real(), 2e-6 * count);
  }
}

TEST(EmulatedCufft, AnythingButTheSpectrumOfRealsGivesNaN) {
  const Size size{4, 6};
  Plan plan;
  ASSERT_EQ(plan.MakeDense(size, CUFFT_C2R, 1), CUFFT_SUCCESS);
  std::vector<float> out(24);
  for (const int skewed : {0, 4, 3, 7}) {  // columns 0 and 3 stand for one
    Samples in(16, Complex(1.0f, 0.0f));
    in[skewed] += Complex(0.0f, 0.01f);
    ASSERT_EQ(cufftExecC2R(plan, Raw(in), out.data()), CUFFT_SUCCESS);
    EXPECT_THAT(out, Each(IsNan()));
  }
  Samples in(16, Complex(1.0f, 0.0f));
  in[1] += Complex(0.0f, 0.01f);
  ASSERT_EQ(cufftExecC2R(plan, Raw(in), out.data()), CUFFT_SUCCESS);
  EXPECT_THAT(out, Each(::testing::Not(IsNan())));
}

TEST(EmulatedCufft, UsesTheWorkAreaAndTheStreamThatItGets) {
  const std::int64_t alive = EmulatedAllocationCount();
  cudaStream_t stream;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    Samples in(8, Complex(1.0f, 0.0f)), out(8);
    Plan plan, own;
    ASSERT_EQ(own.MakeDense({2, 4}, CUFFT_C2C, 1), CUFFT_SUCCESS);
    EXPECT_EQ(EmulatedAllocationCount(), alive + 4);  // the stream, two plans and an area

    ASSERT_EQ(cufftSetAutoAllocation(plan, 0), CUFFT_SUCCESS);
    ASSERT_EQ(plan.MakeDense({2, 4}, CUFFT_C2C, 1), CUFFT_SUCCESS);
    EXPECT_EQ(EmulatedAllocationCount(), alive + 4);
    std::size_t bytes = 0;
    EXPECT_EQ(cufftGetSize(plan, &bytes), CUFFT_SUCCESS);
    EXPECT_EQ(bytes, plan.work_bytes);
    ASSERT_GT(bytes, 0u);
    EXPECT_EQ(cufftExecC2C(plan, Raw(in), Raw(out), CUFFT_FORWARD), CUFFT_NO_WORKSPACE);

    std::vector<float> area(bytes / sizeof(float));
    ASSERT_EQ(cufftSetWorkArea(plan, area.data()), CUFFT_SUCCESS);
    ASSERT_EQ(cufftSetStream(plan, stream), CUFFT_SUCCESS);
    ASSERT_EQ(cufftExecC2C(plan, Raw(in), Raw(out), CUFFT_FORWARD), CUFFT_SUCCESS);
    EXPECT_EQ(out[0], Complex());
    EXPECT_EQ(area[0], 0.0f);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(out[0], Complex(8.0f, 0.0f));
    EXPECT_THAT(area, Each(IsNan()));
  }
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(EmulatedAllocationCount(), alive);
}

TEST(EmulatedCufft, Refuses) {
  Samples both(64);
  auto* reals = reinterpret_cast<float*>(both.data());
  Plan plan;
  EXPECT_EQ(cufftExecC2R(plan, Raw(both), reals), CUFFT_INVALID_PLAN);  // not made
  EXPECT_EQ(plan.MakeDense({0, 4}, CUFFT_R2C, 1), CUFFT_INVALID_SIZE);
  EXPECT_EQ(plan.MakeDense({4, 4}, CUFFT_R2C, 0), CUFFT_INVALID_SIZE);
  EXPECT_EQ(plan.Make({4, 4}, Layout(4, 3, 1, 0), Layout(4, 3, 1, 0), CUFFT_R2C, 1), CUFFT_INVALID_VALUE);
  EXPECT_EQ(plan.Make({4, 4}, Layout(4, 4, 1, 0), Layout(4, 3, 1, 0), CUFFT_R2C, 1), CUFFT_SUCCESS);
  EXPECT_EQ(plan.MakeDense({4, 4}, CUFFT_R2C, 1), CUFFT_INVALID_PLAN);  // made already
  EXPECT_EQ(cufftSetAutoAllocation(plan, 0), CUFFT_INVALID_PLAN);
  EXPECT_EQ(cufftExecC2R(plan, Raw(both), reals), CUFFT_INVALID_TYPE);
  EXPECT_EQ(cufftExecR2C(plan, nullptr, Raw(both)), CUFFT_INVALID_VALUE);
  EXPECT_EQ(cufftExecR2C(plan, reals, reinterpret_cast<cufftComplex*>(reals + 1)), CUFFT_UNALIGNED_DATA);
  EXPECT_EQ(cufftDestroy(-1), CUFFT_INVALID_PLAN);

  FailEmulatedWork(1, cudaErrorLaunchFailure, /*sticky=*/false);
  EXPECT_EQ(cufftExecR2C(plan, reals, Raw(both)), CUFFT_EXEC_FAILED);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  LimitEmulatedMemory(10);
  Plan large;
  EXPECT_EQ(large.MakeDense({4, 4}, CUFFT_R2C, 1), CUFFT_ALLOC_FAILED);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  LimitEmulatedMemory(std::int64_t{1} << 40);
}

}  // namespace
