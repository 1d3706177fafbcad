// Convolutions by cuDNN. No cuDNN type in sight: what includes this builds without its headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/failure.h"
#include "kernels/metric_info.h"
#include "kernels/ops/conv_trunk/trunk_spec.h"

namespace likeness::cuda {

// A convolution of one image: a pixel's channels lie together, as many as cuDNN likes (PaddedChannels).
struct ConvShape {
  ConvGeometry conv;
  int width = 0;  // of the input
  int height = 0;
  Precision precision = Precision::kExact;
  bool relu = false;

  friend bool operator==(const ConvShape&, const ConvShape&) = default;
};

// out = relu(scale * conv(in) + bias), or plus what is in `out`. Samples, weights ([out][kernel][kernel][in]) and bias
// are float, half when fast; sums are float.
struct ConvArguments {
  const void* in = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;
  void* out = nullptr;
  float scale = 1.0f;
  bool accumulate = false;

  friend bool operator==(const ConvArguments&, const ConvArguments&) = default;
};

// Calls for several images: how many gave the bits of single ones and are made, and how many did not.
struct ConvTrials {
  std::int64_t agreed = 0;
  std::int64_t differed = 0;
};

// Of one slot: a handle of cuDNN on its stream, what describes the shapes seen lately, and the slot's work area. A
// larger one is allocated when a shape that is new asks for more. Movable; not thread safe.
//
// The algorithm is pinned, and deterministic. Images of several pairs can go into one call, in counts that are powers
// of two. But the kernel that cuDNN takes for several may sum in another order than the one that it takes for a single
// image, and a score may not depend on its company. So a call for several images that comes in a second batch goes on
// trial. The batch, whose images went one by one, is run once more with calls on trial. What gives the same results to
// the last bit, of a quarter of a million numbers where features are half and rounding hides most differences, is made
// from then on. Where bits differ, fewer calls are tried at a time until the guilty one is alone; then, as after a
// refusal of cuDNN, half as many images have their turn.
class ConvPlans {
 public:
  static constexpr int kMostImages = 64;  // of a call, whatever is asked for
  // A convolution whose workspace would exceed this is refused.
  static constexpr std::int64_t kMostWorkspaceBytes = std::int64_t{256} << 20;

  // The work area, at a multiple of 256 bytes, must outlive the plans. What else works in it must run on `stream`.
  static Failure Create(cudaStream_t stream, std::byte* work_area, std::int64_t bytes, ConvPlans* out);
  ConvPlans();
  ConvPlans(ConvPlans&&) noexcept;
  ConvPlans& operator=(ConvPlans&&) noexcept;
  ~ConvPlans();

  // Makes what one image needs, so that a shape that cuDNN refuses fails before anything is enqueued.
  Failure Prepare(const ConvShape& shape);
  // Enqueues `count` images, each so many bytes behind the last; weights, bias and scale are the same. Those that no
  // call of proven bits takes go one by one.
  Failure Run(const ConvShape& shape, const ConvArguments& first, int count, std::int64_t in_distance,
              std::int64_t out_distance);
  // How many of them one call takes at most; at first kMostImages.
  void set_images_per_call(int most);
  int images_per_call() const;

  // What Run is called for from now on is another batch's. Forgets the shapes used longest ago. The stream must be
  // done.
  void BeginBatch();
  // Whether this batch has calls to be tried: run it again between BeginTrial and EndTrial, not captured, and compare.
  bool WantsTrial() const;
  // Instead, where its results would show no difference. After a few such batches the calls are given up.
  void PutOffTrial();
  void BeginTrial();
  void EndTrial(bool same_bits);
  // Instead, where it came to no end. Nothing is known of its calls then, which are put off.
  void BreakOffTrial();
  ConvTrials trials() const;

  // Another number after anything that calls of Run may use was released or moved, or after which Run would make other
  // calls: graphs that hold them must go.
  std::int64_t generation() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether this build has cuDNN. Without it no metric that convolves is compiled for CUDA.
bool HasCudnn();
// "cuDNN 9.1.0", as loaded.
const char* CudnnDescription();

}  // namespace likeness::cuda
