#include "server/reference_store.h"

#include <iterator>
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
  const std::int64_t bytes = reference->bytes();
  absl::MutexLock lock(&mutex_);
  entries_.push_front({id, std::move(reference), now, bytes});
  by_id_[id] = entries_.begin();
  bytes_ += bytes;
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
  Drop(found->second);
  return absl::OkStatus();
}

void ReferenceStore::Recount(const std::string& id, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (const auto found = by_id_.find(id); found != by_id_.end()) {
    Entry& entry = *found->second;
    const std::int64_t bytes = entry.reference->bytes();
    bytes_ += bytes - entry.bytes;
    entry.bytes = bytes;
  }
  DropOld(now);
}

ReferenceStore::Usage ReferenceStore::usage() const {
  absl::MutexLock lock(&mutex_);
  return {static_cast<std::int64_t>(entries_.size()), bytes_};
}

void ReferenceStore::DropOld(absl::Time now) {
  while (!entries_.empty() && entries_.back().used_at + options_.time_to_live < now) Drop(std::prev(entries_.end()));
  while (entries_.size() > 1 && bytes_ > options_.capacity_bytes) Drop(std::prev(entries_.end()));
}

void ReferenceStore::Drop(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  by_id_.erase(entry->id);
  entries_.erase(entry);
}

}  // namespace likeness::server
