// What learned metrics keep of a reference that is scored against many images: its features, so that each further image
// costs half.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace likeness {

// Of one reference image as one Scorer sees it; PairJob::kept. Scores are the same bits with and without. Thread safe.
class KeptReference {
 public:
  // Features beyond `capacity_bytes` are computed anew each time. What is kept is counted in bytes().
  explicit KeptReference(std::int64_t capacity_bytes) : capacity_(capacity_bytes) {}
  KeptReference(const KeptReference&) = delete;
  KeptReference& operator=(const KeptReference&) = delete;

  std::int64_t bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
  }

 private:
  friend class KeptValues;
  using Memory = std::shared_ptr<std::byte>;  // of the host or of a GPU

  const std::int64_t capacity_;
  mutable std::mutex mutex_;
  std::int64_t bytes_ = 0;
  std::map<std::uint64_t, Memory> values_;  // by identity; complete once they are here
  int home_ = -1;                           // the GPU that they are on; -1: none yet, or the CPU has them
};

}  // namespace likeness
