// A block makes a tile of 32x32 similarities:
//
//   1. Luma at half size of both images goes to shared memory, with a border of one. A thread reads four pixels of two
//      rows at a time.
//   2. A thread filters four lines of a column and compares them. The tile's mean, and then the sum of squares of
//      distances from it, go to memory.
//
// The second launch, of one block, joins the tiles: the mean of all, then the squares and how far each tile's mean lies
// from it, so that nothing cancels. The gradient takes one launch more, which begins with the images again:
// gmsd_gradient_cuda.cuh.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 1 a pixel for a map. The arithmetic, some 80 instructions a
// pixel of which two thirds are spent on samples, takes longer than that. A gradient reads the images once more and
// adds 4 bytes a sample. The program moves 91 bytes a pixel in 18 launches, 167 in 27 with the gradient. nvcc 13.0 for
// sm_90: 56 registers, 40 and two words spilled for the score; 12 KiB of shared memory, 23 with the gradient.
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/gmsd_cuda.h"
#include "kernels/walks/gmsd_gradient_cuda.cuh"
#include "kernels/walks/gmsd_tile_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

// Of one tile: the mean, and the sum of squares of distances from it.
struct TileMoments {
  double mean;
  double squares;
};

__device__ __forceinline__ int SideInside(int first, int side) {
  return side - first < kGmsdTile ? side - first : kGmsdTile;
}

template <bool pyiqa>
struct GmsdKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 4;
  static constexpr int kOwn = kGmsdTile * kGmsdTile / kThreads;  // lines of a thread

  GmsdPair<pyiqa> pair;
  TensorPlace map;
  TileMoments* tiles;

  struct Shared {
    GmsdLuma<1> luma;
    double mean;
  };

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const int id = static_cast<int>(threadIdx.x);
    const Shape shape = pair.shape();
    const int x0 = block.x * kGmsdTile, y0 = block.y * kGmsdTile;
    shared.luma.Fetch(pair, y0, x0);
    __syncthreads();

    const int column = id % kGmsdTile, line = id / kGmsdTile * kOwn;
    const int x = x0 + column, y = y0 + line;
    const bool inside = x < shape.width;
    float own[kOwn];
    double sum = 0.0;
    shared.luma.template DownColumn<kOwn>(
        line + 1, column + 2, [&](int i, const GmsdResponse& r, const GmsdResponse& d) {
          const Vec similarity = GmsdSimilarity(pyiqa)(GmsdMagnitude(pyiqa)(r.x, r.y), GmsdMagnitude(pyiqa)(d.x, d.y));
          own[i] = Bare(similarity);
          if (!inside || y + i >= shape.height) return;
          sum += static_cast<double>(own[i]);
          if (map.data == nullptr) return;
          StoreSample(map, std::int64_t{y + i} * shape.width + x, Bare(Linear{-1.0, 1.0}(similarity)));
        });
    const double total = CombineBlock(sum, AddUp{});
    if (id == 0) shared.mean = total / (SideInside(x0, shape.width) * SideInside(y0, shape.height));
    __syncthreads();
    double squares = 0.0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const double apart = static_cast<double>(own[i]) - shared.mean;
      if (inside && y + i < shape.height) squares += apart * apart;
    }
    squares = CombineBlock(squares, AddUp{});
    if (id == 0) tiles[PartialAt(block)] = {shared.mean, squares};
  }
};

// One block.
struct GmsdScoreKernel {
  static constexpr int kThreads = kRowThreads;
  const TileMoments* tiles;
  Grid grid;  // of them
  Shape shape;
  double divisor;
  GmsdSpread* spread;
  double* score;

  // of(tile, how many similarities it has), added up.
  template <class Of>
  __device__ __forceinline__ double AddTiles(Of of) const {
    double sum = 0.0;
    for (int i = static_cast<int>(threadIdx.x); i < grid.x * grid.y; i += kThreads) {
      const int x0 = i % grid.x * kGmsdTile, y0 = i / grid.x * kGmsdTile;
      sum += of(tiles[i], SideInside(x0, shape.width) * SideInside(y0, shape.height));
    }
    return CombineBlock(sum, AddUp{});
  }

  __device__ void operator()(const Block&) const {
    __shared__ double mean;
    const double sum = AddTiles([](const TileMoments& tile, int count) { return tile.mean * count; });
    if (threadIdx.x == 0) mean = sum / static_cast<double>(shape.plane());
    __syncthreads();
    const double squares = AddTiles([&](const TileMoments& tile, int count) {
      return tile.squares + (tile.mean - mean) * (tile.mean - mean) * count;
    });
    if (threadIdx.x > 0) return;
    const double deviation = std::sqrt(squares / divisor);
    *score = deviation;
    *spread = {mean, deviation > 0.0 ? 1.0 / (divisor * deviation) : 0.0};
  }
};

// What lies where in the workspace.
struct Workplace {
  GmsdSpread* spread;
  TileMoments* tiles;

  explicit Workplace(std::byte* base)
      : spread(reinterpret_cast<GmsdSpread*>(base)), tiles(reinterpret_cast<TileMoments*>(base + sizeof(GmsdSpread))) {}
};

template <bool pyiqa>
void Note(Cuda& device, const ImageView& reference, const ImageView& distorted, const ProgramOutput& to,
          const Workplace& at) {
  const GmsdPair<pyiqa> pair(reference, distorted);
  const Shape shape = pair.shape();
  const Grid tiles = GmsdTilesOf(shape);
  device.Launch(GmsdKernel<pyiqa>{pair, to.map, at.tiles}, tiles);
  const double count = static_cast<double>(shape.plane());
  const double divisor = pyiqa ? std::max(count - 1.0, 1.0) : count;
  device.Launch(GmsdScoreKernel{at.tiles, tiles, shape, divisor, at.spread, to.score}, {});
  if (!to.gradient) return;
  // Pixels that the picture at half size leaves out have a gradient too: 0.
  const Grid covering = GmsdTilesOf(HalfLuma<false>::ShapeOf(pair.image));
  device.Launch(GmsdGradientKernel<pyiqa>{pair, distorted.layout == Layout::kHwc && distorted.channels == 3, at.spread,
                                          to.gradient},
                covering);
}

}  // namespace

Shape GmsdShape(const ImageView& distorted, const GmsdWalk& walk) {
  const Shape image{distorted.width, distorted.height, distorted.channels};
  return walk.pyiqa ? HalfLuma<true>::ShapeOf(image) : HalfLuma<false>::ShapeOf(image);
}

std::int64_t GmsdWorkspaceBytes(const ImageView& distorted, const GmsdWalk& walk) {
  const std::int64_t tiles = GmsdTilesOf(GmsdShape(distorted, walk)).count();
  return std::int64_t{sizeof(GmsdSpread)} + tiles * std::int64_t{sizeof(TileMoments)};
}

// The gradient begins with the images again.
std::int64_t GmsdReadBytes(std::int64_t pair_bytes, bool want_gradient) { return (1 + want_gradient) * pair_bytes; }

void NoteGmsd(Cuda& device, const ImageView& reference, const ImageView& distorted, const GmsdWalk& walk,
              const ProgramOutput& to, std::byte* workspace) {
  const Workplace at(workspace);
  walk.pyiqa ? Note<true>(device, reference, distorted, to, at) : Note<false>(device, reference, distorted, to, at);
}

LIKENESS_END_TARGET
