#include "kernels/ops/conv_trunk/trunk.h"

#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "kernels/ops/conv_trunk/trunk_windows.h"

namespace likeness {
namespace {

// Samples as bytes, so that this is quick.
absl::string_view Bytes(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

std::uint64_t IdentityOf(const ConvWeights& conv) {
  const ConvGeometry& g = conv.geometry;
  return absl::HashOf(g.in, g.out, g.kernel, g.padding, Bytes(conv.weight), Bytes(conv.bias));
}

}  // namespace

Trunk::Trunk(const TrunkSpec& spec, ConvIsa isa) : spec_(spec), isa_(isa) {}
Trunk::~Trunk() = default;

absl::StatusOr<std::unique_ptr<Trunk>> Trunk::Create(const TrunkSpec& spec, ConvIsa isa, const Tensors& tensors,
                                                     std::shared_ptr<const void> owner) {
  std::unique_ptr<Trunk> trunk(new Trunk(spec, isa));
  trunk->owners_.push_back(std::move(owner));
  for (std::size_t i = 0; i < spec.convs.size(); ++i) {
    const ConvSpec& conv = spec.convs[i];
    ConvWeights weights;
    weights.geometry = GeometryOf(conv);
    ASSIGN_OR_RETURN(auto weight, tensors(absl::StrCat("conv", i, ".weight"),
                                          std::int64_t{conv.out} * conv.in * conv.kernel * conv.kernel));
    ASSIGN_OR_RETURN(auto bias, tensors(absl::StrCat("conv", i, ".bias"), conv.out));
    if (conv.stride > 1) {
      trunk->rearranged_.push_back(PhaseWeights(conv, weight));
      weight = trunk->rearranged_.back();
    }
    weights.weight = {weight.data(), weight.size()};
    weights.bias = {bias.data(), bias.size()};
    weights.identity = IdentityOf(weights);
    trunk->weights_.convs.push_back(weights);
    trunk->forward_weights_.push_back(std::make_unique<BlockedWeights>());
    trunk->adjoint_weights_.push_back(std::make_unique<BlockedWeights>());
  }
  ASSIGN_OR_RETURN(trunk->weights_.heads, trunk->LoadHeads(tensors));
  return trunk;
}

absl::StatusOr<std::vector<std::span<const float>>> Trunk::LoadHeads(const Tensors& tensors) const {
  std::vector<std::span<const float>> heads;
  const auto load = [&](int channels) -> absl::Status {
    ASSIGN_OR_RETURN(auto head,
                     tensors(absl::StrCat("head", heads.size(), ".weight"), std::int64_t{channels} * spec_.head_rows));
    heads.emplace_back(head.data(), head.size());
    return absl::OkStatus();
  };
  if (spec_.image_tap) RETURN_IF_ERROR(load(3));
  for (int layer = 0; layer < static_cast<int>(spec_.convs.size()); ++layer) {
    if (spec_.convs[layer].tap) RETURN_IF_ERROR(load(spec_.Channels(layer)));
  }
  return heads;
}

absl::Status Trunk::AddHeads(const std::string& convention, const Tensors& tensors, std::shared_ptr<const void> owner) {
  TrunkWeights weights;
  ASSIGN_OR_RETURN(weights.heads, LoadHeads(tensors));
  weights.convs = weights_.convs;
  with_other_heads_[convention] = std::move(weights);
  owners_.push_back(std::move(owner));
  return absl::OkStatus();
}

const PreparedTrunk::Layer& PreparedTrunk::Find(int layer, const Shape& in) const {
  for (const Layer& made : layers_[layer]) {
    if (made.in.width == in.width && made.in.height == in.height) return made;
  }
  std::abort();  // a program looks at windows that Prepare has not heard of: our bug
}

absl::Status Trunk::PrepareConvs(const Shape& image, bool gradient, Precision precision,
                                 PreparedTrunk& prepared) const {
  Shape in = PackedShape(spec_.convs[0], image);
  const int count = static_cast<int>(weights_.convs.size());
  prepared.layers_.resize(count);
  for (int layer = 0; layer < count; layer += spec_.Parts(layer)) {
    const Shape before = in;
    if (spec_.convs[layer].pool_kernel > 0) in = PoolOutput(spec_.pooling, spec_.convs[layer], in);
    for (int i = layer; i < layer + spec_.Parts(layer); ++i) {
      const ConvWeights& conv = weights_.convs[i];
      const auto make = [&](ConvResult kind) {
        return BlockedConv::Create(
            isa_, PrecisionOf(precision, i), conv.geometry, in, kind, *forward_weights_[i],
            [&] { return std::vector<float>(conv.weight.begin(), conv.weight.end()); }, conv.bias);
      };
      PreparedTrunk::Layer& made = prepared.layers_[i].emplace_back();
      made.in = in;
      ASSIGN_OR_RETURN(made.forward, make(ConvResult::kRelu));
      if (spec_.convs[i].linear) {
        ASSIGN_OR_RETURN(made.linear, make(ConvResult::kStored));
      }
      if (!gradient) continue;
      ASSIGN_OR_RETURN(
          made.adjoint,
          BlockedConv::Create(isa_, PrecisionOf(precision, i), AdjointOf(conv.geometry), ConvOutput(conv.geometry, in),
                              i > layer ? ConvResult::kAdded : ConvResult::kStored, *adjoint_weights_[i],
                              [&] { return AdjointWeights(conv); }, /*bias=*/{}));
    }
    in = LayerOutput(spec_, layer, before);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const PreparedTrunk>> Trunk::Prepare(int width, int height, bool gradient,
                                                                    Precision precision) const {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
      if (kept->width != width || kept->height != height || kept->gradient < gradient || kept->precision != precision)
        continue;
      kept_.splice(kept_.begin(), kept_, kept);
      return kept_.front().prepared;
    }
  }
  // Outside of the lock: other sizes go on meanwhile. Two threads may make the same; either will do.
  auto prepared = std::make_shared<PreparedTrunk>();
  if (isa_ != ConvIsa::kNone) {
    std::map<std::pair<int, int>, bool> sizes;  // and whether a gradient goes back through them
    for (const bool back : {false, true}) {
      if (back && !gradient) continue;
      const TrunkWindows windows(spec_, FeatureLayout::kBlocked, precision, width, height, back);
      for (const TrunkWindow& down : windows.down()) {
        for (const TrunkWindow& across : windows.across()) {
          sizes[{across.end - across.begin, down.end - down.begin}] = back;
        }
      }
    }
    // Those with adjoints first: windows of different sizes may be of one size deep down, where the first is found.
    for (const bool back : {true, false}) {
      for (const auto& [size, goes_back] : sizes) {
        if (goes_back != back) continue;
        RETURN_IF_ERROR(PrepareConvs({size.first, size.second, 3}, back, precision, *prepared));
      }
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  kept_.push_front({width, height, gradient, precision, prepared});
  if (static_cast<int>(kept_.size()) > kKeptSizes) kept_.pop_back();
  return std::shared_ptr<const PreparedTrunk>(prepared);
}

}  // namespace likeness
