// One stride-1 convolution of one image by oneDNN, channels in blocks.
//
// Features are [channels / block][height][width][block] floats, block = BlockOf(isa), channels filled up with zeros.
// The convolution is cut into chunks of output channels, each of them one contiguous part of the output and one
// single-threaded call: the cut depends on the channels alone, so results do not depend on how many threads share the
// chunks, and oneDNN's own thread pool (OpenMP) never wakes.
//
// Precision::kFast reads bfloat16, features and weights, and still writes floats: sums are of floats, and whoever else
// looks at features sees what the sums gave.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/ops/conv_trunk/trunk_spec.h"

namespace likeness {

// Whether this processor multiplies bfloat16 (AVX512-BF16 or AMX) and the instruction set asked for is that wide.
bool HasFastConvolutions(ConvIsa isa);

// Channels in a block.
constexpr int BlockOf(ConvIsa isa) { return isa == ConvIsa::kAvx512 ? 16 : 8; }

// A convolution's weights in the order that oneDNN's code reads them: made once, shared by all image sizes. Thread
// safe.
class BlockedWeights {
 public:
  BlockedWeights();
  ~BlockedWeights();

 private:
  friend class BlockedConv;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What becomes of a convolution's result.
enum class ConvResult { kStored, kRelu, kAdded };

// Immutable.
class BlockedConv {
 public:
  // in: the shape of the input; its channels must be the convolution's. weight is asked only when `cache` has not got
  // the weights in the order wanted. An empty bias is none.
  static absl::StatusOr<std::shared_ptr<const BlockedConv>> Create(ConvIsa isa, Precision precision,
                                                                   const ConvGeometry& conv, const Shape& in,
                                                                   ConvResult kind, BlockedWeights& cache,
                                                                   const std::function<std::vector<float>()>& weight,
                                                                   std::span<const float> bias);
  ~BlockedConv();

  int chunk_count() const { return chunk_count_; }
  // Computes one chunk of `out`. `in` has floats, or bfloat16 under Precision::kFast. Thread safe for different chunks
  // or outputs. Aborts when oneDNN fails on what Create accepted.
  void Run(int chunk, const void* in, float* out) const;

  // What oneDNN calls the code that runs: "jit:avx2".
  const char* implementation() const;

 private:
  struct Impl;
  BlockedConv();
  int chunk_count_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace likeness
