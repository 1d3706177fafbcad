#include "kernels/cuda/launches.h"

#include <cstring>
#include <limits>

namespace likeness::cuda {
namespace {

constexpr std::int64_t RoundUp(std::int64_t bytes) {
  return (bytes + Launches::kAlignment - 1) / Launches::kAlignment * Launches::kAlignment;
}

}  // namespace

void Launches::Clear() {
  used_ = needed_ = 0;
  entries_.clear();
  steps_.clear();
  lanes_.clear();
  merged_.clear();
}

void Launches::BeginLane() {
  Lane lane;
  lane.first_step = lane.end_step = steps_.size();
  lane.data_end = used_;
  lane.needed = needed_;
  lanes_.push_back(lane);
}

void Launches::Add(const LaunchKind& kind, const Grid& grid, const void* entry, bool beside) {
  const auto at = static_cast<std::int64_t>(entries_.size());
  const auto* bytes = static_cast<const std::byte*>(entry);
  entries_.insert(entries_.end(), bytes, bytes + kind.entry_bytes);
  steps_.push_back({&kind, grid, at, beside});
  lanes_.back().end_step = steps_.size();
  // A launch of its own, at worst: its entry, and two numbers in the list of first blocks.
  needed_ += RoundUp(kind.entry_bytes) + RoundUp(2 * sizeof(int));
}

Launches::Data Launches::AddData(std::int64_t bytes) {
  needed_ += RoundUp(bytes);
  if (overflowed()) return {};
  const Data data{host_ + used_, device_ + used_};
  used_ += RoundUp(bytes);
  return data;
}

void Launches::DropLane() {
  const Lane& lane = lanes_.back();
  if (lane.first_step < steps_.size()) entries_.resize(steps_[lane.first_step].at);
  steps_.resize(lane.first_step);
  used_ = lane.data_end;
  needed_ = lane.needed;
  lanes_.pop_back();
}

int Launches::step_count() const { return static_cast<int>(steps_.size()); }

// Puts a lane's next step, and those beside it, into the launch that is being merged. False when it is full: the rest
// goes into the next one.
bool Launches::Join(Lane& lane, const LaunchKind& kind, std::int64_t& blocks) {
  for (bool first = true; lane.next_step < lane.end_step; first = false) {
    const Step& step = steps_[lane.next_step];
    if (step.kind != &kind || (!first && !step.beside)) break;
    if (blocks + step.grid.count() > std::numeric_limits<int>::max()) return false;
    blocks += step.grid.count();
    joined_.push_back(lane.next_step++);
  }
  return true;
}

// One launch of all lanes that `kind` comes next for.
void Launches::MergeHeads(const LaunchKind& kind) {
  joined_.clear();
  std::int64_t blocks = 0;
  for (Lane& lane : lanes_) {
    if (!Join(lane, kind, blocks)) break;
  }
  Merged launch{&kind, used_, 0, static_cast<int>(joined_.size()), static_cast<int>(blocks)};
  launch.first_blocks_at = RoundUp(used_ + launch.count * std::int64_t{kind.entry_bytes});
  std::byte* entry = host_ + launch.entries_at;
  auto* first_blocks = reinterpret_cast<int*>(host_ + launch.first_blocks_at);
  int block = 0;
  for (const std::size_t i : joined_) {
    const Step& step = steps_[i];
    std::memcpy(entry, entries_.data() + step.at, kind.entry_bytes);
    entry += kind.entry_bytes;
    *first_blocks++ = block;
    block += static_cast<int>(step.grid.count());
  }
  *first_blocks = block;
  used_ = RoundUp(launch.first_blocks_at + (launch.count + 1) * std::int64_t{sizeof(int)});
  merged_.push_back(launch);
}

void Launches::Merge() {
  for (Lane& lane : lanes_) lane.next_step = lane.first_step;
  for (;;) {
    // The lane with the longest way to go leads: those with fewer levels wait for it, and the ends meet again.
    const Lane* leader = nullptr;
    for (const Lane& lane : lanes_) {
      const std::size_t left = lane.end_step - lane.next_step;
      if (left > 0 && (leader == nullptr || left > leader->end_step - leader->next_step)) leader = &lane;
    }
    if (leader == nullptr) return;
    MergeHeads(*steps_[leader->next_step].kind);
  }
}

Failure Launches::Submit(cudaStream_t stream) {
  launch_count_ = 0;
  if (overflowed()) return Check(cudaErrorMemoryAllocation, "Launches: the table is full", __FILE__, __LINE__);
  if (steps_.empty()) return {};
  Merge();
  LIKENESS_CUDA_RETURN_IF_FAILED(
      cudaMemcpyAsync(device_, host_, static_cast<std::size_t>(used_), cudaMemcpyHostToDevice, stream));
  for (const Merged& launch : merged_) {
    const Entries entries{host_ + launch.entries_at, device_ + launch.entries_at, launch.count,
                          reinterpret_cast<const int*>(device_ + launch.first_blocks_at), launch.block_count};
    ++launch_count_;
    LIKENESS_CUDA_RETURN_IF_FAILED(launch.kind->launch(entries, stream));
  }
  return {};
}

}  // namespace likeness::cuda
