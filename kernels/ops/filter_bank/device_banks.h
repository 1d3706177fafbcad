// Filter banks in the memory of a GPU, kept from batch to batch.
#pragma once

#include <list>
#include <memory>

#include "kernels/cuda/owners.h"
#include "kernels/ops/filter_bank/bank.h"

namespace likeness::cuda {

// Of one slot. A bank that is not there is allocated and uploaded when a program first asks. Movable; not thread safe.
class DeviceBanks {
 public:
  // Rows as in Bank<float>::Row. Work that is enqueued on `stream` from now on may read them; they stay until Trim.
  Failure Find(const BankSpec& spec, cudaStream_t stream, const float** filters);
  // Forgets the banks used longest ago. The stream must be done.
  void Trim();

 private:
  struct Entry {
    BankSpec spec;
    std::shared_ptr<const Bank<float>> source;  // until the upload is done
    DeviceBuffer filters;
  };

  std::list<Entry> entries_;  // most recently used first
};

}  // namespace likeness::cuda
