// Counts the bytes that requests in flight hold, and says no before anything is allocated.
#pragma once

#include <atomic>
#include <cstdint>

namespace likeness::server {

// Thread safe. Must outlive its leases.
class ByteBudget {
 public:
  explicit ByteBudget(std::int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  std::int64_t limit_bytes() const { return limit_bytes_; }
  std::int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

  // True when `bytes` (>= 0) more fit; they then count until given back.
  bool TryTake(std::int64_t bytes) {
    std::int64_t used = used_bytes_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_bytes_ - used) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void GiveBack(std::int64_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const std::int64_t limit_bytes_;
  std::atomic<std::int64_t> used_bytes_{0};
};

// What one request holds of a budget, given back on destruction. Not thread safe.
class Lease {
 public:
  explicit Lease(ByteBudget* budget) : budget_(budget) {}
  ~Lease() { budget_->GiveBack(held_bytes_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  std::int64_t held_bytes() const { return held_bytes_; }
  bool TryGrow(std::int64_t bytes) {
    if (!budget_->TryTake(bytes)) return false;
    held_bytes_ += bytes;
    return true;
  }
  void Shrink(std::int64_t bytes) {
    budget_->GiveBack(bytes);
    held_bytes_ -= bytes;
  }

 private:
  ByteBudget* const budget_;
  std::int64_t held_bytes_ = 0;
};

}  // namespace likeness::server
