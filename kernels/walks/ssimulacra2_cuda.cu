// Four launches, and three more for the gradient, whatever the batch:
//
//   1. XYB of all scales of both images (ssimulacra2_scales_cuda.cuh).
//   2. The window means and maps of all scales, and their sums. A block marches down the rows of a channel: a row's
//      samples go to shared memory, are summed along the row, and join the nine windows down the column that hold them,
//      whose sums wait in registers. No scale waits for another here, so the small ones fill the GPU together with the
//      large one.
//   3. The means of what the blocks left, and 4. the score of them, and what it changes with.
//   5. The gradient by XYB at each scale, by marches back (ssimulacra2_gradient_cuda.cuh), 6. by linear colours, and
//      7. by samples.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 64 a pixel of XYB: 32 written and as many read. The program
// moves 215 bytes a pixel in 69 launches. A gradient adds 80 bytes a pixel for planes between launches, and 5 a sample;
// the program's moves 407 in 119. The arithmetic, some 1300 instructions a pixel, takes longer than a score's bytes.
// nvcc 13.0 for sm_90: 128 registers for the scales (174 where the images lie in different orders), 108 for the
// windows, 40 for the score, and for the gradient 127, 40 and 64; 32, 19 and 20 KiB of shared memory for the scales,
// the windows and the march back.
#include "kernels/walks/ssimulacra2_cuda.h"
#include "kernels/walks/ssimulacra2_gradient_cuda.cuh"
#include "kernels/walks/ssimulacra2_march_cuda.cuh"
#include "kernels/walks/ssimulacra2_scales_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kChannels = kSsimulacraChannels;
constexpr int kOutputs = SsimulacraNorms::kOutputs;
constexpr int kValues = kChannels * kOutputs;  // of a scale
constexpr std::int64_t kAlignment = 256;

struct SsimulacraMarchKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 2;

  SsimulacraRows images;
  MarchGrid grid;
  TensorPlace map;  // of Y
  bool interleaved;
  double* partials;

  __device__ __forceinline__ void StoreMap(int y, int x, const Pack<Vec, kOutputs>& values) const {
    const Shape& shape = images.shape();
    const std::int64_t pixel = std::int64_t{y} * shape.width + x;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      StoreSample(map, interleaved ? pixel * 3 + k : k * shape.plane() + pixel, Bare(values.v[k]));
    }
  }

  __device__ void operator()(const Block& block) const {
    __shared__ SsimulacraRows::Held held[kSsimulacraMarches];
    const SsimulacraPlace at(block, grid, images.shape(), kSsimulacraStrip);
    const int id = at.id, channel = block.y;
    const int x0 = at.x0 - kSsimulacraReach, x = at.x0 + id;
    SsimulacraRows::Held& rows = held[at.march];
    SsimulacraColumn columns[4];
    double sums[kOutputs] = {};

    const int first = at.y0 - kSsimulacraReach;
    SsimulacraRows::Fetched row = images.Fetch(channel, first, x0, id);
    // As many rows for both marches, so that they meet at barriers.
    for (int i = 0; i < grid.rows + kSsimulacraSpan; ++i) {
      rows.Put(i, id, row);
      row = images.Fetch(channel, first + i + 1, x0, id);
      __syncthreads();
      Vec means[4];
      rows.Sum(i, id, means);
#pragma unroll
      for (int k = 0; k < 4; ++k) means[k] = columns[k].Next(means[k]);
      const int y = first + i - kSsimulacraReach;
      if (i < kSsimulacraSpan || y >= at.y1 || x >= images.shape().width) continue;
      const Pack<Vec, kOutputs> values =
          SsimulacraNorms{}(rows.Reference(i, id), rows.Distorted(i, id), Pack<Vec, 1>{{means[0]}},
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
      const MarchGrid grid = SsimulacraGridOf(shape, kSsimulacraStrip);
      partials[s] = numbers(std::int64_t{kValues} * grid.strips * grid.bands);
    }
    means = numbers(sizes.count * kValues);
    if (want_gradient) slopes = numbers(sizes.count * kValues);
  }
};

void NoteGradient(Cuda& device, const SsimulacraSizes& sizes, const Workplace& at, const ImageView& distorted,
                  const TensorPlace& out) {
  for (int s = 0; s < sizes.count; ++s) {
    using Kernel = SsimulacraGradientKernel;
    const MarchGrid grid = SsimulacraGridOf(sizes.shape(s), Kernel::kOwn);
    const Kernel back{{at.scales[s].reference, at.scales[s].distorted}, grid, at.slopes + s * kValues, at.gradients[s]};
    const Grid blocks{grid.strips * grid.bands, kChannels};
    s == 0 ? device.Launch(back, blocks) : device.LaunchBeside(back, blocks);
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

std::int64_t Ssimulacra2MovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient) {
  const SsimulacraSizes sizes(distorted);
  std::int64_t bytes = pair_bytes + (want_gradient ? distorted.size_bytes() : 0);
  for (int s = 0; s < sizes.count; ++s) {
    const std::int64_t planes = sizes.shape(s).count() * std::int64_t{sizeof(Real)};
    bytes += 2 * 2 * planes;  // XYB of both images, written and read
    if (!want_gradient) continue;
    bytes += (2 + 2) * planes;  // XYB read again, the gradient written and gathered
    // Linear colours written and read, the gradient by XYB read and by them written.
    if (s > 0) bytes += (2 + 2) * planes;
  }
  return bytes;
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
    const MarchGrid grid = SsimulacraGridOf(sizes.shape(s), kSsimulacraStrip);
    const SsimulacraMarchKernel march{
        at.scales[s].reference,          at.scales[s].distorted,           grid,
        s == 0 ? to.map : TensorPlace(), distorted.layout == Layout::kHwc, at.partials[s]};
    const Grid blocks{grid.strips * grid.bands, kChannels};
    s == 0 ? device.Launch(march, blocks) : device.LaunchBeside(march, blocks);
  }
  for (int s = 0; s < sizes.count; ++s) {
    const MarchGrid grid = SsimulacraGridOf(sizes.shape(s), kSsimulacraStrip);
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
