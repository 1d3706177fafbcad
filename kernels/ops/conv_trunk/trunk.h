// A trunk's weights, and its convolutions made ready for one image size.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/ops/conv_trunk/trunk_weights.h"

namespace likeness {

class BlockedConv;
class BlockedWeights;

// Whose instructions the convolutions may use. kNone: the caller convolves by itself and wants the weights only.
enum class ConvIsa { kNone, kSse4, kAvx2, kAvx512, kAny };

// Convolutions for one image size, or for the sizes of its windows. Immutable, so shared by threads.
class PreparedTrunk {
 public:
  // By the shape of the convolution's input. Not for kNone. Without ReLU only where the spec says linear.
  const BlockedConv& forward(int layer, bool relu, const Shape& in) const {
    const Layer& found = Find(layer, in);
    return relu ? *found.forward : *found.linear;
  }
  // Only when prepared for a gradient. Of a convolution beside another: it adds to what is there.
  const BlockedConv& adjoint(int layer, const Shape& in) const { return *Find(layer, in).adjoint; }

 private:
  friend class Trunk;
  struct Layer {
    Shape in;
    std::shared_ptr<const BlockedConv> forward;
    std::shared_ptr<const BlockedConv> linear;
    std::shared_ptr<const BlockedConv> adjoint;
  };
  const Layer& Find(int layer, const Shape& in) const;

  std::vector<std::vector<Layer>> layers_;  // of each convolution, a few sizes
};

// Thread safe.
class Trunk {
 public:
  // Where weights come from, by name: "conv0.weight", "conv0.bias", "head0.weight". Returns the tensor's values, or a
  // status when there is no tensor of that name and count of values.
  using Tensors = std::function<absl::StatusOr<absl::Span<const float>>(const std::string& name, std::int64_t count)>;

  // `owner` keeps the tensors' memory and lives as long as the trunk.
  static absl::StatusOr<std::unique_ptr<Trunk>> Create(const TrunkSpec& spec, ConvIsa isa, const Tensors& tensors,
                                                       std::shared_ptr<const void> owner);
  ~Trunk();

  // Gives a convention heads of its own, by name as in Create, beside those that the trunk came with. Before the trunk
  // is shared by threads. After an error the trunk is as before.
  absl::Status AddHeads(const std::string& convention, const Tensors& tensors, std::shared_ptr<const void> owner);

  const TrunkWeights& weights() const { return weights_; }
  // The same convolutions, with the convention's heads where it has its own.
  const TrunkWeights& weights(const std::string& convention) const {
    const auto own = with_other_heads_.find(convention);
    return own == with_other_heads_.end() ? weights_ : own->second;
  }

  // All of them: the trunk's own, then those of conventions with other heads.
  std::vector<const TrunkWeights*> all_weights() const {
    std::vector<const TrunkWeights*> all = {&weights_};
    for (const auto& [convention, weights] : with_other_heads_) all.push_back(&weights);
    return all;
  }

  // Makes the convolutions for an image size, or for its windows, or finds them among those made last.
  // FAILED_PRECONDITION when the processor or library has no convolution for the instruction set or precision.
  absl::StatusOr<std::shared_ptr<const PreparedTrunk>> Prepare(int width, int height, bool gradient,
                                                               Precision precision = Precision::kExact) const;

 private:
  // Sizes whose convolutions are kept: generated code, some MB a size.
  static constexpr int kKeptSizes = 24;
  struct Kept {
    int width;
    int height;
    bool gradient;
    Precision precision;
    std::shared_ptr<const PreparedTrunk> prepared;
  };

  Trunk(const TrunkSpec& spec, ConvIsa isa);
  // The head behind each tap, in order.
  absl::StatusOr<std::vector<std::span<const float>>> LoadHeads(const Tensors& tensors) const;
  absl::Status PrepareConvs(const Shape& image, bool gradient, Precision precision, PreparedTrunk& prepared) const;

  const TrunkSpec& spec_;
  ConvIsa isa_;
  std::vector<std::shared_ptr<const void>> owners_;
  std::vector<std::vector<float>> rearranged_;  // weights that are not in the file as they are needed
  TrunkWeights weights_;
  std::map<std::string, TrunkWeights> with_other_heads_;  // by convention
  std::vector<std::unique_ptr<BlockedWeights>> forward_weights_;
  std::vector<std::unique_ptr<BlockedWeights>> adjoint_weights_;

  mutable std::mutex mutex_;
  mutable std::list<Kept> kept_;  // last used first
};

}  // namespace likeness
