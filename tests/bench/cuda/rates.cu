#include <algorithm>

#include "kernels/cuda/owners.h"
#include "kernels/ops/cuda_device.h"
#include "tests/bench/cuda/rates.h"

LIKENESS_BEGIN_TARGET
namespace {

// Chains that do not wait for one another, enough of them to fill a pipeline.
constexpr int kChains = 8;

struct FmaKernel {
  static constexpr int kThreads = 256;
  float* out;
  int rounds;
  float factor;

  __device__ void operator()(const Block& block) const {
    Vec chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = Vec(0.001 * i);
    for (int round = 0; round < rounds; ++round) {
#pragma unroll
      for (int i = 0; i < kChains; ++i) chain[i] = MulAdd(chain[i], Vec(factor), Vec(1.0));
    }
    Vec sum(0.0);
    for (int i = 0; i < kChains; ++i) sum = sum + chain[i];
    Store(sum, out + std::int64_t{block.x} * kThreads + threadIdx.x);
  }
};

class Bench {
 public:
  static Failure Create(Bench* out) {
    LIKENESS_CUDA_RETURN_IF_FAILED(Stream::Create(&out->stream_));
    LIKENESS_CUDA_RETURN_IF_FAILED(Event::Create(Event::Kind::kTiming, &out->start_));
    return Event::Create(Event::Kind::kTiming, &out->end_);
  }

  // The shortest of several runs, the first of which does not count.
  template <class Work>
  Failure BestSeconds(int runs, Work work, double* out) {
    float best_ms = 0.0f;
    for (int run = 0; run <= runs; ++run) {
      LIKENESS_CUDA_RETURN_IF_FAILED(start_.RecordAsync(stream_.get()));
      LIKENESS_CUDA_RETURN_IF_FAILED(work(stream_.get()));
      LIKENESS_CUDA_RETURN_IF_FAILED(end_.RecordAsync(stream_.get()));
      LIKENESS_CUDA_RETURN_IF_FAILED(stream_.Wait());
      float ms = 0.0f;
      LIKENESS_CUDA_RETURN_IF_FAILED(end_.ElapsedMs(start_, &ms));
      if (run == 1 || (run > 1 && ms < best_ms)) best_ms = ms;
    }
    // The emulator's clock may not have moved.
    *out = std::max(best_ms, 1e-6f) / 1e3;
    return {};
  }

 private:
  Stream stream_;
  Event start_, end_;
};

}  // namespace

Failure MeasureRates(bool small, Rates* out) {
  const std::int64_t bytes = small ? 1 << 16 : 256 << 20;
  const int runs = small ? 1 : 10;
  Bench bench;
  LIKENESS_CUDA_RETURN_IF_FAILED(Bench::Create(&bench));
  PinnedBuffer host;
  DeviceBuffer device, other;
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(bytes, &host));
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(bytes, &device));
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(bytes, &other));
  std::fill_n(host.data(), bytes, std::byte{1});
  const auto copy = [&](std::byte* to, const std::byte* from, cudaMemcpyKind kind, double* bytes_per_s) -> Failure {
    double seconds = 0.0;
    LIKENESS_CUDA_RETURN_IF_FAILED(bench.BestSeconds(
        runs,
        [&](cudaStream_t stream) {
          return LIKENESS_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream));
        },
        &seconds));
    *bytes_per_s = static_cast<double>(bytes) / seconds;
    return {};
  };
  LIKENESS_CUDA_RETURN_IF_FAILED(copy(device.data(), host.data(), cudaMemcpyHostToDevice, &out->upload_bytes_per_s));
  LIKENESS_CUDA_RETURN_IF_FAILED(copy(other.data(), device.data(), cudaMemcpyDeviceToDevice, &out->copy_bytes_per_s));
  LIKENESS_CUDA_RETURN_IF_FAILED(copy(host.data(), other.data(), cudaMemcpyDeviceToHost, &out->download_bytes_per_s));
  out->copy_bytes_per_s *= 2.0;

  const int blocks = small ? 2 : 4096, rounds = small ? 4 : 4096;
  PinnedBuffer staged_table;
  DeviceBuffer table;
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(4096, &staged_table));
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(4096, &table));
  Launches launches(staged_table.data(), table.data(), 4096);
  double seconds = 0.0;
  LIKENESS_CUDA_RETURN_IF_FAILED(bench.BestSeconds(
      runs,
      [&](cudaStream_t stream) {
        launches.Clear();
        launches.BeginLane();
        Cuda on(launches, nullptr);
        on.Launch(FmaKernel{reinterpret_cast<float*>(device.data()), rounds, 0.5f}, Grid{blocks});
        LIKENESS_CUDA_RETURN_IF_FAILED(launches.Merge());
        LIKENESS_CUDA_RETURN_IF_FAILED(launches.UploadAsync(stream));
        return EnqueueAll(launches.merged(), stream);
      },
      &seconds));
  out->fma_per_s = 1.0 * blocks * FmaKernel::kThreads * rounds * kChains / seconds;
  return {};
}

LIKENESS_END_TARGET
