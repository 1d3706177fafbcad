// Images kept between requests, for Image.reference_id: decoded once, and with them what learned metrics keep of them.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kernels/image.h"
#include "kernels/kept_reference.h"

namespace likeness::server {

// A kept image. Immutable but for its features; requests in flight hold it also when the store has let it go.
struct StoredReference {
  StoredReference(Image pixels, std::int64_t feature_bytes) : image(std::move(pixels)), features(feature_bytes) {}

  const Image image;
  KeptReference features;

  std::int64_t bytes() const { return image.view().size_bytes() + features.bytes(); }
};

struct ReferenceStoreOptions {
  // Images and features together; 0: none are kept. When there is more, the one that was used longest ago goes.
  std::int64_t capacity_bytes = std::int64_t{1} << 30;
  // Since its last use.
  absl::Duration time_to_live = absl::Minutes(10);
};

// Thread safe. Time passes at each call: what has expired goes then.
class ReferenceStore {
 public:
  explicit ReferenceStore(const ReferenceStoreOptions& options) : options_(options) {}

  // Features of one image may take up this much: half of the store, so that the next image's find room.
  std::int64_t feature_bytes() const { return options_.capacity_bytes / 2; }

  // FAILED_PRECONDITION: this store keeps nothing. RESOURCE_EXHAUSTED: the image alone exceeds the capacity.
  absl::Status CheckRoom(std::int64_t image_bytes) const;
  // Returns the id, which nobody can guess. The image passes CheckRoom.
  std::string Put(std::shared_ptr<StoredReference> reference, absl::Time now);
  // NOT_FOUND: never kept, deleted, expired or pushed out.
  absl::StatusOr<std::shared_ptr<StoredReference>> Find(const std::string& id, absl::Time now);
  absl::Status Delete(const std::string& id, absl::Time now);
  // To be called when the image's features may have grown; others then make room.
  void Recount(const std::string& id, absl::Time now);

  struct Usage {
    std::int64_t count = 0;
    std::int64_t bytes = 0;
  };
  Usage usage() const;

 private:
  struct Entry {
    std::string id;
    std::shared_ptr<StoredReference> reference;
    absl::Time used_at;
    std::int64_t bytes;  // as last counted
  };

  void DropOld(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(std::list<Entry>::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ReferenceStoreOptions options_;
  mutable absl::Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // last used first
  std::int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;    // of all entries
  std::unordered_map<std::string, std::list<Entry>::iterator> by_id_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace likeness::server
