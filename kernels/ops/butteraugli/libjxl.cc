#include "kernels/ops/butteraugli/libjxl.h"

#include <jxl/butteraugli.h>

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace likeness {
namespace {

struct DestroyApi {
  void operator()(JxlButteraugliApi* api) const { JxlButteraugliApiDestroy(api); }
};
struct DestroyResult {
  void operator()(JxlButteraugliResult* result) const { JxlButteraugliResultDestroy(result); }
};

std::unique_ptr<JxlButteraugliResult, DestroyResult> Compute(int width, int height, const float* reference,
                                                             const float* distorted,
                                                             const ButteraugliViewing& viewing) {
  const std::unique_ptr<JxlButteraugliApi, DestroyApi> api(JxlButteraugliApiCreate(nullptr));
  if (api == nullptr) return nullptr;
  JxlButteraugliApiSetIntensityTarget(api.get(), static_cast<float>(viewing.intensity_target));
  JxlButteraugliApiSetHFAsymmetry(api.get(), static_cast<float>(viewing.hf_asymmetry));
  // libjxl takes samples of this type as linear.
  const JxlPixelFormat format = {3, JXL_TYPE_FLOAT, JXL_NATIVE_ENDIAN, 0};
  const std::size_t bytes = std::size_t(width) * height * 3 * sizeof(float);
  return std::unique_ptr<JxlButteraugliResult, DestroyResult>(
      JxlButteraugliCompute(api.get(), static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height), &format,
                            reference, bytes, &format, distorted, bytes));
}

}  // namespace

ButteraugliResult::ButteraugliResult(int width, int height, const float* reference, const float* distorted,
                                     const ButteraugliViewing& viewing) {
  try {
    auto result = Compute(width, height, reference, distorted, viewing);
    if (result == nullptr) return;
    JxlButteraugliResultGetDistmap(result.get(), &distances_, &stride_);
    result_ = std::move(result);
  } catch (const std::bad_alloc&) {
    // libjxl's planes are allocated otherwise, but it has small things in containers of the standard library.
    distances_ = nullptr;
  }
}

}  // namespace likeness
