#include "kernels/metrics/kept_values.h"

#include <cstdlib>
#include <utility>

#include "kernels/base/arena.h"

namespace likeness {

std::shared_ptr<std::byte> KeptValues::HostMemory(std::int64_t bytes) {
  const std::size_t whole = (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  return {static_cast<std::byte*>(std::aligned_alloc(Arena::kAlignment, whole)), std::free};
}

int KeptValues::Home(KeptReference& reference, const std::function<int()>& choose) {
  const std::lock_guard<std::mutex> lock(reference.mutex_);
  if (reference.home_ < 0) reference.home_ = choose();
  return reference.home_;
}

KeptValues::KeptValues(KeptReference& reference, std::uint64_t salt, Allocator allocator)
    : reference_(reference), salt_(salt), allocator_(std::move(allocator)) {
  const std::lock_guard<std::mutex> lock(reference_.mutex_);
  found_ = reference_.values_;
  room_ = reference_.capacity_ - reference_.bytes_;
}

Keeping KeptValues::Decide(std::uint64_t identity, std::int64_t bytes) {
  identity ^= salt_;
  if (added_.count(identity) > 0) return Keeping::kAdd;
  if (found_.count(identity) > 0) return Keeping::kHave;
  if (bytes > room_) return Keeping::kNot;
  room_ -= bytes;
  added_[identity] = bytes;
  return Keeping::kAdd;
}

bool KeptValues::Allocate(const Schedule& schedule) {
  for (const KeptStep& step : schedule.kept()) {
    KeptReference::Memory& memory = found_[step.identity ^ salt_];
    if (memory == nullptr) {
      memory = allocator_(step.bytes);
      if (memory == nullptr) return false;
    }
    addresses_.push_back(memory.get());
  }
  return true;
}

void KeptValues::Publish() {
  const std::lock_guard<std::mutex> lock(reference_.mutex_);
  for (const auto& [identity, bytes] : added_) {
    if (reference_.bytes_ + bytes > reference_.capacity_) continue;  // another run was quicker to fill it
    if (reference_.values_.emplace(identity, found_[identity]).second) reference_.bytes_ += bytes;
  }
}

}  // namespace likeness
