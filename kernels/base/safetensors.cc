#include "kernels/base/safetensors.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace likeness {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

absl::Status Broken(const std::string& name, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(name, " is not a safetensors file of float32 tensors: ", why));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const std::string what = absl::StrCat("cannot open ", path, ": ", std::strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError(what) : absl::FailedPreconditionError(what);
  }
  struct stat status = {};
  const bool sized = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = sized ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
  close(file);
  if (memory == MAP_FAILED) {
    return absl::FailedPreconditionError(absl::StrCat("cannot map ", path, ": is it an ordinary file, and not empty?"));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile({static_cast<const std::byte*>(memory), size}));
}

MappedFile::~MappedFile() { munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

std::string MappedFile::Sha256() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (EVP_Digest(bytes_.data(), bytes_.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

absl::StatusOr<Safetensors> Safetensors::Parse(const std::string& name, absl::Span<const std::byte> bytes) {
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof(header_size)) return Broken(name, absl::StrCat("it has ", bytes.size(), " bytes"));
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  if (header_size > bytes.size() - sizeof(header_size)) {
    return Broken(name, absl::StrCat("its header claims ", header_size, " bytes of ", bytes.size()));
  }
  const char* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(header_size);
  const nlohmann::json header = nlohmann::json::parse(text, text + header_size, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Broken(name, "its header is not a JSON object");
  const absl::Span<const std::byte> data = bytes.subspan(sizeof(header_size) + header_size);

  Safetensors result;
  result.name_ = name;
  for (const auto& [tensor, facts] : header.items()) {
    if (tensor == "__metadata__") continue;
    const auto dtype = facts.is_object() ? facts.find("dtype") : facts.end();
    const auto offsets = facts.is_object() ? facts.find("data_offsets") : facts.end();
    if (dtype == facts.end() || *dtype != "F32") return Broken(name, absl::StrCat(tensor, " is not F32"));
    if (offsets == facts.end() || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned()) {
      return Broken(name, absl::StrCat(tensor, " has no data_offsets"));
    }
    const auto begin = (*offsets)[0].get<std::uint64_t>();
    const auto end = (*offsets)[1].get<std::uint64_t>();
    if (begin > end || end > data.size() || (end - begin) % sizeof(float) != 0) {
      return Broken(name, absl::StrCat(tensor, " lies from byte ", begin, " to ", end, " of ", data.size()));
    }
    const std::byte* first = data.data() + begin;
    if (reinterpret_cast<std::uintptr_t>(first) % alignof(float) != 0) {
      return Broken(name, absl::StrCat(tensor, " is not aligned to 4 bytes"));
    }
    result.tensors_[tensor] = {reinterpret_cast<const float*>(first), (end - begin) / sizeof(float)};
  }
  return result;
}

absl::StatusOr<absl::Span<const float>> Safetensors::Tensor(const std::string& tensor, std::int64_t count) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) return absl::NotFoundError(absl::StrCat(name_, " has no tensor ", tensor));
  if (static_cast<std::int64_t>(found->second.size()) != count) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": ", tensor, " has ", found->second.size(), " values, not ", count));
  }
  return found->second;
}

}  // namespace likeness
