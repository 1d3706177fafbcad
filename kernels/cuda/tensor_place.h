// Where a tensor goes that leaves the GPU.
#pragma once

namespace likeness::cuda {

struct TensorPlace {
  TensorPlace() = default;
  TensorPlace(float* data) : data(data) {}  // NOLINT: a place as it is
  TensorPlace(void* data, bool half) : data(data), half(half) {}

  explicit operator bool() const { return data != nullptr; }

  void* data = nullptr;  // of the GPU, at a multiple of 16 bytes
  bool half = false;     // IEEE binary16, else float32
};

}  // namespace likeness::cuda
