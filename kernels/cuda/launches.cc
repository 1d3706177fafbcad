#include "kernels/cuda/launches.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace likeness::cuda {
Failure EnqueueAll(std::span<const Launch> launches, cudaStream_t stream) {
  for (const Launch& launch : launches) {
    LIKENESS_CUDA_RETURN_IF_FAILED(launch.kind->launch(launch.entries, stream));
  }
  return {};
}

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

void Launches::Interleave(std::size_t first, std::size_t second) {
  const std::size_t count = second - first;
  if (steps_.size() - second != count) return;
  interleaved_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    Step a = steps_[first + i];
    Step b = steps_[second + i];
    // Behind the first of each run, a step that joins the one before it brings its like with it.
    if (a.kind != b.kind || (i > 0 && a.beside != b.beside)) return;
    if (i == 0) a.beside = false;  // the second run may depend on what came before both
    b.beside = true;
    interleaved_.push_back(a);
    interleaved_.push_back(b);
  }
  std::copy(interleaved_.begin(), interleaved_.end(), steps_.begin() + static_cast<std::ptrdiff_t>(first));
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
  const auto count = static_cast<int>(joined_.size());
  const std::int64_t first_blocks_at = RoundUp(used_ + count * std::int64_t{kind.entry_bytes});
  merged_.push_back({&kind,
                     {kind.equal == nullptr ? nullptr : host_ + used_, device_ + used_, count,
                      reinterpret_cast<const int*>(device_ + first_blocks_at), static_cast<int>(blocks)}});
  std::byte* entry = host_ + used_;
  auto* first_blocks = reinterpret_cast<int*>(host_ + first_blocks_at);
  int block = 0;
  for (const std::size_t i : joined_) {
    const Step& step = steps_[i];
    std::memcpy(entry, entries_.data() + step.at, kind.entry_bytes);
    entry += kind.entry_bytes;
    *first_blocks++ = block;
    block += static_cast<int>(step.grid.count());
  }
  *first_blocks = block;
  used_ = RoundUp(first_blocks_at + (count + 1) * std::int64_t{sizeof(int)});
}

Failure Launches::Merge() {
  if (overflowed()) return Check(cudaErrorMemoryAllocation, "Launches: the table is full", __FILE__, __LINE__);
  for (Lane& lane : lanes_) lane.next_step = lane.first_step;
  for (;;) {
    // The lane with the longest way to go leads: those with fewer levels wait for it, and the ends meet again.
    const Lane* leader = nullptr;
    for (const Lane& lane : lanes_) {
      const std::size_t left = lane.end_step - lane.next_step;
      if (left > 0 && (leader == nullptr || left > leader->end_step - leader->next_step)) leader = &lane;
    }
    if (leader == nullptr) return {};
    MergeHeads(*steps_[leader->next_step].kind);
  }
}

Failure Launches::UploadAsync(cudaStream_t stream) const {
  if (merged_.empty()) return {};
  return LIKENESS_CUDA_CHECK(
      cudaMemcpyAsync(device_, host_, static_cast<std::size_t>(used_), cudaMemcpyHostToDevice, stream));
}

}  // namespace likeness::cuda
