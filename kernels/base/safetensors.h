// Reads a safetensors file: named arrays of float32 behind a JSON header. Knows nothing about what they mean.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace likeness {

// A file mapped into memory, read only. Immutable, so thread safe.
class MappedFile {
 public:
  // NOT_FOUND when there is no such file.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::Span<const std::byte> bytes() const { return bytes_; }
  // In hexadecimal, as sha256sum prints it.
  std::string Sha256() const;

 private:
  explicit MappedFile(absl::Span<const std::byte> bytes) : bytes_(bytes) {}
  absl::Span<const std::byte> bytes_;
};

class Safetensors {
 public:
  // INVALID_ARGUMENT, naming `name`, when the bytes are no safetensors file of little-endian float32 tensors, each
  // within the file and aligned. Does not own the bytes.
  static absl::StatusOr<Safetensors> Parse(const std::string& name, absl::Span<const std::byte> bytes);

  // NOT_FOUND: no such tensor. INVALID_ARGUMENT: it has another number of values than `count`.
  absl::StatusOr<absl::Span<const float>> Tensor(const std::string& tensor, std::int64_t count) const;

 private:
  std::string name_;
  std::map<std::string, absl::Span<const float>> tensors_;
};

}  // namespace likeness
