#include "kernels/base/arena.h"

#include <algorithm>
#include <cstdio>

namespace likeness {
namespace {

std::int64_t RoundUp(std::int64_t bytes) {
  return (std::max<std::int64_t>(bytes, 1) + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
}

}  // namespace

bool Arena::Reserve(std::int64_t bytes) {
  if (!blocks_.empty()) std::abort();
  if (memory_ && bytes <= reserved_) return true;
  memory_.reset();
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, RoundUp(bytes))));
  base_ = memory_.get();
  reserved_ = memory_ ? RoundUp(bytes) : 0;
  return memory_ != nullptr;
}

void Arena::Adopt(void* base, std::int64_t bytes) {
  if (!blocks_.empty() || base == nullptr || bytes % kAlignment != 0) std::abort();
  memory_.reset();
  base_ = static_cast<std::byte*>(base);
  reserved_ = bytes;
}

std::int64_t Arena::Allocate(std::int64_t bytes) {
  bytes = RoundUp(bytes);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i].used || blocks_[i].bytes < bytes) continue;
    const std::int64_t offset = blocks_[i].offset;
    const std::int64_t rest = blocks_[i].bytes - bytes;
    blocks_[i] = {offset, bytes, true};
    if (rest > 0) blocks_.insert(blocks_.begin() + i + 1, Block{offset + bytes, rest, false});
    return offset;
  }
  // Nothing free is large enough: take new ground, beginning with a free block at the end if there is one.
  std::int64_t offset = blocks_.empty() ? 0 : blocks_.back().offset + blocks_.back().bytes;
  if (!blocks_.empty() && !blocks_.back().used) {
    offset = blocks_.back().offset;
    blocks_.pop_back();
  }
  if (base_ && offset + bytes > reserved_) {
    std::fprintf(stderr, "likeness: arena of %lld bytes exhausted at %lld; its plan was wrong\n",
                 static_cast<long long>(reserved_), static_cast<long long>(offset + bytes));
    std::abort();
  }
  blocks_.push_back({offset, bytes, true});
  high_water_ = std::max(high_water_, offset + bytes);
  return offset;
}

void Arena::HoldFreed(bool hold) {
  holding_ = hold;
  if (hold) return;
  for (const std::int64_t offset : held_) Free(offset);
  held_.clear();
}

void Arena::Free(std::int64_t offset) {
  if (holding_) {
    held_.push_back(offset);
    return;
  }
  const auto at = std::lower_bound(blocks_.begin(), blocks_.end(), offset,
                                   [](const Block& block, std::int64_t o) { return block.offset < o; });
  if (at == blocks_.end() || at->offset != offset || !at->used) std::abort();
  std::size_t i = at - blocks_.begin();
  blocks_[i].used = false;
  if (i + 1 < blocks_.size() && !blocks_[i + 1].used) {
    blocks_[i].bytes += blocks_[i + 1].bytes;
    blocks_.erase(blocks_.begin() + i + 1);
  }
  if (i > 0 && !blocks_[i - 1].used) {
    blocks_[i - 1].bytes += blocks_[i].bytes;
    blocks_.erase(blocks_.begin() + i);
    --i;
  }
  if (i + 1 == blocks_.size()) blocks_.pop_back();  // so that an arena with nothing in use is empty
}

}  // namespace likeness
