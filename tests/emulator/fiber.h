// Threads of control that switch when they say so, each on a stack of its own.
#pragma once

#include <cstddef>

namespace likeness::emulator {

class Fiber {
 public:
  // What already runs: a host thread, on the stack that it has.
  Fiber() = default;
  // Runs main(), which never returns, from the first switch to it on. `index` spreads stacks over the cache.
  Fiber(int index, void (*main)());
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From the fiber that runs to another; returns when somebody switches back.
  static void Switch(Fiber* from, Fiber* to);

 private:
  static void Main();
  static void Enter(Fiber* to);

  void* place_[5];  // what __builtin_setjmp keeps
  bool entered_ = true;
  void (*main_)() = nullptr;
  // For AddressSanitizer; learnt at the first switch when the stack is not ours.
  const void* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* unwatched_ = nullptr;  // what it keeps for a stack that does not run
};

}  // namespace likeness::emulator
