// A block marches down a band of rows, one window a thread. A row's samples go to shared memory, are blurred along the
// row, and join the eleven windows down the column that hold them, whose sums wait in registers. Where a gradient is
// wanted, each row of windows that is done takes the same way once more, transposed: a block then computes ten windows
// further left and ten rows further up than its own, and nothing but the gradient is written.
//
// Where windows reach beyond the image, rows and columns are those of the image filled up by its border
// (ssim_edges_cuda.cuh).
//
// The blurs and the maths of a window are those of ssim_math-inl.h. MS-SSIM marches over its scales the same way.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 4 for a map or a gradient; the arithmetic, some 150
// instructions a sample, 400 with the gradient, takes longer than that. nvcc 13.0 for sm_90: 125 registers, 168 with
// the gradient (138 and 182 where the images lie in different orders), 4 and 7 KiB of shared memory.
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/ms_ssim_finish_cuda.cuh"
#include "kernels/walks/ssim_cuda.h"
#include "kernels/walks/ssim_edges_cuda.cuh"
#include "kernels/walks/ssim_grid_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kTaps = SsimGrid::kTaps;
constexpr int kSpan = SsimGrid::kSpan;
constexpr int kStrip = SsimGrid::kStrip;

__device__ __forceinline__ Vec Add(Vec a, Vec b) { return a + b; }
__device__ __forceinline__ Vec Sub(Vec a, Vec b) { return a - b; }
__device__ __forceinline__ Vec Mul(Vec a, Vec b) { return a * b; }
__device__ __forceinline__ Vec Div(Vec a, Vec b) { return a / b; }
__device__ __forceinline__ Vec Neg(Vec a) { return -a; }
__device__ __forceinline__ Vec NegMulAdd(Vec a, Vec b, Vec c) { return MulAdd(-a, b, c); }
__device__ __forceinline__ Vec MulSub(Vec a, Vec b, Vec c) { return MulAdd(a, b, -c); }
#define LIKENESS_WALK_INLINE __device__ __forceinline__
#include "kernels/walks/ssim_similarity.inc"

// The blur of a column: each value joins the eleven sums that it counts for, of which the oldest is then done. It is
// its own transpose.
struct ColumnBlur {
  Vec pending[kSpan];

  __device__ ColumnBlur() {
#pragma unroll
    for (int j = 0; j < kSpan; ++j) pending[j] = Vec(0.0);
  }
  __device__ __forceinline__ Vec Next(Vec x, const float* taps) {
    const Vec done = MulAdd(Vec(taps[0]), x, pending[0]);
#pragma unroll
    for (int j = 1; j < kSpan; ++j) pending[j - 1] = MulAdd(Vec(taps[j < 6 ? j : kSpan - j]), x, pending[j]);
    pending[kSpan - 1] = Vec(taps[0]) * x;
    return done;
  }
};

__device__ __forceinline__ Vec HalfSum(Vec r, Vec d) { return MulSub(Vec(0.5), r + d, Vec(0.5)); }

// distance: from a sample to its neighbour of the same channel.
template <int distance, bool gradient, bool flat, bool bordered>
struct SsimKernel {
  static constexpr int kThreads = gradient ? 192 : 128;
  static constexpr int kBlocksWanted = !flat ? 1 : gradient ? 2 : 4;
  static constexpr int kReach = kSpan * distance;
  static constexpr int kLead = gradient ? kReach : 0;                       // windows left of the block's own
  static constexpr int kOwn = gradient ? SsimGrid::kGradientColumns : 128;  // its columns of samples
  static_assert(kLead + kOwn <= kThreads && kOwn % kStrip == 0 && kOwn / kStrip * distance <= kThreads);

  PairSamples pair;
  SsimGrid grid;
  float taps[6] = {};  // from the outermost to the middle one
  float c1 = 0.0f, c2 = 0.0f;
  float scale = 1.0f, offset = 0.0f;
  float gradient_scale = 1.0f;
  TensorPlace map = {};
  TensorPlace out = {};
  float* edges = nullptr;  // where the border is mirrored
  double* partials = nullptr;
  const MsSsimFinish* finish = nullptr;  // when the partial sums are those of a pair's scales

  // What a thread brings of a row: its own sample, and one of the reach beyond the last thread's.
  struct Fetched {
    float r[2] = {0.0f, 0.0f};
    float d[2] = {0.0f, 0.0f};
  };

  struct Shared {
    float s[2][kThreads + kReach];
    float e[2][kThreads + kReach];
    float slopes[gradient ? 3 : 1][kThreads];
    double sums[kThreads];
  };
  union Memory {
    Shared march;
    MsSsimFinish::Shared finish;
  };

  __device__ SsimEdges Edges() const { return {grid.rows, grid.row_samples, distance}; }

  // Of the image.
  __device__ std::int64_t SampleAt(int plane, int y, int x) const {
    const int rows = bordered ? Edges().image_rows() : grid.rows;
    return (std::int64_t{plane} * rows + y) * (bordered ? Edges().image_row_samples() : grid.row_samples) + x;
  }

  // The image's row, or column, that is found there; -1: none. As BorderIndex, which divides: the border is narrow.
  __device__ __forceinline__ int Found(int i, int count) const {
    if (i < 0 || i >= count) return -1;
    if constexpr (!bordered) return i;
    const int from = i - kSsimBorder, last = count - 2 * kSsimBorder - 1;
    if (grid.border == Border::kZero) return from > last ? -1 : from;
    return from < 0 ? -from : from > last ? 2 * last - from : from;
  }
  __device__ __forceinline__ int FoundColumn(int x) const {
    if constexpr (!bordered) return Found(x, grid.row_samples);
    const int column = x < 0 ? -1 : Found(x / distance, grid.row_samples / distance);
    return column < 0 ? -1 : column * distance + x % distance;
  }

  // Columns of a thread's own sample and of that of the reach.
  struct Columns {
    int at[2];
  };
  __device__ __forceinline__ Columns ColumnsFrom(int first_x) const {
    const int id = static_cast<int>(threadIdx.x);
    return {FoundColumn(first_x + id), id >= kReach ? -1 : FoundColumn(first_x + id + kThreads)};
  }

  __device__ __forceinline__ Fetched Fetch(int plane, int y, const Columns& columns) const {
    Fetched row;
    const int from = Found(y, grid.rows);
    if (from < 0) return row;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      if (columns.at[k] >= 0) pair.Read<flat>(SampleAt(plane, from, columns.at[k]), &row.r[k], &row.d[k]);
    }
    return row;
  }

  __device__ __forceinline__ void StoreGradient(int plane, int y, int x, Vec value) const {
    if constexpr (bordered) {
      const SsimEdges all = Edges();
      const std::int64_t at = grid.border == Border::kReflect101 ? all.At(y, x) : -1;
      if (at >= 0) {
        edges[plane * all.count() + at] = Bare(value);
      } else if (all.InImage(y, x)) {
        StoreSample(out, all.ImageSample(plane, y, x), Bare(value));
      }
    } else {
      StoreSample(out, SampleAt(plane, y, x), Bare(value));
    }
  }

  __device__ __forceinline__ MomentsOf<Vec> BlurRow(const float* s, const float* e) const {
    const Vec middle(taps[5]), s5(s[5 * distance]), e5(e[5 * distance]);
    MomentsOf<Vec> sum{middle * s5, middle * e5, middle * (s5 * s5), middle * (e5 * e5)};
#pragma unroll
    for (int j = 4; j >= 0; --j) {
      const Vec tap(taps[j]);
      const Vec s0(s[j * distance]), s1(s[(kSpan - j) * distance]);
      const Vec e0(e[j * distance]), e1(e[(kSpan - j) * distance]);
      sum.mean = MulAdd(tap, s0 + s1, sum.mean);
      sum.difference = MulAdd(tap, e0 + e1, sum.difference);
      sum.mean_square = MulAdd(tap, MulAdd(s0, s0, s1 * s1), sum.mean_square);
      sum.difference_square = MulAdd(tap, MulAdd(e0, e0, e1 * e1), sum.difference_square);
    }
    return sum;
  }

  // What the windows that hold a sample, at slope[-kReach .. 0], send it along the row.
  __device__ __forceinline__ Vec SpreadRow(const float* slope) const {
    Vec sum = Vec(taps[5]) * Vec(slope[-5 * distance]);
#pragma unroll
    for (int j = 4; j >= 0; --j) {
      sum = MulAdd(Vec(taps[j]), Vec(slope[-j * distance]) + Vec(slope[(j - kSpan) * distance]), sum);
    }
    return sum;
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Memory memory;
    Shared& shared = memory.march;
    const int id = static_cast<int>(threadIdx.x);
    const int plane = block.y;
    const int blocks_across = (grid.row_samples + kOwn - 1) / kOwn;
    const int x0 = block.x % blocks_across * kOwn;
    const int band = block.x / blocks_across;
    const int y0 = band * grid.band_rows;
    const int y1 = y0 + grid.band_rows < grid.rows ? y0 + grid.band_rows : grid.rows;
    const int map_rows = grid.rows - kSpan;

    const int column = x0 - kLead + id;
    const bool owns = id >= kLead && id < kLead + kOwn && column < grid.row_samples;
    const bool has_window = column >= 0 && column < grid.map_row_samples;
    const SsimConstantsOf<Vec> constants{c1, c2};
    const SsimNumbers<Vec> numbers{0.5, 1.0, 2.0};
    ColumnBlur mean, difference, mean_square, difference_square;
    ColumnBlur base, with_mean, with_difference;
    double sum = 0.0;

    const int first = y0 - (gradient ? kSpan : 0);
    const int last_window = gradient || y1 < map_rows ? y1 : map_rows;
    const Columns columns = ColumnsFrom(x0 - kLead);
    Fetched row = Fetch(plane, first, columns);
    for (int y = first; y < last_window + kSpan; ++y) {
      const int half = (y - first) & 1;
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        if (k == 1 && id >= kReach) continue;
        shared.s[half][id + k * kThreads] = Bare(HalfSum(row.r[k], row.d[k]));
        shared.e[half][id + k * kThreads] = row.d[k] - row.r[k];
      }
      row = Fetch(plane, y + 1, columns);
      __syncthreads();
      const MomentsOf<Vec> blurred = BlurRow(&shared.s[half][id], &shared.e[half][id]);
      const MomentsOf<Vec> moments{mean.Next(blurred.mean, taps), difference.Next(blurred.difference, taps),
                                   mean_square.Next(blurred.mean_square, taps),
                                   difference_square.Next(blurred.difference_square, taps)};
      const int window = y - kSpan;  // the row of windows that is done
      if (window < first) continue;
      const bool valid = has_window && window >= 0 && window < map_rows;
      PartialsOf<Vec> slopes;
      const Vec s = SimilarityOf<gradient>(moments, constants, numbers, &slopes);
      if (valid && owns && window >= y0) {
        sum += static_cast<double>(Bare(s));
        if (map.data != nullptr) {
          StoreSample(map, (std::int64_t{plane} * map_rows + window) * grid.map_row_samples + column,
                      Bare(s * Vec(scale) + Vec(offset)));
        }
      }
      if constexpr (gradient) {
        shared.slopes[0][id] = valid ? Bare(slopes.base) : 0.0f;
        shared.slopes[1][id] = valid ? Bare(slopes.with_mean) : 0.0f;
        shared.slopes[2][id] = valid ? Bare(slopes.with_difference) : 0.0f;
        __syncthreads();
        if (!owns) continue;
        const Vec spread = base.Next(SpreadRow(&shared.slopes[0][id]), taps);
        const Vec by_mean = with_mean.Next(SpreadRow(&shared.slopes[1][id]), taps);
        const Vec by_difference = with_difference.Next(SpreadRow(&shared.slopes[2][id]), taps);
        if (window < y0) continue;
        int from_row = window, from_column = column;
        if constexpr (bordered) {
          from_row = Found(window, grid.rows);
          from_column = columns.at[0];
          if (from_row < 0 || from_column < 0) continue;  // the border's zeros
        }
        float r, d;
        pair.Read<flat>(SampleAt(plane, from_row, from_column), &r, &d);
        const Vec pull = MulAdd(by_difference, Vec(d - r), MulAdd(by_mean, HalfSum(r, d), spread));
        StoreGradient(plane, window, column, Vec(gradient_scale) * pull);
      }
    }

    shared.sums[id] = sum;
    __syncthreads();
    const int channel = id % grid.apart;
    const int own_strip = id / grid.apart;
    const int strip = x0 / kStrip + own_strip;
    if (own_strip < kOwn / kStrip && strip < grid.strips) {
      double total = 0.0;
      for (int i = 0; i < kStrip; ++i) {
        const int at = own_strip * kStrip + i;
        if ((x0 + at) % grid.apart == channel) total += shared.sums[kLead + at];
      }
      partials[(std::int64_t{plane * grid.apart + channel} * grid.bands + band) * grid.strips + strip] = total;
    }
    if constexpr (!bordered) {
      if (finish == nullptr) return;
      const int strips_left = grid.strips - x0 / kStrip;
      const int strips = strips_left < kOwn / kStrip ? strips_left : kOwn / kStrip;
      finish->template After<kThreads>(strips * grid.apart, &memory.finish);
    }
  }
};

struct SsimScore {
  double count, scale, offset;
  __device__ double operator()(double sum) const { return scale * (sum / count) + offset; }
};

template <int distance, bool gradient, bool flat, bool bordered>
void Note(Cuda& device, const PairSamples& pair, const SsimGrid& grid, const SsimMarch& march) {
  using Kernel = SsimKernel<distance, gradient, flat, bordered>;
  Kernel kernel{.pair = pair, .grid = grid};
  const std::vector<double> taps = GaussianTaps(kTaps, march.sigma);
  for (int j = 0; j < 6; ++j) kernel.taps[j] = static_cast<float>(taps[j]);
  kernel.c1 = static_cast<float>(march.c1);
  kernel.c2 = static_cast<float>(march.c2);
  kernel.scale = static_cast<float>(march.scale);
  kernel.offset = static_cast<float>(march.offset);
  kernel.gradient_scale = static_cast<float>(march.gradient_scale);
  kernel.map = march.map;
  kernel.out = march.gradient;
  kernel.edges = march.edges;
  kernel.partials = march.partials;
  kernel.finish = march.finish;
  const Grid blocks{PartsOf(grid.row_samples, Kernel::kOwn) * grid.bands, grid.planes};
  march.beside ? device.LaunchBeside(kernel, blocks) : device.Launch(kernel, blocks);
}

// Of a plane.
SsimEdges EdgesOf(const ImageView& image, const SsimWalk& walk) {
  const SsimGrid grid = SsimGrid::Of(image, walk.border, false);
  return {grid.rows, grid.row_samples, grid.planes == 1 ? image.channels : 1};
}

}  // namespace

std::int64_t SsimWorkspaceBytes(const ImageView& distorted, const SsimWalk& walk, bool want_gradient) {
  if (!want_gradient || walk.border != Border::kReflect101) return 0;
  const int planes = SsimGrid::Of(distorted, walk.border, false).planes;
  return planes * EdgesOf(distorted, walk).count() * std::int64_t{sizeof(float)};
}

SsimSums SsimSumsOf(const ImageView& image, Border border, bool by_channel) {
  const SsimGrid grid = SsimGrid::Of(image, border, by_channel);
  const std::int64_t windows = std::int64_t{grid.planes} * (grid.rows - kSpan) * grid.map_row_samples;
  return {grid.groups(), grid.partials_each(), static_cast<double>(windows / grid.groups())};
}

void NoteSsimMarch(Cuda& device, const PairSamples& pair, const ImageView& image, const SsimMarch& march) {
  const SsimGrid grid = SsimGrid::Of(image, march.border, march.by_channel);
  const auto note_for = [&]<int distance, bool gradient, bool bordered>() {
    if (pair.flat()) {
      Note<distance, gradient, true, bordered>(device, pair, grid, march);
    } else {
      Note<distance, gradient, false, bordered>(device, pair, grid, march);
    }
  };
  const auto note = [&]<int distance, bool gradient>() {
    grid.bordered() ? note_for.template operator()<distance, gradient, true>()
                    : note_for.template operator()<distance, gradient, false>();
  };
  const bool interleaved = grid.planes == 1 && image.channels == 3;
  const bool gradient = static_cast<bool>(march.gradient);
  if (interleaved) {
    gradient ? note.template operator()<3, true>() : note.template operator()<3, false>();
  } else {
    gradient ? note.template operator()<1, true>() : note.template operator()<1, false>();
  }
}

void NoteSsim(Cuda& device, const PairSamples& pair, const ImageView& distorted, const SsimWalk& walk,
              const ProgramOutput& to, std::byte* workspace) {
  const SsimSums sums = SsimSumsOf(distorted, walk.border, false);
  if (sums.groups * sums.partials_each > Cuda::kPartialCount) {
    device.Report(Check(cudaErrorInvalidValue, "ssim: rows of over 500000 samples", __FILE__, __LINE__));
    return;
  }
  const double windows = sums.groups * sums.windows_each;
  SsimMarch march;
  march.sigma = walk.sigma;
  march.c1 = walk.k1 * walk.k1;
  march.c2 = walk.k2 * walk.k2;
  march.scale = walk.scale;
  march.offset = walk.offset;
  march.gradient_scale = walk.scale / windows;
  march.map = to.map;
  march.gradient = to.gradient;
  march.border = walk.border;
  march.edges = reinterpret_cast<float*>(workspace);
  march.partials = device.scratch();
  NoteSsimMarch(device, pair, distorted, march);
  CombinePartials(device, device.scratch(), {sums.groups * static_cast<int>(sums.partials_each)}, 1, AddUp{},
                  SsimScore{windows, walk.scale, walk.offset}, false, to.score);
  if (!to.gradient || walk.border != Border::kReflect101) return;
  const SsimFoldKernel fold{EdgesOf(distorted, walk), march.edges, to.gradient};
  const int planes = SsimGrid::Of(distorted, walk.border, false).planes;
  device.Launch(fold, {static_cast<int>((fold.edges.count() + fold.kThreads - 1) / fold.kThreads), planes});
}

LIKENESS_END_TARGET
