// What the GPU can do at best, measured in the run that is held against it.
#pragma once

#include "kernels/cuda/failure.h"

namespace likeness::cuda {

struct Rates {
  double upload_bytes_per_s = 0.0;    // page-locked memory to the GPU
  double download_bytes_per_s = 0.0;  // and back
  double copy_bytes_per_s = 0.0;      // within the GPU, bytes read plus bytes written
  double fma_per_s = 0.0;             // float32, each one multiplication and one addition
};

// `small`: for the emulator, where rates mean nothing.
Failure MeasureRates(bool small, Rates* out);

}  // namespace likeness::cuda
