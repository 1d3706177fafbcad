// One run's view of a KeptReference: what is there already, and what this run adds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/kept_reference.h"
#include "kernels/ops/sharing.h"

namespace likeness {

class KeptValues {
 public:
  // Null: there is none left.
  using Allocator = std::function<std::shared_ptr<std::byte>(std::int64_t bytes)>;

  // `salt`: whatever the values depend on beside the program's steps.
  KeptValues(KeptReference& reference, std::uint64_t salt, Allocator allocator = HostMemory);

  static std::shared_ptr<std::byte> HostMemory(std::int64_t bytes);
  // The GPU that all of the reference's values are on: once chosen, always the same. A metric is computed by the CPU or
  // by GPUs, so no value is on both.
  static int Home(KeptReference& reference, const std::function<int()>& choose);

  // For Survey::MakeSchedule.
  Keeping Decide(std::uint64_t identity, std::int64_t bytes);
  // Makes room for what the schedule adds. False when the system has none: nothing is kept then.
  bool Allocate(const Schedule& schedule);
  // Of each of the schedule's kept values.
  const std::vector<void*>& addresses() const { return addresses_; }
  // After the run: what was added is there for others. Of two runs that add the same, the first wins.
  void Publish();

 private:
  KeptReference& reference_;
  const std::uint64_t salt_;
  const Allocator allocator_;
  std::map<std::uint64_t, KeptReference::Memory> found_;
  std::map<std::uint64_t, std::int64_t> added_;  // bytes
  std::int64_t room_;
  std::vector<void*> addresses_;
};

}  // namespace likeness
