// TapDistance on the CPU: a tile of pixels at a time, so that its features are still in cache at the second look.
#include "kernels/ops/conv_trunk/conv_trunk_cpu.h"
#include "kernels/ops/conv_trunk/features_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kTile = 8;

// Some pixels of one row of both images' features.
struct Tile {
  const Real* reference;  // of block 0
  const Real* distorted;
  std::int64_t block_samples;
  int blocks;
  int pixels;
};

Tile TileAt(const FeaturesView& reference, const FeaturesView& distorted, int y, int x) {
  return {BlockAt(reference, 0, y, x), BlockAt(distorted, 0, y, x), BlockSamples(distorted.shape),
          BlockCount(distorted.shape), std::min(kTile, distorted.shape.width - x)};
}

// body(pixel, offset from block 0's first sample, channel) for each vector of a tile, block by block.
template <class Body>
LIKENESS_HD void ForEachVector(const Tile& tile, Body body) {
  for (int block = 0; block < tile.blocks; ++block) {
    for (int pixel = 0; pixel < tile.pixels; ++pixel) {
      for (int j = 0; j < kFeatureBlock; j += kLanes) {
        body(pixel, block * tile.block_samples + pixel * kFeatureBlock + j, block * kFeatureBlock + j);
      }
    }
  }
}

LIKENESS_HD double SumOfLanes(Vec x) {
  RowSum sum;
  sum.Add(x);
  return sum.Total();
}

// Head weights are float in every precision.
LIKENESS_HD Vec HeadAt(const float* head, int channel) {
#if LIKENESS_TARGET_SCALAR
  return Vec(head[channel]);
#else
  return Load(head + channel);
#endif
}

// Of one pixel: what its features are multiplied with, 1 / (root + outside), and the root.
struct Length {
  double inverse = 0.0;
  double root = 0.0;
};

Length LengthOf(const UnitLength& length, Vec squares) {
  const double root = std::sqrt(SumOfLanes(squares) + length.inside);
  // A vector of zeros has no direction: 0 times anything.
  return root > 0.0 ? Length{1.0 / (root + length.outside), root} : Length{};
}

void Lengths(const Tile& tile, const UnitLength& length, Length* reference, Length* distorted) {
  Vec r2[kTile], d2[kTile];
  for (int i = 0; i < kTile; ++i) r2[i] = d2[i] = Vec(0.0);
  ForEachVector(tile, [&](int pixel, std::int64_t at, int) {
    const Vec r = Load(tile.reference + at), d = Load(tile.distorted + at);
    r2[pixel] = MulAdd(r, r, r2[pixel]);
    d2[pixel] = MulAdd(d, d, d2[pixel]);
  });
  for (int i = 0; i < tile.pixels; ++i) {
    reference[i] = LengthOf(length, r2[i]);
    distorted[i] = LengthOf(length, d2[i]);
  }
}

}  // namespace

void TapForward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                const FeaturesView& distorted, const PlanesView& out) {
  const float* head = trunk.weights->heads[tap].data();
  ForEachRow({out.shape.width * distorted.shape.channels, out.shape.height, 1}, [&](int, int y) {
    for (int x = 0; x < out.shape.width; x += kTile) {
      const Tile tile = TileAt(reference, distorted, y, x);
      Length r_length[kTile], d_length[kTile];
      Lengths(tile, length, r_length, d_length);
      Vec r_scale[kTile], d_scale[kTile], sum[kTile];
      for (int i = 0; i < kTile; ++i) {
        r_scale[i] = Vec(r_length[i].inverse);
        d_scale[i] = Vec(d_length[i].inverse);
        sum[i] = Vec(0.0);
      }
      ForEachVector(tile, [&](int pixel, std::int64_t at, int channel) {
        const Vec difference = Load(tile.reference + at) * r_scale[pixel] - Load(tile.distorted + at) * d_scale[pixel];
        sum[pixel] = MulAdd(HeadAt(head, channel) * difference, difference, sum[pixel]);
      });
      for (int i = 0; i < tile.pixels; ++i) Row(out, 0, y)[x + i] = static_cast<Real>(SumOfLanes(sum[i]));
    }
  });
}

// With n = f / q, q = root + outside and u the gradient at n: that at f is u / q - f (f . u) / (root q^2).
void TapBackward(Cpu&, const TrunkUse& trunk, int tap, const UnitLength& length, const FeaturesView& reference,
                 const FeaturesView& distorted, const PlanesView& upstream, const FeaturesView& gradient,
                 bool accumulate) {
  const float* head = trunk.weights->heads[tap].data();
  ForEachRow({upstream.shape.width * distorted.shape.channels, upstream.shape.height, 1}, [&](int, int y) {
    for (int x = 0; x < upstream.shape.width; x += kTile) {
      const Tile tile = TileAt(reference, distorted, y, x);
      Length r_length[kTile], d_length[kTile];
      Lengths(tile, length, r_length, d_length);
      Vec r_scale[kTile], d_scale[kTile], twice[kTile], dot[kTile];
      for (int i = 0; i < kTile; ++i) {
        r_scale[i] = Vec(r_length[i].inverse);
        d_scale[i] = Vec(d_length[i].inverse);
        twice[i] = i < tile.pixels ? Vec(2.0 * Row(upstream, 0, y)[x + i]) : Vec(0.0);
        dot[i] = Vec(0.0);
      }
      const auto at_unit = [&](int pixel, std::int64_t at, int channel) {
        const Vec difference = Load(tile.distorted + at) * d_scale[pixel] - Load(tile.reference + at) * r_scale[pixel];
        return HeadAt(head, channel) * difference * twice[pixel];
      };
      ForEachVector(tile, [&](int pixel, std::int64_t at, int channel) {
        dot[pixel] = MulAdd(at_unit(pixel, at, channel), Load(tile.distorted + at), dot[pixel]);
      });
      Vec along[kTile];  // how much of f itself is taken off
      for (int i = 0; i < kTile; ++i) {
        const Length& d = d_length[i];
        along[i] = Vec(d.root > 0.0 ? SumOfLanes(dot[i]) * d.inverse * d.inverse / d.root : 0.0);
      }
      Real* to = BlockAt(gradient, 0, y, x);
      ForEachVector(tile, [&](int pixel, std::int64_t at, int channel) {
        const Vec g = at_unit(pixel, at, channel) * d_scale[pixel] - Load(tile.distorted + at) * along[pixel];
        Store(accumulate ? Load(to + at) + g : g, to + at);
      });
    }
  });
}

LIKENESS_END_TARGET
