// See cuda_runtime_api.h.
#pragma once

#include <cstdint>

struct __half {
  std::uint16_t bits;
};
float __half2float(__half x);
// Rounds to nearest even.
__half __float2half_rn(float x);
