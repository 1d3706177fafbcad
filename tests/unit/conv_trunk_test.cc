// The trunk's ops on their own, in float by oneDNN against the plain loops of a test: each convolution's own shape of
// work (strided, wide kernel, adjoint), and gradients that meet at one value in either order.
//
// Compiled for SSE4, which every processor that likeness runs on has; the golden tests run the other instruction sets.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "kernels/metrics/functors.h"
#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "kernels/ops/conv_trunk/features_cpu.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/ops_cpu.h"
#include "kernels/ops/reduce/reduce.h"
#include "tests/support/weights.h"

LIKENESS_BEGIN_TARGET
namespace {

using testing::Tensors;

std::unique_ptr<Trunk> MakeTrunk(const TrunkSpec& spec, const Tensors& tensors) {
  auto trunk = Trunk::Create(
      spec, ConvIsa::kSse4,
      [&](const std::string& name, std::int64_t) -> absl::StatusOr<absl::Span<const float>> {
        return absl::MakeConstSpan(tensors.at(name));
      },
      nullptr);
  EXPECT_TRUE(trunk.ok()) << trunk.status();
  return *std::move(trunk);
}

void Randomise(Tape<Cpu>& t, const DataHandle& x, std::uint32_t seed) {
  std::mt19937 random(seed);
  const PlanesView view = t.View(x);
  for (int c = 0; c < view.shape.channels; ++c) {
    for (int y = 0; y < view.shape.height; ++y) {
      for (int i = 0; i < view.shape.width; ++i) Row(view, c, y)[i] = random() / 4294967296.0f;
    }
  }
}

// relu(bias + sum w x) by the definition, stride and padding as the spec says them.
double PlainConv(const ConvSpec& conv, const Tensors& tensors, const PlanesView& image, const ColorNormalization& color,
                 int out, int y, int x) {
  double sum = tensors.at("conv0.bias")[out];
  for (int c = 0; c < 3; ++c) {
    for (int ky = 0; ky < conv.kernel; ++ky) {
      for (int kx = 0; kx < conv.kernel; ++kx) {
        const int from_y = y * conv.stride + ky - conv.padding, from_x = x * conv.stride + kx - conv.padding;
        if (from_y < 0 || from_y >= image.shape.height || from_x < 0 || from_x >= image.shape.width) continue;
        const double value =
            (Row(image, image.shape.channels == 1 ? 0 : c, from_y)[from_x] - color.mean[c]) / color.deviation[c];
        const int at = ((out * 3 + c) * conv.kernel + ky) * conv.kernel + kx;
        sum += value * tensors.at("conv0.weight")[at];
      }
    }
  }
  return std::max(sum, 0.0);
}

constexpr ColorNormalization kColor = {{0.4, 0.5, 0.6}, {0.2, 0.3, 0.25}};

TEST(ConvTrunk, FirstConvolutionsAreTheDefinition) {
  for (const TrunkSpec* spec : {&kAlexTrunk, &kVgg16Trunk, &kSqueezeNetTrunk}) {
    const Tensors tensors = testing::SyntheticWeights(*spec);
    const auto trunk = MakeTrunk(*spec, tensors);
    for (const Shape& shape : {Shape{31, 31, 3}, Shape{45, 34, 3}, Shape{50, 33, 1}}) {
      SCOPED_TRACE(std::string(spec->network) + " " + std::to_string(shape.width) + "x" + std::to_string(shape.height));
      const auto prepared = trunk->Prepare(shape.width, shape.height, false);
      ASSERT_TRUE(prepared.ok()) << prepared.status();
      Workspace workspace;
      ASSERT_TRUE(workspace.arena().Reserve(16 << 20));
      Cpu cpu;
      Tape<Cpu> t(cpu, workspace, false);
      auto image = t.MakeOwn<false>(shape);
      Randomise(t, image, 3);
      const TrunkUse use{spec, &trunk->weights(), prepared->get()};
      auto features = ConvRelu(t, use, 0, ImageFeatures(t, use, image, kColor));
      const ConvSpec& conv = spec->convs[0];
      ASSERT_EQ(features.shape().width, (shape.width + 2 * conv.padding - conv.kernel) / conv.stride + 1);
      ASSERT_EQ(features.shape().height, (shape.height + 2 * conv.padding - conv.kernel) / conv.stride + 1);
      const FeaturesView view{t.View(features.storage()).data, features.shape()};
      int positive = 0;
      for (int out = 0; out < conv.out; out += 7) {
        for (int y = 0; y < features.shape().height; ++y) {
          for (int x = 0; x < features.shape().width; ++x) {
            const double expected = PlainConv(conv, tensors, t.View(image), kColor, out, y, x);
            positive += expected > 0.0;
            // Up to 363 products of size 1, rounded to 6e-8 each.
            ASSERT_NEAR(ChannelRow(view, out, y)[x * kFeatureBlock], expected, 2e-5) << out << " " << y << " " << x;
          }
        }
      }
      EXPECT_GT(positive, 0);
    }
  }
}

// The value's two readers, a tap and the next convolution, in both orders of recording: whichever sends its gradient
// first writes it, the other adds.
TEST(ConvTrunk, GradientsAddUpInEitherOrder) {
  const Tensors tensors = testing::SyntheticWeights(kAlexTrunk);
  const auto trunk = MakeTrunk(kAlexTrunk, tensors);
  const Shape shape{47, 39, 3};
  const auto prepared = *trunk->Prepare(shape.width, shape.height, true);
  const TrunkUse use{&kAlexTrunk, &trunk->weights(), prepared.get()};
  const UnitLength length{0.0, 1e-10};
  std::vector<float> gradients[2];
  for (const bool tap_last : {false, true}) {
    Workspace workspace;
    ASSERT_TRUE(workspace.arena().Reserve(64 << 20));
    Cpu cpu;
    Tape<Cpu> t(cpu, workspace, false);
    auto image = t.MakeOwn<true>(shape);
    auto other = t.MakeOwn<false>(shape);
    Randomise(t, image, 1);
    Randomise(t, other, 2);
    auto down = [&](const auto& x) {
      auto f = ConvRelu(t, use, 0, ImageFeatures(t, use, x, kColor));
      f = ConvRelu(t, use, 1, PoolBefore(t, use, 1, f));
      return ConvRelu(t, use, 2, PoolBefore(t, use, 2, f));
    };
    auto r = down(other);
    auto d = down(image);
    auto deeper = [&] {
      return Mean(t, TapDistance(t, use, 3, length, ConvRelu(t, use, 3, r), ConvRelu(t, use, 3, d)));
    };
    auto here = [&] { return Mean(t, TapDistance(t, use, 2, length, r, d)); };
    if (tap_last) {
      auto far = deeper();
      t.Backward(MapScalars(t, Plus{}, here(), far));
    } else {
      auto near = here();
      t.Backward(MapScalars(t, Plus{}, near, deeper()));
    }
    const PlanesView gradient = t.LeafGradient(image);
    ASSERT_NE(gradient.data, nullptr);
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < shape.height; ++y) {
        for (int x = 0; x < shape.width; ++x) gradients[tap_last].push_back(Row(gradient, c, y)[x]);
      }
    }
  }
  double size = 0.0;
  for (const float g : gradients[0]) size = std::max<double>(size, std::fabs(g));
  ASSERT_GT(size, 0.0);
  for (std::size_t i = 0; i < gradients[0].size(); ++i) {
    ASSERT_NEAR(gradients[0][i], gradients[1][i], 1e-5 * size) << i;
  }
}

TEST(ConvTrunk, MaxPoolSendsTheGradientToTheFirstMaximum) {
  Workspace workspace;
  ASSERT_TRUE(workspace.arena().Reserve(1 << 20));
  Cpu cpu;
  Tape<Cpu> t(cpu, workspace, false);
  // 5 x 5, windows of 3 at stride 2 that share a row and a column; the centre is the maximum of all four and a tie in
  // the first.
  const Shape shape{5, 5, 8};
  auto x = t.MakeOwn<false>({5 * 16, 5, 1}), up = t.MakeOwn<false>({2 * 16, 2, 1}),
       to = t.MakeOwn<false>({5 * 16, 5, 1});
  const FeaturesView in{t.View(x).data, shape}, upstream{t.View(up).data, {2, 2, 8}}, out{t.View(to).data, shape};
  std::fill_n(static_cast<float*>(in.data), shape.count(), 0.0f);
  ChannelRow(in, 3, 2)[2 * kFeatureBlock] = 1.0f;
  ChannelRow(in, 3, 0)[1 * kFeatureBlock] = 1.0f;  // earlier, in the first window only
  std::fill_n(static_cast<float*>(upstream.data), 4 * 8, 1.0f);
  MaxPoolBackward(cpu, in, 3, 2, upstream, out, /*accumulate=*/false);
  EXPECT_EQ(ChannelRow(out, 3, 0)[1 * kFeatureBlock], 1.0f);
  EXPECT_EQ(ChannelRow(out, 3, 2)[2 * kFeatureBlock], 3.0f);
  // All zeros: the first sample of each window.
  EXPECT_EQ(ChannelRow(out, 0, 0)[0], 1.0f);
  EXPECT_EQ(ChannelRow(out, 0, 2)[2 * kFeatureBlock], 1.0f);
  double total = 0.0;
  for (int i = 0; i < shape.count(); ++i) total += static_cast<float*>(out.data)[i];
  EXPECT_EQ(total, 4.0 * 8);
}

TEST(ConvTrunk, RunsTheInstructionSetAskedFor) {
  BlockedWeights cache;
  const auto weight = [] { return std::vector<float>(32 * 16 * 9, 0.1f); };
  const auto conv = BlockedConv::Create(ConvIsa::kSse4, Precision::kExact, {16, 32, 3, 1}, {20, 10, 16},
                                        ConvResult::kRelu, cache, weight, {});
  ASSERT_TRUE(conv.ok()) << conv.status();
  EXPECT_STREQ((*conv)->implementation(), "jit:sse41");
}

}  // namespace
LIKENESS_END_TARGET
