// One source, compiled once for every instruction set.
//
// Code between LIKENESS_BEGIN_TARGET and LIKENESS_END_TARGET lands in a namespace of its own for each target, and is
// compiled with that target's instructions. CMake builds the list of such sources once for each target, with
// LIKENESS_TARGET_* saying which:
//
//   LIKENESS_TARGET_SSE4, _AVX2, _AVX3   Google Highway vectors of float
//   LIKENESS_TARGET_ORACLE               plain double, the measure of all others
//   LIKENESS_TARGET_PLAN                 shapes and costs only; also where registry facts come from
//   LIKENESS_TARGET_CUDA                 nvcc: float, one thread a sample
//   none of them                         the best that the compiler's flags allow (tests, header checks)
//
// Headers of the standard library and of absl must be included before the region begins, never inside: their inline
// functions are merged by the linker, and the copy compiled for the newest processor might win. That is why this header
// includes all those that code in a region may use.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(LIKENESS_TARGET_ORACLE) || defined(LIKENESS_TARGET_PLAN) || defined(LIKENESS_TARGET_CUDA)

#if defined(LIKENESS_TARGET_ORACLE)
#define LIKENESS_TARGET oracle
#elif defined(LIKENESS_TARGET_PLAN)
#define LIKENESS_TARGET plan
#else
#define LIKENESS_TARGET cuda
#endif
#define LIKENESS_TARGET_SCALAR 1
#define LIKENESS_BEGIN_TARGET \
  namespace likeness {        \
  namespace LIKENESS_TARGET {
#define LIKENESS_END_TARGET \
  }                         \
  }

#else

#include "hwy/targets.h"

#if defined(LIKENESS_TARGET_SSE4)
#undef HWY_TARGET
#define HWY_TARGET HWY_SSE4
#define LIKENESS_TARGET sse4
#elif defined(LIKENESS_TARGET_AVX2)
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX2
#define LIKENESS_TARGET avx2
#elif defined(LIKENESS_TARGET_AVX3)
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3
#define LIKENESS_TARGET avx3
#else
#define LIKENESS_TARGET native
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#define LIKENESS_TARGET_SCALAR 0
#define LIKENESS_BEGIN_TARGET \
  HWY_BEFORE_NAMESPACE();     \
  namespace likeness {        \
  namespace LIKENESS_TARGET {
#define LIKENESS_END_TARGET \
  }                         \
  }                         \
  HWY_AFTER_NAMESPACE();

#endif

#if defined(__CUDACC__)
#define LIKENESS_HD __host__ __device__ __forceinline__
#else
#define LIKENESS_HD __attribute__((always_inline)) inline
#endif
