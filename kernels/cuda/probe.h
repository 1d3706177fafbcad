// Whether this machine has a GPU that this build could use. No CUDA type in sight.
#pragma once

#include <string>

namespace likeness::cuda {

struct Probe {
  bool found = false;
  // "NVIDIA X, compute capability 9.0, driver 13.0", or why there is none.
  std::string description;
};

// Looks at device 0. Needs neither GPU nor driver; makes no context. Thread safe.
Probe FindDevice();

}  // namespace likeness::cuda
