// Conversion is monotone, so it is right everywhere if it is right at every half and just around every midpoint.
#include "server/half.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace likeness::server {
namespace {

// A finite half's value, by the definition of the format.
float ValueOf(std::uint16_t half) {
  const int exponent = half >> 10 & 0x1f;
  const int fraction = half & 0x3ff;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
  return static_cast<float>((half & 0x8000) != 0 ? -magnitude : magnitude);
}

TEST(Half, EveryHalfAndEveryMidpoint) {
  for (std::uint32_t half = 0; half < 0x7c00; ++half) {
    const float value = ValueOf(static_cast<std::uint16_t>(half));
    ASSERT_EQ(ToHalf(value), half);
    ASSERT_EQ(ToHalf(-value), half | 0x8000);
    ASSERT_EQ(FromHalf(static_cast<std::uint16_t>(half)), value);
    ASSERT_EQ(FromHalf(static_cast<std::uint16_t>(half | 0x8000)), -value);
    // The next one up; after 65504 it would be 65536, where infinity begins.
    const float next = half == 0x7bff ? 65536.0f : ValueOf(static_cast<std::uint16_t>(half + 1));
    const float middle = value + (next - value) / 2;
    ASSERT_EQ(ToHalf(middle), half % 2 == 0 ? half : half + 1) << value;
    ASSERT_EQ(ToHalf(std::nextafter(middle, 0.0f)), half) << value;
    ASSERT_EQ(ToHalf(std::nextafter(middle, 1e9f)), half + 1) << value;
  }
}

TEST(Half, Ends) {
  EXPECT_TRUE(std::signbit(FromHalf(0x8000)));
  EXPECT_EQ(FromHalf(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(FromHalf(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(FromHalf(0x7e00)));
  EXPECT_EQ(ToHalf(-0.0f), 0x8000);
  EXPECT_EQ(ToHalf(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(ToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(ToHalf(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(ToHalf(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(ToHalf(std::numeric_limits<float>::quiet_NaN()) & 0x7fff, 0x7e00);
}

}  // namespace
}  // namespace likeness::server
