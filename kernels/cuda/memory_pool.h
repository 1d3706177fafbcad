// Memory of one GPU for what outlives a batch: no call waits for other work of the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/owners.h"

namespace likeness::cuda {

// Thread safe. The memory may outlive the pool.
class MemoryPool {
 public:
  static Failure Create(int device, std::shared_ptr<const MemoryPool>* out);

  // Usable on every stream. Whoever drops the last owner must have waited for the work that uses it. Null: there is
  // none left.
  std::shared_ptr<std::byte> Allocate(std::int64_t bytes) const;

 private:
  std::shared_ptr<const Stream> stream_;  // that nothing but this memory comes and goes on
};

}  // namespace likeness::cuda
