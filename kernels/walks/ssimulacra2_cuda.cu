// Four launches, and three more for the gradient, whatever the batch:
//
//   1. XYB of all scales of both images (ssimulacra2_scales_cuda.cuh).
//   2. The window means and maps of all scales, and their sums. A block marches down the rows of a channel: a row's
//      samples go to shared memory, are summed along the row, and join the nine windows down the column that hold them,
//      whose sums wait in registers. No scale waits for another here, so the small ones fill the GPU together with the
//      large one.
//   3. The means of what the blocks left, and 4. the score of them, and what it changes with.
//   5. By XYB at each scale: the adjoint of the program's window means. 6. By linear colours, and 7. by samples.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 64 a pixel of XYB: 32 written and as many read. The program
// moves 215 bytes a pixel in 69 launches. A gradient adds 80 bytes a pixel for planes between launches, and 5 a sample;
// the program's moves 383 in 119. The arithmetic, some 1300 instructions a pixel, takes longer than a score's bytes.
// nvcc 13.0 for sm_90: 128 registers for the scales (174 where the images lie in different orders), 108 for the
// windows, 40 for the score, and for the gradient 70, 40 and 64; 32, 19 and 28 KiB of shared memory for scales, windows
// and their adjoint.
#include "kernels/ops/window_means/window_means_cuda.cuh"
#include "kernels/walks/ssimulacra2_cuda.h"
#include "kernels/walks/ssimulacra2_scales_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kChannels = kSsimulacraChannels;
constexpr int kSpan = static_cast<int>(std::size(kSsimulacraTaps)) - 1;
constexpr int kReach = kSpan / 2;
constexpr int kOutputs = SsimulacraNorms::kOutputs;
constexpr int kValues = kChannels * kOutputs;  // of a scale
// Columns of a march, of which a block has two, one below the other.
constexpr int kStrip = 128;
constexpr int kMarches = kRowThreads / kStrip;
// Blocks that a large GPU holds at once, and the least rows of a march.
constexpr int kMostBlocks = 264;
constexpr int kLeastRows = 32;
constexpr std::int64_t kAlignment = 256;

struct MarchGrid {
  int strips;
  int bands;
  int march_rows;
};

MarchGrid GridOf(const Shape& shape) {
  const auto parts = [](int whole, int part) { return (whole + part - 1) / part; };
  MarchGrid grid;
  grid.strips = parts(shape.width, kStrip);
  const int most =
      std::max(1, std::min(kMostBlocks / (shape.channels * grid.strips), shape.height / (kMarches * kLeastRows)));
  grid.march_rows = parts(shape.height, kMarches * most);
  grid.bands = parts(shape.height, kMarches * grid.march_rows);
  return grid;
}

// Window means of one channel, down a column: each row's sums join the windows that hold them, of which the oldest is
// then done.
struct WindowColumn {
  Vec pending[kSpan];

  __device__ WindowColumn() {
#pragma unroll
    for (Vec& sum : pending) sum = Vec(0.0);
  }
  __device__ __forceinline__ Vec Next(Vec x) {
    const Vec done = MulAdd(Tap(0), x, pending[0]);
#pragma unroll
    for (int j = 1; j < kSpan; ++j) pending[j - 1] = MulAdd(Tap(j), x, pending[j]);
    pending[kSpan - 1] = Tap(kSpan) * x;
    return done;
  }
  __device__ __forceinline__ static Vec Tap(int j) {
    constexpr double taps[] = {kSsimulacraTaps[0], kSsimulacraTaps[1], kSsimulacraTaps[2], kSsimulacraTaps[3],
                               kSsimulacraTaps[4]};
    return Vec(taps[j <= kReach ? j : kSpan - j]);
  }
};

struct SsimulacraMarchKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 2;
  // Rows that a window's middle waits in, a power of two.
  static constexpr int kHeld = 8;
  static_assert(kHeld > kReach + 1);

  PlanesView reference;
  PlanesView distorted;
  MarchGrid grid;
  TensorPlace map;  // of Y
  bool interleaved;
  double* partials;

  // What a thread brings of a row: its own sample, and one of those beyond the last thread's.
  struct Fetched {
    float r[2] = {0.0f, 0.0f};
    float d[2] = {0.0f, 0.0f};
  };
  using HeldSamples = float[kHeld][kStrip + kSpan];
  struct Shared {
    HeldSamples r[kMarches];
    HeldSamples d[kMarches];
  };

  __device__ __forceinline__ Fetched Fetch(int channel, int y, int first_x, int id) const {
    Fetched row;
    const Shape& shape = distorted.shape;
    if (y < 0 || y >= shape.height) return row;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int x = first_x + id + k * kStrip;
      if (x < 0 || x >= shape.width || (k == 1 && id >= kSpan)) continue;
      row.r[k] = Row(reference, channel, y)[x];
      row.d[k] = Row(distorted, channel, y)[x];
    }
    return row;
  }

  // Of a row, from the window's first sample on: the means of r, of d - r, of its square, and of both squares.
  __device__ __forceinline__ static void SumRow(const float* r, const float* d, Vec (&sums)[4]) {
    const Vec middle = WindowColumn::Tap(kReach), r4(r[kReach]), d4(d[kReach]);
    const Vec e4 = Difference{}(r4, d4);
    sums[0] = middle * r4;
    sums[1] = middle * e4;
    sums[2] = middle * (e4 * e4);
    sums[3] = middle * MulAdd(r4, r4, d4 * d4);
#pragma unroll
    for (int j = kReach - 1; j >= 0; --j) {
      const Vec tap = WindowColumn::Tap(j);
      const Vec r0(r[j]), r1(r[kSpan - j]), d0(d[j]), d1(d[kSpan - j]);
      const Vec e0 = Difference{}(r0, d0), e1 = Difference{}(r1, d1);
      sums[0] = MulAdd(tap, r0 + r1, sums[0]);
      sums[1] = MulAdd(tap, e0 + e1, sums[1]);
      sums[2] = MulAdd(tap, MulAdd(e0, e0, e1 * e1), sums[2]);
      sums[3] = MulAdd(tap, MulAdd(r0, r0, d0 * d0) + MulAdd(r1, r1, d1 * d1), sums[3]);
    }
  }

  __device__ __forceinline__ void StoreMap(int y, int x, const Pack<Vec, kOutputs>& values) const {
    const Shape& shape = distorted.shape;
    const std::int64_t pixel = std::int64_t{y} * shape.width + x;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      StoreSample(map, interleaved ? pixel * 3 + k : k * shape.plane() + pixel, Bare(values.v[k]));
    }
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const Shape& shape = distorted.shape;
    const int march = static_cast<int>(threadIdx.x) / kStrip, id = static_cast<int>(threadIdx.x) % kStrip;
    const int channel = block.y;
    const int x0 = block.x % grid.strips * kStrip, x = x0 + id;
    const int y0 = (block.x / grid.strips * kMarches + march) * grid.march_rows;
    const int y1 = y0 + grid.march_rows < shape.height ? y0 + grid.march_rows : shape.height;
    HeldSamples& r = shared.r[march];
    HeldSamples& d = shared.d[march];
    WindowColumn columns[4];
    double sums[kOutputs] = {};

    const int first = y0 - kReach;
    Fetched row = Fetch(channel, first, x0 - kReach, id);
    // As many rows for both marches, so that they meet at barriers.
    for (int i = 0; i < grid.march_rows + kSpan; ++i) {
      const int at = i % kHeld;
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        if (k == 1 && id >= kSpan) continue;
        r[at][id + k * kStrip] = row.r[k];
        d[at][id + k * kStrip] = row.d[k];
      }
      row = Fetch(channel, first + i + 1, x0 - kReach, id);
      __syncthreads();
      Vec along[4], means[4];
      SumRow(&r[at][id], &d[at][id], along);
#pragma unroll
      for (int k = 0; k < 4; ++k) means[k] = columns[k].Next(along[k]);
      const int y = first + i - kReach;
      if (i < kSpan || y >= y1 || x >= shape.width) continue;
      const int middle = (i - kReach) % kHeld;
      const Pack<Vec, kOutputs> values =
          SsimulacraNorms{}(Vec(r[middle][id + kReach]), Vec(d[middle][id + kReach]), Pack<Vec, 1>{{means[0]}},
                            Pack<Vec, 3>{{means[1], means[2], means[3]}});
#pragma unroll
      for (int k = 0; k < kOutputs; ++k) sums[k] += static_cast<double>(Bare(values.v[k]));
      if (map.data != nullptr && channel == 1) StoreMap(y, x, values);
    }
    LeaveSums<kOutputs>(sums, block, partials);
  }
};

// One of the weights that are not 0, and the mean that it is for: kValues of each scale, one scale after another.
struct PlacedWeight {
  int at;
  bool of_norm;
  double value;
};

// One block.
struct SsimulacraScoreKernel {
  static constexpr int kThreads = kRowThreads;
  static_assert(std::size(kSsimulacraWeights) <= kThreads && kSsimulacraScales * kValues <= kThreads);
  const PlacedWeight* weights;
  int weight_count;
  int mean_count;
  const double* means;
  double* score;
  double* slopes;  // d score / d mean; null: not asked for

  __device__ void operator()(const Block&) const {
    using Number = Dual<double, 1>;
    __shared__ double parts[kThreads];
    __shared__ double slope;
    const int id = static_cast<int>(threadIdx.x);
    PlacedWeight mine{};
    Number part(0.0);
    if (id < weight_count) {
      mine = weights[id];
      const Number mean = Number::Variable(means[mine.at], 0);
      part = (mine.of_norm ? FourthRoot{}(mean) : mean) * mine.value;
      parts[id] = part.v;
    }
    __syncthreads();
    if (id == 0) {
      double sum = 0.0;
      for (int i = 0; i < weight_count; ++i) sum += parts[i];
      const Number result = SsimulacraScore{}(Number::Variable(sum, 0));
      *score = result.v;
      slope = result.d[0];
    }
    if (slopes == nullptr) return;
    if (id < mean_count) slopes[id] = 0.0;
    __syncthreads();
    if (id < weight_count) slopes[mine.at] = slope * part.d[0];
  }
};

std::vector<PlacedWeight> PlaceWeights(int scales) {
  std::vector<PlacedWeight> placed;
  for (const auto& [index, value] : kSsimulacraWeights) {
    const int map = index % 3, norm = index / 3 % 2, scale = index / 6 % scales, channel = index / 6 / scales;
    if (channel < kChannels)
      placed.push_back({scale * kValues + channel * kOutputs + norm * 3 + map, norm != 0, value});
  }
  return placed;
}

// What lies where in the workspace.
struct Workplace {
  SsimulacraScale scales[kSsimulacraScales] = {};
  PlanesView gradients[kSsimulacraScales] = {};
  double* partials[kSsimulacraScales] = {};
  double* means = nullptr;
  double* slopes = nullptr;
  std::int64_t bytes = 0;

  Workplace(const SsimulacraSizes& sizes, bool want_gradient, std::byte* base) {
    const auto take = [&](std::int64_t size) {
      std::byte* const at = base + bytes;
      bytes += (size + kAlignment - 1) / kAlignment * kAlignment;
      return at;
    };
    const auto numbers = [&](std::int64_t count) {
      return reinterpret_cast<double*>(take(count * std::int64_t{sizeof(double)}));
    };
    for (int s = 0; s < sizes.count; ++s) {
      const Shape shape = sizes.shape(s);
      const auto planes = [&] {
        return PlanesView{take(RowStride(shape.width) * shape.height * kChannels * std::int64_t{sizeof(Real)}), shape};
      };
      scales[s].reference = planes();
      scales[s].distorted = planes();
      if (want_gradient && s > 0) scales[s].linear = planes();
      if (want_gradient) gradients[s] = planes();
      const MarchGrid grid = GridOf(shape);
      partials[s] = numbers(std::int64_t{kValues} * grid.strips * grid.bands);
    }
    means = numbers(sizes.count * kValues);
    if (want_gradient) slopes = numbers(sizes.count * kValues);
  }
};

void NoteGradient(Cuda& device, const SsimulacraSizes& sizes, const Workplace& at, const ImageView& distorted,
                  const TensorPlace& out) {
  const Taps taps(std::begin(kSsimulacraTaps), std::end(kSsimulacraTaps));
  const DeviceTaps window = Upload(device, taps);
  for (int s = 0; s < sizes.count; ++s) {
    const WindowMeansBackwardKernel<SsimulacraNorms> back{
        {SsimulacraNorms{}, window, at.scales[s].reference, at.scales[s].distorted},
        at.slopes + s * kValues,
        {at.gradients[s], false}};
    s == 0 ? device.Launch(back, TileGrid(sizes.shape(s))) : device.LaunchBeside(back, TileGrid(sizes.shape(s)));
  }
  for (int s = 1; s < sizes.count; ++s) {
    const SsimulacraLinearGradientKernel linear{at.scales[s].linear, at.gradients[s]};
    s == 1 ? device.Launch(linear, PixelGrid(sizes.shape(s))) : device.LaunchBeside(linear, PixelGrid(sizes.shape(s)));
  }
  SsimulacraGatherKernel gather{distorted, SampleSteps(distorted), sizes, {}, out};
  std::copy(std::begin(at.gradients), std::end(at.gradients), gather.gradients);
  device.Launch(gather, PixelGrid(sizes.shape(0)));
}

}  // namespace

std::int64_t Ssimulacra2WorkspaceBytes(const ImageView& distorted, bool want_gradient) {
  return Workplace(SsimulacraSizes(distorted), want_gradient, nullptr).bytes;
}

void NoteSsimulacra2(Cuda& device, const PairSamples& pair, const ImageView& distorted, const ProgramOutput& to,
                     std::byte* workspace) {
  const SsimulacraSizes sizes(distorted);
  const bool gradient = static_cast<bool>(to.gradient);
  const Workplace at(sizes, gradient, workspace);
  const auto make_scales = [&]<bool flat>(std::bool_constant<flat>) {
    using Kernel = SsimulacraScalesKernel<flat>;
    Kernel kernel{pair, SampleSteps(distorted), sizes, distorted.channels, {}};
    std::copy(std::begin(at.scales), std::end(at.scales), kernel.out);
    const auto tiles = [](int side) { return (side + Kernel::kTile - 1) / Kernel::kTile; };
    device.Launch(kernel, {tiles(distorted.width), tiles(distorted.height)});
  };
  pair.flat() ? make_scales(std::true_type()) : make_scales(std::false_type());

  for (int s = 0; s < sizes.count; ++s) {
    const MarchGrid grid = GridOf(sizes.shape(s));
    const SsimulacraMarchKernel march{
        at.scales[s].reference,          at.scales[s].distorted,           grid,
        s == 0 ? to.map : TensorPlace(), distorted.layout == Layout::kHwc, at.partials[s]};
    const Grid blocks{grid.strips * grid.bands, kChannels};
    s == 0 ? device.Launch(march, blocks) : device.LaunchBeside(march, blocks);
  }
  for (int s = 0; s < sizes.count; ++s) {
    const MarchGrid grid = GridOf(sizes.shape(s));
    const DividedBy pixels{static_cast<double>(sizes.shape(s).plane())};
    const CombinePartialsKernel<AddUp, DividedBy> mean{
        at.partials[s], std::int64_t{grid.strips} * grid.bands, AddUp{}, pixels, false, at.means + s * kValues};
    s == 0 ? device.Launch(mean, {kValues}) : device.LaunchBeside(mean, {kValues});
  }
  const std::vector<PlacedWeight> weights = PlaceWeights(sizes.count);
  const int weight_count = static_cast<int>(weights.size());
  device.Launch(SsimulacraScoreKernel{device.Table(weights.data(), weight_count), weight_count, sizes.count * kValues,
                                      at.means, to.score, at.slopes},
                {});
  if (gradient) NoteGradient(device, sizes, at, distorted, to.gradient);
}

LIKENESS_END_TARGET
