#include "kernels/cuda/graph_cache.h"

#include <algorithm>
#include <utility>

namespace likeness::cuda {
namespace {

std::int64_t HostBytes(const Launch& launch) {
  return launch.kind->equal == nullptr ? 0 : launch.entries.count * std::int64_t{launch.kind->entry_bytes};
}

// Nothing ran, and the stream is as before.
bool IsRefusal(cudaError_t code) {
  return code == cudaErrorNotSupported ||
         (code >= cudaErrorStreamCaptureUnsupported && code <= cudaErrorStreamCaptureWrongThread);
}

bool SameLaunch(const Launch& a, const Launch& b) {
  return a.kind == b.kind && a.entries.device == b.entries.device && a.entries.count == b.entries.count &&
         a.entries.first_blocks == b.entries.first_blocks && a.entries.block_count == b.entries.block_count;
}

}  // namespace

bool GraphCache::Entry::Is(std::span<const Launch> others) const {
  if (!std::equal(launches.begin(), launches.end(), others.begin(), others.end(), &SameLaunch)) return false;
  const std::byte* mine = host.data();
  for (const Launch& launch : others) {
    for (int i = 0; launch.kind->equal != nullptr && i < launch.entries.count; ++i) {
      const std::int64_t at = i * std::int64_t{launch.kind->entry_bytes};
      if (!launch.kind->equal(mine + at, launch.entries.host + at)) return false;
    }
    mine += Launches::RoundUp(HostBytes(launch));
  }
  return true;
}

void GraphCache::Entry::Remember(std::span<const Launch> others) {
  launches.assign(others.begin(), others.end());
  host.clear();
  for (const Launch& launch : others) {
    host.insert(host.end(), launch.entries.host, launch.entries.host + HostBytes(launch));
    host.resize(Launches::RoundUp(static_cast<std::int64_t>(host.size())));
  }
}

std::list<GraphCache::Entry>::iterator GraphCache::Find(std::list<Entry>& entries, std::span<const Launch> launches) {
  return std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.Is(launches); });
}

void GraphCache::Forget() {
  graphs_.clear();
  seen_.clear();
}

Failure GraphCache::Run(std::span<const Launch> launches, std::int64_t generation, cudaStream_t stream) {
  if (launches.empty()) return {};
  if (generation != generation_) {
    Forget();
    generation_ = generation;
  }
  if (const auto known = Find(graphs_, launches); known != graphs_.end()) {
    graphs_.splice(graphs_.begin(), graphs_, known);
    ++replays_;
    return known->graph.LaunchAsync(stream);
  }
  if (const auto seen = Find(seen_, launches); seen != seen_.end()) {
    if (seen->refused) return EnqueueAll(launches, stream);
    const Failure failure = Graph::Capture(
        stream, [&] { return EnqueueAll(launches, stream); }, &seen->graph);
    if (failure.code == cudaErrorMemoryAllocation) Forget();
    if (IsRefusal(failure.code)) {
      seen->refused = true;
      ++refusals_;
      return EnqueueAll(launches, stream);
    }
    LIKENESS_CUDA_RETURN_IF_FAILED(failure);
    ++captures_;
    graphs_.splice(graphs_.begin(), seen_, seen);
    if (graphs_.size() > kMostGraphs) graphs_.pop_back();
    return graphs_.front().graph.LaunchAsync(stream);
  }
  // Only what worked may be captured.
  LIKENESS_CUDA_RETURN_IF_FAILED(EnqueueAll(launches, stream));
  if (seen_.size() < kMostSeen) {
    seen_.emplace_front();
  } else {
    // Its vectors keep their room.
    seen_.splice(seen_.begin(), seen_, std::prev(seen_.end()));
    seen_.front().refused = false;
  }
  seen_.front().Remember(launches);
  return {};
}

}  // namespace likeness::cuda
