// What DISTS needs of features on the CPU: their smooth pooling, and the moments of their channels.
#include "kernels/ops/conv_trunk/conv_trunk_cpu.h"
#include "kernels/ops/conv_trunk/features_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

constexpr double kL2Floor = 1e-12;
// The Hann window of three samples, of sum 1.
constexpr double kHann[3] = {0.25, 0.5, 0.25};

// Floats added up before double takes over.
constexpr std::int64_t kRun = 32;

// A step through the pixels of a region, row after row, within a block of channels.
class RegionWalk {
 public:
  RegionWalk(const Shape& shape, const Region& region)
      : width_(region.width), gap_(std::int64_t{shape.width - region.width} * kFeatureBlock) {
    offset_ = (std::int64_t{region.y} * shape.width + region.x) * kFeatureBlock;
  }
  // Of the pixel, in samples from the block's first.
  std::int64_t offset() const { return offset_; }
  void Next() {
    offset_ += kFeatureBlock;
    if (++x_ < width_) return;
    x_ = 0;
    offset_ += gap_;
  }

 private:
  int width_;
  std::int64_t gap_;
  std::int64_t offset_;
  int x_ = 0;
};

// add(offset, lane, sums) is called for every pixel and adds its n values, a vector of channels each, to sums[0 .. n).
// Their means over all pixels go to mean[i][channel of the block].
template <int n, class Add>
void BlockMeans(const Shape& shape, const Region& region, double (*mean)[kFeatureBlock], Add add) {
  const std::int64_t pixels = region.count();
  for (int j = 0; j < kFeatureBlock; j += kLanes) {
    double total[n][kLanes] = {};
    RegionWalk walk(shape, region);
    for (std::int64_t first = 0; first < pixels; first += kRun) {
      Vec sums[n];
      for (int i = 0; i < n; ++i) sums[i] = Vec(0.0);
      const std::int64_t end = std::min(pixels, first + kRun);
      for (std::int64_t pixel = first; pixel < end; ++pixel, walk.Next()) add(walk.offset() + j, j, sums);
      for (int i = 0; i < n; ++i) {
        Real lanes[kLanes];
        Store(sums[i], lanes);
        for (int lane = 0; lane < kLanes; ++lane) total[i][lane] += lanes[lane];
      }
    }
    for (int i = 0; i < n; ++i) {
      for (int lane = 0; lane < kLanes; ++lane) mean[i][j + lane] = total[i][lane] / static_cast<double>(pixels);
    }
  }
}

}  // namespace

void L2PoolForward(Cpu&, const FeaturesView& in, const FeaturesView& out) {
  ForEachBlockRow(out.shape, [&](int block, int y) {
    for (int x = 0; x < out.shape.width; ++x) {
      for (int j = 0; j < kFeatureBlock; j += kLanes) {
        Vec sum(kL2Floor);
        for (int ky = std::max(0, 1 - 2 * y); ky < std::min(3, in.shape.height + 1 - 2 * y); ++ky) {
          for (int kx = std::max(0, 1 - 2 * x); kx < std::min(3, in.shape.width + 1 - 2 * x); ++kx) {
            const Vec value = Load(BlockAt(in, block, 2 * y + ky - 1, 2 * x + kx - 1) + j);
            sum = MulAdd(value * Vec(kHann[ky] * kHann[kx]), value, sum);
          }
        }
        Store(SqrtValue(sum), BlockAt(out, block, y, x) + j);
      }
    }
  });
}

// The derivative with respect to a sample v is weight * v / output.
void L2PoolBackward(Cpu&, const FeaturesView& in, const FeaturesView& out, const FeaturesView& upstream,
                    const FeaturesView& gradient, bool accumulate) {
  ForEachBlockRow(out.shape, [&](int block, int y) {
    const Real* value = BlockAt(out, block, y, 0);
    Real* g = BlockAt(upstream, block, y, 0);
    for (std::int64_t i = 0; i < RowSamples(out.shape); i += kLanes) Store(Load(g + i) / Load(value + i), g + i);
  });
  ForEachBlockRow(in.shape, [&](int block, int y) {
    // An odd sample lies in two windows, an even one in the middle of one.
    const int y_end = std::min((y + 1) / 2, out.shape.height - 1);
    for (int x = 0; x < in.shape.width; ++x) {
      const int x_end = std::min((x + 1) / 2, out.shape.width - 1);
      for (int j = 0; j < kFeatureBlock; j += kLanes) {
        Vec sum(0.0);
        for (int from_y = y / 2; from_y <= y_end; ++from_y) {
          for (int from_x = x / 2; from_x <= x_end; ++from_x) {
            const double weight = kHann[y + 1 - 2 * from_y] * kHann[x + 1 - 2 * from_x];
            sum = MulAdd(Vec(weight), Load(BlockAt(upstream, block, from_y, from_x) + j), sum);
          }
        }
        Real* to = BlockAt(gradient, block, y, x) + j;
        const Vec g = sum * Load(BlockAt(in, block, y, x) + j);
        Store(accumulate ? Load(to) + g : g, to);
      }
    }
  });
}

// Variances about the means, in a second look at the block: what cancels is gone before anything is squared.
void MomentsForward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                    const MomentValues& out) {
  const Shape& shape = distorted.shape;
  ParallelFor(BlockCount(shape), 4 * BlockSamples(shape), [&](int begin, int end) {
    for (int block = begin; block < end; ++block) {
      const Real* r = BlockAt(reference, block, 0, 0);
      const Real* d = BlockAt(distorted, block, 0, 0);
      double mean[2][kFeatureBlock], variance[3][kFeatureBlock];
      BlockMeans<2>(shape, region, mean, [&](std::int64_t at, int, Vec* sums) {
        sums[0] = sums[0] + Load(r + at);
        sums[1] = sums[1] + Load(d + at);
      });
      Real center[2][kFeatureBlock];
      for (int i = 0; i < kFeatureBlock; ++i) {
        for (int k = 0; k < 2; ++k) center[k][i] = static_cast<Real>(mean[k][i]);
      }
      BlockMeans<3>(shape, region, variance, [&](std::int64_t at, int j, Vec* sums) {
        const Vec a = Load(r + at) - Load(center[0] + j), b = Load(d + at) - Load(center[1] + j);
        sums[0] = MulAdd(a, a, sums[0]);
        sums[1] = MulAdd(b, b, sums[1]);
        sums[2] = MulAdd(a - b, a - b, sums[2]);
      });
      const int first = block * kFeatureBlock;
      for (int i = 0; i < std::min(kFeatureBlock, shape.channels - first); ++i) {
        out.reference_mean[first + i] = mean[0][i];
        out.distorted_mean[first + i] = mean[1][i];
        out.reference_variance[first + i] = variance[0][i];
        out.distorted_variance[first + i] = variance[1][i];
        out.difference_variance[first + i] = variance[2][i];
      }
    }
  });
}

void MergeMoments(Cpu&, const MomentValues& part, std::int64_t part_pixels, int channels, const MomentValues& all,
                  std::int64_t all_pixels) {
  const double share = static_cast<double>(part_pixels) / static_cast<double>(part_pixels + all_pixels);
  for (int channel = 0; channel < channels; ++channel) MergeChannel(part, share, all, channel);
}

void MomentsBackward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const Region& region,
                     std::int64_t pixels, const MomentGradients& moments, const FeaturesView& gradient,
                     bool accumulate) {
  const Shape& shape = distorted.shape;
  const double share = 1.0 / static_cast<double>(pixels);
  ParallelFor(BlockCount(shape), 3 * BlockSamples(shape), [&](int begin, int end) {
    for (int block = begin; block < end; ++block) {
      // Channels that only fill the block up get 0.
      Real centers[2][kFeatureBlock] = {}, factors[3][kFeatureBlock] = {};
      const int first = block * kFeatureBlock;
      for (int i = 0; i < std::min(kFeatureBlock, shape.channels - first); ++i) {
        centers[0][i] = static_cast<Real>(moments.reference_mean[first + i]);
        centers[1][i] = static_cast<Real>(moments.distorted_mean[first + i]);
        factors[0][i] = static_cast<Real>(moments.mean[first + i] * share);
        factors[1][i] = static_cast<Real>(moments.variance[first + i] * 2.0 * share);
        factors[2][i] = static_cast<Real>(moments.difference[first + i] * 2.0 * share);
      }
      const Real* r = BlockAt(reference, block, 0, 0);
      const Real* d = BlockAt(distorted, block, 0, 0);
      Real* to = BlockAt(gradient, block, 0, 0);
      if (!accumulate && region.count() < shape.plane()) std::fill_n(to, BlockSamples(shape), Real{0});
      RegionWalk walk(shape, region);
      for (std::int64_t pixel = 0; pixel < region.count(); ++pixel, walk.Next()) {
        for (int j = 0; j < kFeatureBlock; j += kLanes) {
          const std::int64_t at = walk.offset() + j;
          const Vec a = Load(r + at) - Load(centers[0] + j), b = Load(d + at) - Load(centers[1] + j);
          Vec g = MulAdd(Load(factors[1] + j), b, Load(factors[0] + j));
          g = MulAdd(Load(factors[2] + j), b - a, g);
          Store(accumulate ? Load(to + at) + g : g, to + at);
        }
      }
    }
  });
}

void HeadRowForward(Cpu&, const TrunkUse& trunk, int tap, int row, double* out, int channels) {
  const float* from = trunk.weights->heads[tap].data() + std::int64_t{row} * channels;
  for (int i = 0; i < channels; ++i) out[i] = from[i];
}

LIKENESS_END_TARGET
