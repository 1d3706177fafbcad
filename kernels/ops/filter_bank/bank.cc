#include "kernels/ops/filter_bank/bank.h"

#include <algorithm>
#include <cstddef>
#include <list>
#include <mutex>
#include <utility>

namespace likeness {
namespace {

constexpr std::int64_t kCacheBytes = std::int64_t{64} << 20;

template <class Real>
Bank<Real> MakeBank(const BankSpec& spec) {
  Bank<Real> bank;
  bank.width = spec.width;
  bank.height = spec.height;
  bank.constants.resize(spec.constants);
  std::vector<double> exact(std::size_t(spec.filters) * spec.height * spec.width);
  spec.fill(spec, exact.data(), bank.constants.data());
  const std::int64_t rows = std::int64_t{spec.filters} * spec.height;
  bank.filters.resize(rows * (spec.width + Bank<Real>::kPad));
  for (std::int64_t row = 0; row < rows; ++row) {
    std::copy_n(exact.data() + row * spec.width, spec.width,
                bank.filters.data() + row * (spec.width + Bank<Real>::kPad));
  }
  return bank;
}

template <class Real>
class Cache {
 public:
  std::shared_ptr<const Bank<Real>> Find(const BankSpec& spec) {
    const std::shared_ptr<Entry> entry = EntryOf(spec);
    std::call_once(entry->made, [&] { entry->bank = MakeBank<Real>(spec); });
    return {entry, &entry->bank};
  }

 private:
  struct Entry {
    explicit Entry(const BankSpec& of) : spec(of) {}

    const BankSpec spec;
    std::once_flag made;
    Bank<Real> bank;
  };

  std::shared_ptr<Entry> EntryOf(const BankSpec& spec) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e->spec == spec; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return entries_.front();
    }
    entries_.push_front(std::make_shared<Entry>(spec));
    const std::shared_ptr<Entry> entry = entries_.front();
    bytes_ += Bank<Real>::SizeBytes(spec);
    // The new one stays whatever its size: a program asks for its bank once a step.
    while (bytes_ > kCacheBytes && entries_.size() > 1) {
      bytes_ -= Bank<Real>::SizeBytes(entries_.back()->spec);
      entries_.pop_back();
    }
    return entry;
  }

  std::mutex mutex_;
  std::list<std::shared_ptr<Entry>> entries_;  // most recently used first
  std::int64_t bytes_ = 0;
};

}  // namespace

template <class Real>
std::shared_ptr<const Bank<Real>> FindBank(const BankSpec& spec) {
  static Cache<Real>* const cache = new Cache<Real>();  // never destroyed: threads may outlive statics
  return cache->Find(spec);
}

template std::shared_ptr<const Bank<float>> FindBank<float>(const BankSpec& spec);
template std::shared_ptr<const Bank<double>> FindBank<double>(const BankSpec& spec);

}  // namespace likeness
