#include "kernels/ops/conv_trunk/conv_trunk_cpu.h"

#include <cstring>

#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "kernels/ops/conv_trunk/features_cpu.h"
#include "kernels/ops/conv_trunk/trunk.h"

LIKENESS_BEGIN_TARGET
namespace {

// Enough to make every index of a loop a part of its own.
[[maybe_unused]] constexpr std::int64_t kOwnPart = std::int64_t{1} << 40;

}  // namespace

void ImageFeaturesForward(Cpu&, const PlanesView& image, const ColorNormalization& color, const ConvSpec& first,
                          const FeaturesView& out) {
  const int stride = first.stride;
  const int padding = stride == 1 ? 0 : first.padding;
  ForEachRow({out.shape.width, out.shape.height, 1}, [&](int, int row) {
    for (int block = 0; block < BlockCount(out.shape); ++block) {
      Real* to = BlockAt(out, block, row, 0);
      std::fill(to, to + RowSamples(out.shape), Real(0));
    }
    for (int phase_y = 0; phase_y < stride; ++phase_y) {
      const int y = row * stride + phase_y - padding;
      if (y < 0 || y >= image.shape.height) continue;
      for (int phase_x = 0; phase_x < stride; ++phase_x) {
        for (int c = 0; c < 3; ++c) {
          const Real* from = Row(image, image.shape.channels == 1 ? 0 : c, y);
          Real* to = ChannelRow(out, (phase_y * stride + phase_x) * 3 + c, row);
          const Real mean = static_cast<Real>(color.mean[c]);
          const Real deviation = static_cast<Real>(color.deviation[c]);
          for (int i = 0; i < out.shape.width; ++i) {
            const int x = i * stride + phase_x - padding;
            if (x >= 0 && x < image.shape.width) to[i * kFeatureBlock] = (from[x] - mean) / deviation;
          }
        }
      }
    }
  });
}

void ImageFeaturesBackward(Cpu&, const FeaturesView& upstream, const ColorNormalization& color, const ConvSpec& first,
                           const GradientView& gradient) {
  const int stride = first.stride;
  const int padding = stride == 1 ? 0 : first.padding;
  const Shape& image = gradient.planes.shape;
  ForEachRow({image.width, image.height, 1}, [&](int, int y) {
    const int row = (y + padding) / stride;
    const int phase_y = (y + padding) % stride;
    for (int c = 0; c < image.channels; ++c) {
      Real* to = Row(gradient.planes, c, y);
      if (!gradient.accumulate) std::fill(to, to + image.width, Real(0));
      if (row >= upstream.shape.height) continue;  // below the last window
      // A gray image stands for all three.
      for (int color_channel = c; color_channel < (image.channels == 1 ? 3 : c + 1); ++color_channel) {
        const Real scale = static_cast<Real>(1.0 / color.deviation[color_channel]);
        for (int x = 0; x < image.width; ++x) {
          const int column = (x + padding) / stride;
          if (column >= upstream.shape.width) break;
          const int channel = (phase_y * stride + (x + padding) % stride) * 3 + color_channel;
          to[x] += ChannelRow(upstream, channel, row)[std::int64_t{column} * kFeatureBlock] * scale;
        }
      }
    }
  });
}

#if LIKENESS_TARGET_SCALAR

namespace {

// The definition: a sum over input channels and kernel samples, four output channels at a time.
void PlainConv(const ConvGeometry& conv, const float* weight, const float* bias, bool relu, const FeaturesView& in,
               const FeaturesView& out, bool accumulate) {
  constexpr int kGroup = 4;
  const int k = conv.kernel;
  const int width = out.shape.width;
  const int groups = (conv.out + kGroup - 1) / kGroup;
  ParallelFor(groups * out.shape.height, std::int64_t{width} * conv.in * k * k * kGroup, [&](int begin, int end) {
    std::vector<Real> sums(std::size_t(width) * kGroup);
    for (int part = begin; part < end; ++part) {
      const int first = part / out.shape.height * kGroup;
      const int count = std::min(kGroup, conv.out - first);
      const int y = part % out.shape.height;
      Real* sum[kGroup];
      const float* kernel[kGroup];
      for (int o = 0; o < kGroup; ++o) {
        sum[o] = &sums[std::size_t(o) * width];
        const int channel = std::min(first + o, conv.out - 1);
        std::fill(sum[o], sum[o] + width, bias ? Real(bias[channel]) : Real(0));
        kernel[o] = weight + std::size_t(channel) * conv.in * k * k;
      }
      for (int c = 0; c < conv.in; ++c) {
        for (int ky = 0; ky < k; ++ky) {
          const int from_y = y + ky - conv.padding;
          if (from_y < 0 || from_y >= in.shape.height) continue;
          for (int kx = 0; kx < k; ++kx) {
            const int shift = kx - conv.padding;
            const Real* from = BlockAt(in, c, from_y, 0) + shift;
            const int at = (c * k + ky) * k + kx;
            const Real w0 = kernel[0][at], w1 = kernel[1][at], w2 = kernel[2][at], w3 = kernel[3][at];
            const int x_end = std::min(width, in.shape.width - shift);
            for (int x = std::max(0, -shift); x < x_end; ++x) {
              sum[0][x] += w0 * from[x];
              sum[1][x] += w1 * from[x];
              sum[2][x] += w2 * from[x];
              sum[3][x] += w3 * from[x];
            }
          }
        }
      }
      for (int o = 0; o < count; ++o) {
        Real* to = BlockAt(out, first + o, y, 0);
        for (int x = 0; x < width; ++x) {
          const Real value = relu && !(sum[o][x] > 0) ? Real(0) : sum[o][x];
          to[x] = accumulate ? to[x] + value : value;
        }
      }
    }
  });
}

}  // namespace

void ConvReluForward(Cpu&, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& in, void*,
                     const FeaturesView& out) {
  int channel = 0;
  for (int i = layer; i < layer + trunk.spec->Parts(layer); ++i) {
    const ConvWeights& conv = trunk.weights->convs[i];
    PlainConv(conv.geometry, conv.weight.data(), conv.bias.data(), relu, in,
              ChannelsFrom(out, channel, conv.geometry.out), /*accumulate=*/false);
    channel += conv.geometry.out;
  }
}

#else

namespace {

// To the nearest bfloat16, ties to even. Features are finite.
std::uint16_t Bfloat16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// What a convolution reads: the features as they are, or rounded where there is room for that.
class ConvInput {
 public:
  ConvInput(const FeaturesView& features, void* rounded) : features_(features), rounded_(rounded) {
    if (rounded == nullptr) return;
    ForEachBlockRow(features.shape, [&](int block, int y) {
      const Real* from = BlockAt(features, block, y, 0);
      auto* to = static_cast<std::uint16_t*>(rounded) + (from - static_cast<const Real*>(features.data));
      const std::int64_t samples = RowSamples(features.shape);
      for (std::int64_t i = 0; i < samples; ++i) to[i] = Bfloat16(from[i]);
    });
  }

  // From this channel on, which must be the first of a block.
  const void* From(int channel) const {
    const Real* from = BlockAt(features_, channel / kFeatureBlock, 0, 0);
    if (rounded_ == nullptr) return from;
    return static_cast<const std::uint16_t*>(rounded_) + (from - static_cast<const Real*>(features_.data));
  }

 private:
  FeaturesView features_;
  void* rounded_;
};

}  // namespace

void ConvReluForward(Cpu&, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& in, void* rounded,
                     const FeaturesView& out) {
  const ConvInput input(in, rounded);
  int channel = 0;
  for (int i = layer; i < layer + trunk.spec->Parts(layer); ++i) {
    const BlockedConv& conv = trunk.prepared->forward(i, relu, in.shape);
    const FeaturesView part = ChannelsFrom(out, channel, GeometryOf(trunk.conv(i)).out);
    ParallelFor(conv.chunk_count(), kOwnPart, [&](int begin, int end) {
      for (int chunk = begin; chunk < end; ++chunk) {
        conv.Run(chunk, input.From(0), static_cast<Real*>(part.data));
      }
    });
    channel += GeometryOf(trunk.conv(i)).out;
  }
}

#endif

void ConvReluBackward(Cpu&, const TrunkUse& trunk, int layer, bool relu, const FeaturesView& out,
                      const FeaturesView& upstream, void* rounded, const FeaturesView& gradient, bool accumulate) {
  if (relu) {
    ForEachBlockRow(out.shape, [&](int block, int y) {
      const Real* value = BlockAt(out, block, y, 0);
      Real* g = BlockAt(upstream, block, y, 0);
      for (std::int64_t i = 0; i < RowSamples(out.shape); i += kLanes) {
        Store(SelectValue(Load(value + i) > Vec(0.0), Load(g + i), Vec(0.0)), g + i);
      }
    });
  }
#if LIKENESS_TARGET_SCALAR
  (void)rounded;  // the oracle has one precision
  int channel = 0;
  for (int i = layer; i < layer + trunk.spec->Parts(layer); ++i) {
    const ConvWeights& conv = trunk.weights->convs[i];
    const std::vector<float> weights = AdjointWeights(conv);
    PlainConv(AdjointOf(conv.geometry), weights.data(), nullptr, /*relu=*/false,
              ChannelsFrom(upstream, channel, conv.geometry.out), gradient, accumulate || i > layer);
    channel += conv.geometry.out;
  }
#else
  const std::int64_t samples = BlockSamples(gradient.shape) * BlockCount(gradient.shape);
  // A sum, which no trunk with taps in its own order asks for, takes a detour.
  std::vector<Real> apart(accumulate ? samples : 0);
  Real* target = accumulate ? apart.data() : static_cast<Real*>(gradient.data);
  const ConvInput input(upstream, rounded);
  int channel = 0;
  for (int i = layer; i < layer + trunk.spec->Parts(layer); ++i) {
    const BlockedConv& conv = trunk.prepared->adjoint(i, gradient.shape);
    ParallelFor(conv.chunk_count(), kOwnPart, [&](int begin, int end) {
      for (int chunk = begin; chunk < end; ++chunk) conv.Run(chunk, input.From(channel), target);
    });
    channel += GeometryOf(trunk.conv(i)).out;
  }
  if (accumulate) {
    Real* to = static_cast<Real*>(gradient.data);
    for (std::int64_t i = 0; i < samples; i += kLanes) Store(Load(to + i) + Load(target + i), to + i);
  }
#endif
}

void MaxPoolForward(Cpu&, const FeaturesView& in, int kernel, int stride, const FeaturesView& out) {
  ForEachBlockRow(out.shape, [&](int block, int y) {
    const int rows = std::min(kernel, in.shape.height - y * stride);
    for (int x = 0; x < out.shape.width; ++x) {
      const int columns = std::min(kernel, in.shape.width - x * stride);
      for (int j = 0; j < kFeatureBlock; j += kLanes) {
        Vec best = Load(BlockAt(in, block, y * stride, x * stride) + j);
        for (int ky = 0; ky < rows; ++ky) {
          const Real* from = BlockAt(in, block, y * stride + ky, x * stride) + j;
          for (int kx = 0; kx < columns; ++kx) best = MaxValue(best, Load(from + kx * kFeatureBlock));
        }
        Store(best, BlockAt(out, block, y, x) + j);
      }
    }
  });
}

namespace {

// Gives the upstream gradient of one window, its corner at (left, top), to the first sample that equals the maximum.
void GiveToMaximum(const FeaturesView& in, int block, int top, int left, int kernel, const Real* upstream,
                   const FeaturesView& gradient) {
  const int bottom = std::min(top + kernel, in.shape.height), right = std::min(left + kernel, in.shape.width);
  for (int j = 0; j < kFeatureBlock; j += kLanes) {
    Vec best = Load(BlockAt(in, block, top, left) + j);
    for (int y = top; y < bottom; ++y) {
      for (int x = left; x < right; ++x) best = MaxValue(best, Load(BlockAt(in, block, y, x) + j));
    }
    Vec undelivered = Load(upstream + j);
    for (int y = top; y < bottom; ++y) {
      for (int x = left; x < right; ++x) {
        const auto is_best = Load(BlockAt(in, block, y, x) + j) == best;
        Real* to = BlockAt(gradient, block, y, x) + j;
        Store(Load(to) + SelectValue(is_best, undelivered, Vec(0.0)), to);
        undelivered = SelectValue(is_best, Vec(0.0), undelivered);
      }
    }
  }
}

}  // namespace

void MaxPoolBackward(Cpu&, const FeaturesView& in, int kernel, int stride, const FeaturesView& upstream,
                     const FeaturesView& gradient, bool accumulate) {
  // Windows may overlap: a block of channels is one thread's.
  ParallelFor(BlockCount(in.shape), BlockSamples(in.shape), [&](int begin, int end) {
    for (int block = begin; block < end; ++block) {
      if (!accumulate) {
        Real* to = BlockAt(gradient, block, 0, 0);
        std::fill(to, to + BlockSamples(in.shape), Real(0));
      }
      for (int y = 0; y < upstream.shape.height; ++y) {
        for (int x = 0; x < upstream.shape.width; ++x) {
          GiveToMaximum(in, block, y * stride, x * stride, kernel, BlockAt(upstream, block, y, x), gradient);
        }
      }
    }
  });
}

LIKENESS_END_TARGET
