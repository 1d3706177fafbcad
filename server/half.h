// Between float32 and IEEE 754 binary16: maps and gradients sent at half size, masks received so.
#pragma once

#include <cstdint>
#include <cstring>

namespace likeness::server {

// Rounds to nearest, ties to even; beyond 65504 (after rounding) it is infinite. NaN stays NaN.
inline std::uint16_t ToHalf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  // 65520 and above round to infinity.
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 2^-1 * 2^-13 leaves exactly the bits of binary16's subnormals, rounded by the addition.
    float absolute;
    std::memcpy(&absolute, &magnitude, sizeof(absolute));
    const float aligned = absolute + 0.5f;
    std::uint32_t aligned_bits;
    std::memcpy(&aligned_bits, &aligned, sizeof(aligned_bits));
    return static_cast<std::uint16_t>(sign | (aligned_bits - 0x3f000000u));
  }
  const std::uint32_t rounding = 0xfffu + (magnitude >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | (magnitude - 0x38000000u + rounding) >> 13);
}

// Exact.
inline float FromHalf(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1fu;
  const std::uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t bits = sign | (exponent == 0x1fu ? 0xffu : exponent + 112u) << 23 | fraction << 13;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace likeness::server
