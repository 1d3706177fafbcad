#include "kernels/ops/butteraugli/libjxl.h"

#include <jxl/butteraugli.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace likeness {
namespace {

struct DestroyApi {
  void operator()(JxlButteraugliApi* api) const { JxlButteraugliApiDestroy(api); }
};
struct DestroyResult {
  void operator()(JxlButteraugliResult* result) const { JxlButteraugliResultDestroy(result); }
};

}  // namespace

std::vector<float> ButteraugliDistances(int width, int height, const std::vector<float>& reference,
                                        const std::vector<float>& distorted, const ButteraugliViewing& viewing) {
  const std::unique_ptr<JxlButteraugliApi, DestroyApi> api(JxlButteraugliApiCreate(nullptr));
  if (api == nullptr) return {};
  JxlButteraugliApiSetIntensityTarget(api.get(), static_cast<float>(viewing.intensity_target));
  JxlButteraugliApiSetHFAsymmetry(api.get(), static_cast<float>(viewing.hf_asymmetry));
  // libjxl takes samples of this type as linear.
  const JxlPixelFormat format = {3, JXL_TYPE_FLOAT, JXL_NATIVE_ENDIAN, 0};
  const std::unique_ptr<JxlButteraugliResult, DestroyResult> result(JxlButteraugliCompute(
      api.get(), static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height), &format, reference.data(),
      reference.size() * sizeof(float), &format, distorted.data(), distorted.size() * sizeof(float)));
  if (result == nullptr) return {};
  const float* rows = nullptr;
  std::uint32_t stride = 0;
  JxlButteraugliResultGetDistmap(result.get(), &rows, &stride);
  std::vector<float> distances(std::size_t(width) * height);
  for (int y = 0; y < height; ++y) {
    std::copy_n(rows + std::size_t(y) * stride, width, &distances[std::size_t(y) * width]);
  }
  return distances;
}

}  // namespace likeness
