// The launches of a ragged batch: what each pair's programs do is noted first, then equal steps of all pairs become one
// launch over a table of their arguments, so that pairs of any mix of sizes ride together.
//
// A program runs on the host once for each pair and notes its launches in the pair's lane. Lanes share no memory of the
// GPU, so the order between them is free; the order within a lane is kept. UploadAsync takes the heads of the lanes,
// puts those with the same kernel into one launch, and goes on. The arguments of all launches travel in one copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/failure.h"

namespace likeness::cuda {

// Blocks that an entry of a launch asks for. A kernel sees them as its grid.
struct Grid {
  int x = 1;
  int y = 1;

  constexpr std::int64_t count() const { return std::int64_t{x} * y; }
};

// All entries of one launch, on the host and on the device.
struct Entries {
  const std::byte* host;  // null where the kind does not say that it reads them (LaunchKind::equal)
  const std::byte* device;
  int count;
  // Entry i has blocks [first_blocks[i], first_blocks[i + 1]); in the memory of the GPU.
  const int* first_blocks;
  int block_count;
};

// A kernel, as the batch knows it. One object for each kernel: lanes are compared by its address.
struct LaunchKind {
  int entry_bytes;
  // Enqueues one launch over all entries.
  Failure (*launch)(const Entries& entries, cudaStream_t stream);
  // Null: what `launch` enqueues follows from the other members of Entries alone. Else it reads the entries on the host
  // too, and this says whether two are equal: the same is enqueued for equal ones.
  bool (*equal)(const std::byte* a, const std::byte* b) = nullptr;
};

struct Launch {
  const LaunchKind* kind;
  Entries entries;
};

// Enqueues them on `stream`; does not wait. After a failure the rest is not enqueued.
Failure EnqueueAll(std::span<const Launch> launches, cudaStream_t stream);

// Not thread safe. Reused from batch to batch: vectors keep their capacity.
class Launches {
 public:
  // Entries lie at multiples of this.
  static constexpr std::int64_t kAlignment = 16;
  static constexpr std::int64_t RoundUp(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // `host`, page-locked, and `device` hold the table, `capacity_bytes` each; neither is owned.
  Launches() = default;
  Launches(std::byte* host, std::byte* device, std::int64_t capacity_bytes)
      : host_(host), device_(device), capacity_(capacity_bytes) {}

  // Forgets everything; the stream that the last batch ran on must be done.
  void Clear();
  // Launches are noted in a new lane from now on.
  void BeginLane();
  // Notes a launch in the current lane. `entry` is copied. `beside`: it does not depend on the launch noted before it,
  // and joins that one if it is of the same kind.
  void Add(const LaunchKind& kind, const Grid& grid, const void* entry, bool beside = false);
  // Of two runs of steps that were noted last, from `first` and from `second` on, neither depends on the other. If
  // their kinds are the same, one by one, then each step of the second joins its like of the first.
  std::size_t next_step() const { return steps_.size(); }
  void Interleave(std::size_t first, std::size_t second);
  // Room for data that the current lane's kernels read: written by the caller at once, uploaded with the batch. Null
  // when the table is full.
  struct Data {
    std::byte* host = nullptr;
    const std::byte* device = nullptr;
  };
  Data AddData(std::int64_t bytes);

  // Whether more was noted than the table has room for. The last lane can be taken back.
  bool overflowed() const { return needed_ > capacity_; }
  void DropLane();

  // Makes launches of what was noted. Fails when more was noted than the table has room for.
  Failure Merge();
  // Then: uploads their table on `stream`; does not wait.
  Failure UploadAsync(cudaStream_t stream) const;
  // What remains to be enqueued, until Clear.
  std::span<const Launch> merged() const { return merged_; }
  // Noted since Clear.
  int step_count() const;

 private:
  struct Step {
    const LaunchKind* kind;
    Grid grid;
    std::int64_t at;  // of the entry in entries_
    bool beside;
  };
  struct Lane {
    std::size_t first_step = 0;
    std::size_t next_step = 0;  // while merging
    std::size_t end_step = 0;
    std::int64_t data_end = 0;
    std::int64_t needed = 0;  // before the lane began
  };
  void MergeHeads(const LaunchKind& kind);
  bool Join(Lane& lane, const LaunchKind& kind, std::int64_t& blocks);

  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  std::int64_t capacity_ = 0;
  std::int64_t used_ = 0;    // of the table: data, and entries once merged
  std::int64_t needed_ = 0;  // bound on what Merge will use
  std::vector<std::byte> entries_;
  std::vector<Step> steps_;
  std::vector<Lane> lanes_;
  std::vector<Launch> merged_;
  std::vector<Step> interleaved_;    // while it is made
  std::vector<std::size_t> joined_;  // steps of the launch that is being merged
};

}  // namespace likeness::cuda
