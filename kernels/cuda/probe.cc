#include "kernels/cuda/probe.h"

#include "kernels/cuda/failure.h"

namespace likeness::cuda {
namespace {

std::string Version(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

}  // namespace

Probe FindDevice() {
  int count = 0;
  if (const Failure failure = LIKENESS_CUDA_CHECK(cudaGetDeviceCount(&count)); failure.failed()) {
    int driver = 0;
    // Without a driver the runtime speaks of an old one, whose version is 0.
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) return {false, "no NVIDIA driver"};
    return {false, std::string("no device: ") + cudaGetErrorString(failure.code)};
  }
  if (count == 0) return {false, "no device"};
  cudaDeviceProp properties;
  int driver = 0;
  if (LIKENESS_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0)).failed() ||
      LIKENESS_CUDA_CHECK(cudaDriverGetVersion(&driver)).failed()) {
    return {false, "device 0 does not answer"};
  }
  return {true, std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
                    std::to_string(properties.minor) + ", driver " + Version(driver)};
}

}  // namespace likeness::cuda
