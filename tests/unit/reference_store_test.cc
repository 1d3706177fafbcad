// What the store of kept references keeps, and what goes first.
#include "server/reference_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/reason.h"

namespace likeness::server {
namespace {

constexpr std::int64_t kImageBytes = 10 * 10;

std::shared_ptr<StoredReference> MakeReference() {
  return std::make_shared<StoredReference>(*Image::Create(10, 10, 1, PixelType::kUint8), 0);
}

class ReferenceStoreTest : public ::testing::Test {
 protected:
  std::string Put() { return store_.Put(MakeReference(), now_); }
  bool Has(const std::string& id) { return store_.Find(id, now_).ok(); }

  ReferenceStore store_{{3 * kImageBytes, absl::Seconds(60)}};
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(ReferenceStoreTest, FindsWhatWasPutUntilItIsDeleted) {
  const std::string first = Put(), second = Put();
  EXPECT_NE(first, second);
  EXPECT_GE(first.size(), 32u);
  EXPECT_TRUE(Has(first));
  EXPECT_EQ(store_.usage().count, 2);
  EXPECT_EQ(store_.usage().bytes, 2 * kImageBytes);
  EXPECT_TRUE(store_.Delete(first, now_).ok());
  EXPECT_TRUE(Has(second));
  const absl::Status unknown = store_.Find(first, now_).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(unknown), kUnknownReference);
  EXPECT_THAT(std::string(unknown.message()), ::testing::HasSubstr(first));
  EXPECT_EQ(store_.Delete(first, now_).code(), absl::StatusCode::kNotFound);
}

TEST_F(ReferenceStoreTest, TheOneUsedLongestAgoMakesRoom) {
  const std::string first = Put(), second = Put(), third = Put();
  EXPECT_TRUE(Has(first));
  const std::string fourth = Put();
  EXPECT_FALSE(Has(second));
  EXPECT_TRUE(Has(first) && Has(third) && Has(fourth));
}

TEST_F(ReferenceStoreTest, TimeSinceTheLastUseCounts) {
  const std::string first = Put(), second = Put();
  now_ += absl::Seconds(40);
  EXPECT_TRUE(Has(second));
  now_ += absl::Seconds(40);
  EXPECT_FALSE(Has(first));
  EXPECT_TRUE(Has(second));
  // Who holds one goes on.
  const std::shared_ptr<StoredReference> held = *store_.Find(second, now_);
  now_ += absl::Seconds(61);
  EXPECT_FALSE(Has(second));
  EXPECT_EQ(held->image.view().width, 10);
  EXPECT_EQ(store_.usage().count, 0);
}

TEST_F(ReferenceStoreTest, RefusesWhatCannotFit) {
  EXPECT_TRUE(store_.CheckRoom(3 * kImageBytes).ok());
  EXPECT_EQ(store_.CheckRoom(3 * kImageBytes + 1).code(), absl::StatusCode::kResourceExhausted);
  const ReferenceStore none({0, absl::Seconds(60)});
  EXPECT_EQ(none.CheckRoom(0).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace likeness::server
