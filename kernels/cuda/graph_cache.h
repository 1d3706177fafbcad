// Batches that come again as graphs of CUDA: one call instead of one for each launch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/owners.h"

namespace likeness::cuda {

// Of one slot. A batch is known again by its launches: their kinds, how many entries and blocks they have and where in
// the memory of the GPU those lie. That is all that a kernel's launch is told: its arguments travel in the table, which
// is uploaded before each batch, so that a graph computes with new pixels and new arguments. Of launches that are a
// library's calls the arguments count too (LaunchKind::equal), for they go into the graph.
//
// What CUDA refuses to capture, or a library, is enqueued launch by launch ever after: refusals().
//
// The first time a batch is enqueued as it is: most mixtures never come again, and libraries allocate and load what
// they need, which must not happen while a graph is captured. The second time it is captured, and from then on
// replayed. Not thread safe.
class GraphCache {
 public:
  static constexpr std::size_t kMostGraphs = 16;
  // Batches that came once and are remembered.
  static constexpr std::size_t kMostSeen = 16;

  // Enqueues the launches on the slot's stream; does not wait, but what this had enqueued before must be done.
  // `generation` is another number whenever a library has released or moved something that its earlier calls may use:
  // the graphs of before, which hold those calls, are gone then. So they are when the GPU has no memory for one more,
  // which fails the batch.
  Failure Run(std::span<const Launch> launches, std::int64_t generation, cudaStream_t stream);

  std::int64_t captures() const { return captures_; }
  std::int64_t replays() const { return replays_; }
  // Batches whose capture was refused.
  std::int64_t refusals() const { return refusals_; }

 private:
  struct Entry {
    std::vector<Launch> launches;
    std::vector<std::byte> host;  // what launches read there, one behind another
    Graph graph;
    bool refused = false;

    bool Is(std::span<const Launch> others) const;
    void Remember(std::span<const Launch> others);
  };

  void Forget();
  static std::list<Entry>::iterator Find(std::list<Entry>& entries, std::span<const Launch> launches);

  // Most recently used first.
  std::list<Entry> seen_;
  std::list<Entry> graphs_;
  std::int64_t generation_ = 0;
  std::int64_t captures_ = 0;
  std::int64_t replays_ = 0;
  std::int64_t refusals_ = 0;
};

}  // namespace likeness::cuda
