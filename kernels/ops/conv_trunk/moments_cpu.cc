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

// add(offset, sums) is called for every pixel and adds its n values, a vector of channels each, to sums[0 .. n). Their
// means over all pixels go to mean[i][channel of the block].
template <int n, class Add>
void BlockMeans(std::int64_t pixels, double (*mean)[kFeatureBlock], Add add) {
  for (int j = 0; j < kFeatureBlock; j += kLanes) {
    double total[n][kLanes] = {};
    for (std::int64_t first = 0; first < pixels; first += kRun) {
      Vec sums[n];
      for (int i = 0; i < n; ++i) sums[i] = Vec(0.0);
      const std::int64_t end = std::min(pixels, first + kRun);
      for (std::int64_t pixel = first; pixel < end; ++pixel) add(pixel * kFeatureBlock + j, j, sums);
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
void MomentsForward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const MomentValues& out) {
  const Shape& shape = distorted.shape;
  ParallelFor(BlockCount(shape), 4 * BlockSamples(shape), [&](int begin, int end) {
    for (int block = begin; block < end; ++block) {
      const Real* r = BlockAt(reference, block, 0, 0);
      const Real* d = BlockAt(distorted, block, 0, 0);
      double mean[2][kFeatureBlock], variance[3][kFeatureBlock];
      BlockMeans<2>(shape.plane(), mean, [&](std::int64_t at, int, Vec* sums) {
        sums[0] = sums[0] + Load(r + at);
        sums[1] = sums[1] + Load(d + at);
      });
      Real center[2][kFeatureBlock];
      for (int i = 0; i < kFeatureBlock; ++i) {
        for (int k = 0; k < 2; ++k) center[k][i] = static_cast<Real>(mean[k][i]);
      }
      BlockMeans<3>(shape.plane(), variance, [&](std::int64_t at, int j, Vec* sums) {
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

void MomentsBackward(Cpu&, const FeaturesView& reference, const FeaturesView& distorted, const double* reference_mean,
                     const double* distorted_mean, const MomentGradients& upstream, const FeaturesView& gradient,
                     bool accumulate) {
  const Shape& shape = distorted.shape;
  const double share = 1.0 / static_cast<double>(shape.plane());
  ParallelFor(BlockCount(shape), 3 * BlockSamples(shape), [&](int begin, int end) {
    for (int block = begin; block < end; ++block) {
      // Channels that only fill the block up get 0.
      Real centers[2][kFeatureBlock] = {}, factors[3][kFeatureBlock] = {};
      const int first = block * kFeatureBlock;
      for (int i = 0; i < std::min(kFeatureBlock, shape.channels - first); ++i) {
        centers[0][i] = static_cast<Real>(reference_mean[first + i]);
        centers[1][i] = static_cast<Real>(distorted_mean[first + i]);
        factors[0][i] = static_cast<Real>(upstream.mean[first + i] * share);
        factors[1][i] = static_cast<Real>(upstream.variance[first + i] * 2.0 * share);
        factors[2][i] = static_cast<Real>(upstream.difference[first + i] * 2.0 * share);
      }
      const Real* r = BlockAt(reference, block, 0, 0);
      const Real* d = BlockAt(distorted, block, 0, 0);
      Real* to = BlockAt(gradient, block, 0, 0);
      for (std::int64_t pixel = 0; pixel < shape.plane(); ++pixel) {
        for (int j = 0; j < kFeatureBlock; j += kLanes) {
          const std::int64_t at = pixel * kFeatureBlock + j;
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
