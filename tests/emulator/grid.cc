// Runs kernels: blocks, threads, barriers, shared memory.
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "tests/emulator/control.h"
#include "tests/emulator/fiber.h"
#include "tests/emulator/runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

// Of shared.ld.
extern "C" char emulated_shared_begin[], emulated_shared_end[];

namespace likeness::emulator {
namespace {

// The block that runs. Its threads run in the order of `threads` or, when `falling`, against it.
std::vector<dim3> threads;
bool falling = false;
const std::function<void()>* body = nullptr;
bool blocks_rise = false;

// A block whose threads meet at barriers runs on fibers, one a thread, entered from the host's own stack and left to
// it.
Fiber host;
std::vector<std::unique_ptr<Fiber>> fibers;
constexpr int kNone = -1;
int running = kNone;  // which of them
int ended = 0;        // how many threads have ended
bool has_met = false;

[[noreturn]] void Diverged() {
  std::fprintf(stderr, "emulator: some threads of block (%u, %u, %u) wait at a barrier that the others never reach\n",
               blockIdx.x, blockIdx.y, blockIdx.z);
  std::abort();
}

// Not by memset, which AddressSanitizer watches: between variables lies what no one may touch.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address")))
#endif
void ForgetShared() {
  typedef std::int64_t Line __attribute__((vector_size(64), may_alias));  // NOLINT: an alias cannot have it
  for (auto* p = reinterpret_cast<Line*>(emulated_shared_begin); p < reinterpret_cast<Line*>(emulated_shared_end);
       ++p) {
    *p = ~Line{};
    __asm__ volatile("" ::: "memory");  // or else gcc makes a memset of it
  }
}

int ThreadCount() { return static_cast<int>(threads.size()); }
void Become(int i) { threadIdx = threads[falling ? ThreadCount() - 1 - i : i]; }

// From a fiber at a barrier or at its end to the next one.
void GoOn() {
  const int self = running++;
  if (ended != 0 && ended != running) Diverged();
  if (running == ThreadCount() && ended == 0) {
    running = 0;
    has_met = true;
  }
  if (running == ThreadCount() || (ended != 0 && !has_met)) {
    running = kNone;
    Fiber::Switch(fibers[self].get(), &host);
  } else if (running != self) {
    Become(running);
    Fiber::Switch(fibers[self].get(), fibers[running].get());
  }
}

void FiberMain() {
  for (;;) {
    (*body)();
    ++ended;
    GoOn();
  }
}

void RunBlock() {
  falling = !falling;
  ended = 0;
  has_met = false;
  running = 0;
  Become(0);
  Fiber::Switch(&host, fibers[0].get());
  if (has_met) return;
  // The first thread ended without a barrier, so none may meet one, and the others need no fiber.
  for (int i = 1; i < ThreadCount(); ++i) {
    Become(i);
    (*body)();
  }
}

}  // namespace

void RunGrid(dim3 grid, dim3 block, const std::function<void()>& thread) {
  const std::size_t count = std::size_t{block.x} * block.y * block.z;
  while (fibers.size() < count) {
    fibers.push_back(std::make_unique<Fiber>(static_cast<int>(fibers.size()), &FiberMain));
  }
  if (count != threads.size() || blockDim.x != block.x || blockDim.y != block.y || blockDim.z != block.z) {
    threads.clear();
    for (unsigned z = 0; z < block.z; ++z) {
      for (unsigned y = 0; y < block.y; ++y) {
        for (unsigned x = 0; x < block.x; ++x) threads.emplace_back(x, y, z);
      }
    }
  }
  gridDim = grid;
  blockDim = block;
  body = &thread;
  // Without a barrier nothing useful was shared, and filling all that the program has takes longer than many a block.
  has_met = true;
  const auto at = [](unsigned i, unsigned n) { return blocks_rise ? i : n - 1 - i; };
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(at(x, grid.x), at(y, grid.y), at(z, grid.z));
        if (has_met) ForgetShared();
        RunBlock();
      }
    }
  }
}

}  // namespace likeness::emulator

void RunEmulatedBlocksRising(bool rising) {
  const std::lock_guard lock(likeness::emulator::DeviceMutex());
  likeness::emulator::blocks_rise = rising;
}

void __syncthreads() {
  if (likeness::emulator::running == likeness::emulator::kNone) likeness::emulator::Diverged();
  likeness::emulator::GoOn();
}

namespace {

using likeness::emulator::Call;

cudaError_t EnqueueGrid(cudaStream_t stream, dim3 grid, dim3 block, std::function<void()> thread) {
  const std::uint64_t count = std::uint64_t{block.x} * block.y * block.z;
  if (count == 0 || count > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff ||
      grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  return likeness::emulator::Enqueue(
      stream, [=, thread = std::move(thread)] { likeness::emulator::RunGrid(grid, block, thread); });
}

}  // namespace

// Failures are in cudaGetLastError, as after <<<>>>.
void EmulateGrid(cudaStream_t stream, dim3 grid, dim3 block, std::function<void()> thread) {
  (void)Call([&] { return EnqueueGrid(stream, grid, block, std::move(thread)); });
}

float __half2float(__half x) {
  const int exponent = (x.bits >> 10) & 31;
  const int mantissa = x.bits & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                          : exponent == 31 ? (mantissa ? std::nanf("") : std::numeric_limits<float>::infinity())
                                           : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return x.bits & 0x8000 ? -magnitude : magnitude;
}

__half __float2half_rn(float x) {
  if (std::isnan(x)) return {0x7fff};
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (x == 0.0f) return {sign};
  int exponent = 0;
  std::frexp(x, &exponent);
  // Numbers from 2^-14 on have eleven digits, smaller ones those above 2^-24.
  const int last = std::max(exponent - 11, -24);
  const double digits = std::nearbyint(std::ldexp(std::fabs(static_cast<double>(x)), -last));
  if (std::isinf(x) || std::ldexp(digits, last) > 65504.0) return {static_cast<std::uint16_t>(sign | 0x7c00)};
  // The first digit adds one to the exponent, and so does a twelfth that rounding made.
  return {static_cast<std::uint16_t>(sign | (((last + 24) << 10) + static_cast<int>(digits)))};
}
