#include "kernels/ops/filter_bank/device_banks.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace likeness::cuda {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{64} << 20;

}  // namespace

Failure DeviceBanks::Find(const BankSpec& spec, cudaStream_t stream, const float** filters) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.spec == spec; });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
  } else {
    Entry entry{spec, FindBank<float>(spec), {}};
    const auto bytes = Bank<float>::SizeBytes(spec);
    LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(bytes, &entry.filters));
    LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemcpyAsync(entry.filters.data(), entry.source->filters.data(),
                                                   static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream));
    entries_.push_front(std::move(entry));
  }
  *filters = reinterpret_cast<const float*>(entries_.front().filters.data());
  return {};
}

void DeviceBanks::Trim() {
  std::int64_t bytes = 0;
  auto entry = entries_.begin();
  for (; entry != entries_.end(); ++entry) {
    entry->source.reset();
    bytes += entry->filters.size_bytes();
    if (bytes > kMostBytes && entry != entries_.begin()) break;
  }
  entries_.erase(entry, entries_.end());
}

}  // namespace likeness::cuda
