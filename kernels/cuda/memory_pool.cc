#include "kernels/cuda/memory_pool.h"

#include <utility>

namespace likeness::cuda {

Failure MemoryPool::Create(int device, std::shared_ptr<const MemoryPool>* out) {
  // What the driver may hold of freed memory: a few references' features. Without, each allocation asks the system.
  std::uint64_t held_bytes = std::uint64_t{256} << 20;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaSetDevice(device));
  cudaMemPool_t pool = nullptr;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaDeviceGetDefaultMemPool(&pool, device));
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &held_bytes));
  auto stream = std::make_shared<Stream>();
  LIKENESS_CUDA_RETURN_IF_FAILED(Stream::Create(stream.get()));
  auto made = std::make_shared<MemoryPool>();
  made->stream_ = std::move(stream);
  *out = std::move(made);
  return {};
}

std::shared_ptr<std::byte> MemoryPool::Allocate(std::int64_t bytes) const {
  void* data = nullptr;
  const Failure failure = LIKENESS_CUDA_CHECK(cudaMallocAsync(&data, static_cast<std::size_t>(bytes), stream_->get()));
  if (failure.failed()) {
    cudaGetLastError();  // else the next launch would find it
    return nullptr;
  }
  // The deleter first: whatever happens, the memory is given back.
  std::shared_ptr<std::byte> memory(static_cast<std::byte*>(data), [stream = stream_](std::byte* gone) {
    // On a lost GPU there is nothing to give back to.
    if (cudaFreeAsync(gone, stream->get()) != cudaSuccess) cudaGetLastError();
  });
  // Other streams know nothing of this one's order.
  if (stream_->Wait().failed()) return nullptr;
  return memory;
}

}  // namespace likeness::cuda
