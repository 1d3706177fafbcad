// Banks of real filters in the frequency plane, such as log-Gabor wavelets: made once for a size and kept, because
// making one costs more than the transforms that use it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace likeness {

// What a bank is and how it is made: plain data, so that planning costs nothing.
struct BankSpec {
  const char* name;  // a literal; banks of one name, size and image size are the same
  int image_width;   // of the image whose spectrum is filtered
  int image_height;
  int width;  // of a filter: frequencies in the order of the transform, 0 first, nothing shifted
  int height;
  int filters;
  int constants;  // numbers that come with the filters
  // Fills `filters` planes of height x width numbers without padding, and the constants.
  void (*fill)(const BankSpec& spec, double* filters, double* constants);

  friend bool operator==(const BankSpec& a, const BankSpec& b) {
    return std::string_view(a.name) == b.name && a.image_width == b.image_width && a.image_height == b.image_height &&
           a.width == b.width && a.height == b.height;
  }
};

template <class Real>
struct Bank {
  std::vector<Real> filters;  // rows of width + kPad numbers
  std::vector<double> constants;
  int width = 0;
  int height = 0;

  // So that a vector may be read at the last number of a row.
  static constexpr int kPad = 16;
  static std::int64_t SizeBytes(const BankSpec& spec) {
    return std::int64_t{spec.filters} * spec.height * (spec.width + kPad) * std::int64_t{sizeof(Real)};
  }
  const Real* Row(int filter, int y) const {
    return filters.data() + (std::int64_t{filter} * height + y) * (width + kPad);
  }
};

// From a cache that all threads share, which keeps the most recently used banks up to 64 MiB, and the last one that was
// made whatever its size; a bank stays valid as long as its holder. Two threads that want a new bank at once wait for
// one to make it.
template <class Real>
std::shared_ptr<const Bank<Real>> FindBank(const BankSpec& spec);

}  // namespace likeness
