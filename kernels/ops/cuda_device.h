// A CUDA stream as a device: each step's kernels are enqueued, nothing waits and nothing is allocated.
//
// Planes and scalars are in the memory of the GPU; the host handles their addresses and never reads them. Steps run in
// the order of the stream, so memory that the tape frees may be handed out again at once: the next writer comes later.
// Kernels go over one pair; launches over a ragged batch of pairs are yet to come.
#pragma once

#include "kernels/base/target.h"
#include "kernels/base/vec.h"
#include "kernels/cuda/failure.h"
#include "kernels/ops/tape.h"

LIKENESS_BEGIN_TARGET

class Cuda {
 public:
  // For the partial results of one reduction at a time; more would be a plane with over 32768 channels.
  static constexpr int kScratchCount = 1 << 16;

  // `scratch`: kScratchCount doubles of device memory. Neither is owned; both outlive the work that is enqueued.
  Cuda(double* scratch, cudaStream_t stream) : scratch_(scratch), stream_(stream) {}

  int bytes_per_sample() const { return static_cast<int>(sizeof(Real)); }

  // After a failure the rest of a program is skipped: its results would mean nothing.
  template <class Kernel>
  void Run(const Cost&, Kernel&& kernel) {
    if (!failure_.failed()) kernel(*this);
  }

  void Fill(double* values, int count, double value);

  cudaStream_t stream() const { return stream_; }
  double* scratch() const { return scratch_; }

  // Through LIKENESS_CUDA_LAUNCH, which names the place.
  template <class... Parameter, class... Argument>
  void Launch(const char* name, const char* file, int line, void (*kernel)(Parameter...), dim3 grid, dim3 block,
              const Argument&... arguments) {
#if defined(__CUDACC__)
    kernel<<<grid, block, 0, stream_>>>(arguments...);
#else
    EmulateLaunch(kernel, grid, block, arguments...);  // tests/emulator
#endif
    Report(Check(cudaGetLastError(), name, file, line));
  }
  // Keeps the first failure.
  void Report(const Failure& failure) {
    if (!failure_.failed()) failure_ = failure;
  }
  const Failure& failure() const { return failure_; }

 private:
  double* scratch_;
  cudaStream_t stream_;
  Failure failure_;
};

LIKENESS_HD Real* Row(const PlanesView& planes, int channel, int y) {
  return static_cast<Real*>(planes.data) + (std::int64_t{channel} * planes.shape.height + y) * planes.stride();
}

// Writes a gradient's sample or adds to it.
LIKENESS_HD void StoreGradient(const GradientView& gradient, int channel, int y, int x, Vec value) {
  Real* to = Row(gradient.planes, channel, y) + x;
  Store(gradient.accumulate ? Load(to) + value : value, to);
}

// Enqueues kernel(arguments...) and checks the launch. A kernel whose name has commas goes in parentheses.
#define LIKENESS_CUDA_LAUNCH(device, kernel, grid, block, ...) \
  (device).Launch(#kernel, __FILE__, __LINE__, kernel, grid, block, __VA_ARGS__)

LIKENESS_END_TARGET
