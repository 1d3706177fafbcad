#include "tests/emulator/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>

// AddressSanitizer must be told of every change of stack. What changes stacks is itself not instrumented: it would mark
// its own frame on one stack and clear it on another. Nor may the compiler see both halves of a switch at once: it
// would take the second for a jump to elsewhere, and drop what follows the first.
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define LIKENESS_CHANGES_STACK __attribute__((noipa, no_sanitize("address")))
#define LIKENESS_LEAVING(...) __sanitizer_start_switch_fiber(__VA_ARGS__)
#define LIKENESS_ARRIVED(...) __sanitizer_finish_switch_fiber(__VA_ARGS__)
#else
#define LIKENESS_CHANGES_STACK __attribute__((noipa))
#define LIKENESS_LEAVING(...)
#define LIKENESS_ARRIVED(...)
#endif

namespace likeness::emulator {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

Fiber* last = nullptr;      // who switched last
Fiber* entering = nullptr;  // and to whom, for the first time

LIKENESS_CHANGES_STACK void Jump(void** place) { __builtin_longjmp(place, 1); }

}  // namespace

Fiber::Fiber(int index, void (*main)()) : entered_(false), main_(main) {
  // With a page below that faults when the stack overflows.
  void* memory = mmap(nullptr, kPageBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kPageBytes, PROT_NONE) != 0) {
    std::perror("emulator: no memory for a stack");
    std::abort();
  }
  stack_ = static_cast<std::byte*>(memory) + kPageBytes;
  // Stacks that all begin at the same place of a page would fight for the same few lines of the cache.
  stack_bytes_ = kStackBytes - std::size_t{576} * index % kPageBytes;
}

LIKENESS_CHANGES_STACK void Fiber::Enter(Fiber* to) {
  entering = to;
  to->entered_ = true;
  ucontext_t context;
  if (getcontext(&context) != 0) std::abort();
  context.uc_stack.ss_sp = const_cast<void*>(to->stack_);
  context.uc_stack.ss_size = to->stack_bytes_;
  context.uc_link = nullptr;
  makecontext(&context, &Fiber::Main, 0);
  setcontext(&context);
}

// __builtin_setjmp costs a few instructions, swapcontext a system call; and AddressSanitizer takes longjmp for the end
// of all frames. Each place is jumped to once.
LIKENESS_CHANGES_STACK void Fiber::Switch(Fiber* from, Fiber* to) {
  last = from;
  LIKENESS_LEAVING(&from->unwatched_, to->stack_, to->stack_bytes_);
  if (__builtin_setjmp(from->place_) == 0) {
    if (to->entered_) Jump(to->place_);
    Enter(to);
  }
  LIKENESS_ARRIVED(from->unwatched_, &last->stack_, &last->stack_bytes_);
}

LIKENESS_CHANGES_STACK void Fiber::Main() {
  LIKENESS_ARRIVED(nullptr, &last->stack_, &last->stack_bytes_);
  entering->main_();
  std::abort();
}

}  // namespace likeness::emulator
