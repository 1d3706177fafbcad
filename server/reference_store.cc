#include "server/reference_store.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

std::string NewId() {
  std::random_device random;  // the system's, fit for secrets
  std::string id = "ref-";
  for (int i = 0; i < 4; ++i) absl::StrAppendFormat(&id, "%08x", random());
  return id;
}

absl::Status Unknown(const std::string& id) {
  return WithReason(
      absl::NotFoundError(absl::StrCat("reference_id \"", id,
                                       "\" names no kept image: it was never kept, was deleted, has expired or made "
                                       "room for others; keep it again with PutReference")),
      kUnknownReference);
}

}  // namespace

absl::Status ReferenceStore::CheckRoom(std::int64_t image_bytes) const {
  if (options_.capacity_bytes == 0) {
    return absl::FailedPreconditionError(
        "this server keeps no references (reference_bytes is 0); send both images with Score");
  }
  if (image_bytes <= options_.capacity_bytes) return absl::OkStatus();
  return ImageTooLarge(absl::StrCat("the image takes ", image_bytes, " bytes; this server keeps up to ",
                                    options_.capacity_bytes, " (reference_bytes); send both images with Score"));
}

std::string ReferenceStore::Put(std::shared_ptr<StoredReference> reference, absl::Time now) {
  const std::string id = NewId();
  absl::MutexLock lock(&mutex_);
  entries_.push_front({id, std::move(reference), now});
  by_id_[id] = entries_.begin();
  DropOld(now);
  return id;
}

absl::StatusOr<std::shared_ptr<StoredReference>> ReferenceStore::Find(const std::string& id, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropOld(now);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return Unknown(id);
  found->second->used_at = now;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->reference;
}

absl::Status ReferenceStore::Delete(const std::string& id, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropOld(now);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return Unknown(id);
  entries_.erase(found->second);
  by_id_.erase(found);
  return absl::OkStatus();
}

void ReferenceStore::Trim(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropOld(now);
}

ReferenceStore::Usage ReferenceStore::usage() const {
  absl::MutexLock lock(&mutex_);
  return {static_cast<std::int64_t>(entries_.size()), Bytes()};
}

void ReferenceStore::DropOld(absl::Time now) {
  while (!entries_.empty() && entries_.back().used_at + options_.time_to_live < now) DropLast();
  while (entries_.size() > 1 && Bytes() > options_.capacity_bytes) DropLast();
}

void ReferenceStore::DropLast() {
  by_id_.erase(entries_.back().id);
  entries_.pop_back();
}

std::int64_t ReferenceStore::Bytes() const {
  std::int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.reference->bytes();
  return bytes;
}

}  // namespace likeness::server
