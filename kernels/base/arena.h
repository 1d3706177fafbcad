// Scratch memory of one job: blocks from one reservation, freed and reused as a program goes.
//
// An arena without memory behind it hands out the same offsets: a plan runs a program on one, and its high-water mark
// is then exactly what the real run needs. Not thread safe; one program at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace likeness {

class Arena {
 public:
  static constexpr std::int64_t kAlignment = 64;

  // Counts only.
  Arena() = default;

  // Makes at least `bytes` available. Only while nothing is allocated. False when the system has no such memory.
  bool Reserve(std::int64_t bytes);

  // Hands out parts of memory that somebody else owns and keeps alive, a GPU's for one; `base` is aligned to kAlignment
  // and `bytes` a multiple of it. Only while nothing is allocated. The arena never touches the memory.
  void Adopt(void* base, std::int64_t bytes);

  // The offset of a block. Aborts when a real arena is exhausted: the plan that sized it was wrong, which is our bug.
  std::int64_t Allocate(std::int64_t bytes);
  void Free(std::int64_t offset);
  // While held, what is freed is not handed out again; it is when the hold ends.
  void HoldFreed(bool hold);

  // Null for an arena that counts only.
  void* At(std::int64_t offset) const { return base_ ? base_ + offset : nullptr; }

  std::int64_t high_water_bytes() const { return high_water_; }
  std::int64_t reserved_bytes() const { return reserved_; }

 private:
  struct Block {
    std::int64_t offset;
    std::int64_t bytes;
    bool used;
  };
  struct FreeMemory {
    void operator()(std::byte* p) const { std::free(p); }
  };

  std::unique_ptr<std::byte, FreeMemory> memory_;  // null when adopted
  std::byte* base_ = nullptr;
  std::int64_t reserved_ = 0;
  std::int64_t high_water_ = 0;
  bool holding_ = false;
  std::vector<std::int64_t> held_;  // freed meanwhile
  std::vector<Block> blocks_;       // in order of offset; neighbours that are free are merged
};

}  // namespace likeness
