#include "kernels/metrics/kept_values.h"

#include <utility>

#include "kernels/base/arena.h"

namespace likeness {

KeptValues::KeptValues(KeptReference& reference, std::uint64_t salt) : reference_(reference), salt_(salt) {
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
      const std::size_t bytes = (step.bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
      memory = {static_cast<std::byte*>(std::aligned_alloc(Arena::kAlignment, bytes)), KeptReference::Free()};
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
