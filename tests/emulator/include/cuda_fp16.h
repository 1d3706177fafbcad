// See cuda_runtime_api.h.
#pragma once

#include <cstdint>

struct __half {
  std::uint16_t bits;
};
float __half2float(__half x);
