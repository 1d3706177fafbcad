#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/order/order_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

// The median is found digit by digit of its bits, the highest first: count the samples of each digit among those that
// have the digits known so far, choose the digit that the middle one has, go on.
constexpr int kDigitBits = 4;
constexpr int kDigits = 1 << kDigitBits;

struct TakeMin {
  static constexpr double kStart = std::numeric_limits<Real>::max();
  __device__ double operator()(double a, double b) const { return b < a ? b : a; }
};

// Bits in the order of the values.
__device__ __forceinline__ std::uint32_t OrderedBits(Real value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ Real ValueOf(std::uint32_t ordered) {
  const std::uint32_t bits = (ordered >> 31) != 0 ? ordered & 0x7fffffffu : ~ordered;
  Real value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// What is known of a channel's median. Whole numbers below 2^53.
struct Search {
  double known_bits;  // the digits found so far, the rest 0
  double rank;        // of the median among the samples that have them
};

struct BeginSearchKernel {
  static constexpr int kThreads = 128;
  Search* searches;
  int channels;
  double rank;

  __device__ void operator()(const Block& block) const {
    const int c = block.x * kThreads + threadIdx.x;
    if (c < channels) searches[c] = {0.0, rank};
  }
};

// counts[PartialAt(block)][digit] of the block's samples.
struct CountDigitsKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kParts = kThreads / kDigits;
  PlanesView x;
  const Search* searches;
  int shift;  // of the digit
  double* counts;

  __device__ void operator()(const Block& block) const {
    const auto known = static_cast<std::uint32_t>(searches[block.y].known_bits);
    int mine[kDigits] = {};
    ForEachSample(block, x.shape, [&](int channel, int y, int i) {
      // Digits above this one are known, and then they are 0 here.
      const std::uint32_t digit = (OrderedBits(*(Row(x, channel, y) + i)) ^ known) >> shift;
#pragma unroll
      for (int d = 0; d < kDigits; ++d) mine[d] += digit == static_cast<std::uint32_t>(d) ? 1 : 0;
    });
    // Whole numbers: the order in which threads are added is free.
    __shared__ int of_thread[kThreads][kDigits + 1];
    __shared__ int of_part[kParts][kDigits];
    __syncthreads();
    for (int d = 0; d < kDigits; ++d) of_thread[threadIdx.x][d] = mine[d];
    __syncthreads();
    const int digit = threadIdx.x % kDigits, part = threadIdx.x / kDigits;
    int sum = 0;
    for (int i = 0; i < kDigits; ++i) sum += of_thread[part * kDigits + i][digit];
    of_part[part][digit] = sum;
    __syncthreads();
    if (threadIdx.x >= kDigits) return;
    double total = 0.0;
    for (int i = 0; i < kParts; ++i) total += of_part[i][threadIdx.x];
    counts[PartialAt(block) * kDigits + threadIdx.x] = total;
  }
};

// Block x finds the next digit of channel x.
struct ChooseDigitKernel {
  static constexpr int kThreads = kDigits;
  const double* counts;
  int blocks;  // that counted, of each channel
  int shift;
  Search* searches;
  double* out;  // the median, once its last digit is known

  __device__ void operator()(const Block& block) const {
    __shared__ double totals[kDigits];
    const double* mine = counts + std::int64_t{block.x} * blocks * kDigits + threadIdx.x;
    double total = 0.0;
    for (int i = 0; i < blocks; ++i) total += mine[std::int64_t{i} * kDigits];
    totals[threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.x != 0) return;
    Search search = searches[block.x];
    int digit = 0;
    for (; digit < kDigits - 1 && search.rank >= totals[digit]; ++digit) search.rank -= totals[digit];
    const std::uint32_t bits = static_cast<std::uint32_t>(search.known_bits) | static_cast<std::uint32_t>(digit)
                                                                                   << shift;
    search.known_bits = bits;
    searches[block.x] = search;
    if (shift == 0) out[block.x] = ValueOf(bits);
  }
};

// A sample's number in its plane.
__device__ __forceinline__ double NumberOf(int y, int x, const Shape& shape) {
  return static_cast<double>(std::int64_t{y} * shape.width + x);
}

// The first sample of each channel that is its median.
struct FindMedianKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  const double* medians;
  double* partials;

  __device__ void operator()(const Block& block) const {
    const Vec median(medians[block.y]);
    double first = TakeMin::kStart;
    ForEachSample(block, x.shape, [&](int channel, int y, int i) {
      if (Load(Row(x, channel, y) + i) == median) first = TakeMin{}(first, NumberOf(y, i, x.shape));
    });
    first = CombineBlock(first, TakeMin{});
    if (threadIdx.x == 0) partials[PartialAt(block)] = first;
  }
};

struct LowerMedianBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  const double* firsts;
  const double* upstream;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const double first = firsts[block.y];
    ForEachSample(block, gradient.planes.shape, [&](int channel, int y, int x) {
      StoreGradient(gradient, channel, y, x,
                    NumberOf(y, x, gradient.planes.shape) == first ? Vec(upstream[channel]) : Vec(0.0));
    });
  }
};

}  // namespace

void LowerMedianForward(Cuda& device, const PlanesView& x, const PlanesView&, double* out) {
  const Shape& shape = x.shape;
  const Grid grid = SumGrid(shape, kDigits);
  double* counts = device.scratch();
  // In the half of scratch that counts leave alone.
  auto* searches = reinterpret_cast<Search*>(device.scratch() + Cuda::kPartialCount);
  device.Launch(BeginSearchKernel{searches, shape.channels, static_cast<double>((shape.plane() - 1) / 2)},
                {(shape.channels + BeginSearchKernel::kThreads - 1) / BeginSearchKernel::kThreads});
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    device.Launch(CountDigitsKernel{x, searches, shift, counts}, grid);
    device.Launch(ChooseDigitKernel{counts, grid.x, shift, searches, out}, {shape.channels});
  }
}

void LowerMedianBackward(Cuda& device, const PlanesView& x, const double* medians, const double* upstream,
                         const GradientView& gradient) {
  double* firsts = device.scratch() + Cuda::kPartialCount;
  const Grid grid = SumGrid(x.shape);
  device.Launch(FindMedianKernel{x, medians, device.scratch()}, grid);
  CombinePartials(device, device.scratch(), grid, x.shape.channels, TakeMin{}, AsIs{}, false, firsts);
  device.Launch(LowerMedianBackwardKernel{firsts, upstream, gradient}, RowGrid(x.shape));
}

void MinForward(Cuda& device, const PlanesView& x, double* out, int count) {
  CombinePlanes(device, x, count, Itself{}, TakeMin{}, AsIs{}, out);
}

LIKENESS_END_TARGET
