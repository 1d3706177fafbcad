#include "kernels/ops/conv_trunk/device_trunks.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "kernels/ops/conv_trunk/features_layout.h"

namespace likeness::cuda {
namespace {

// A multiple of what cuDNN wants of a pointer.
constexpr std::size_t kAlignment = 256;

// A value's convolutions as one, as cuDNN reads them.
struct Merged {
  ConvGeometry geometry;
  std::vector<float> weight;
  std::vector<float> adjoint;
  std::vector<float> bias;
};

Merged Merge(const TrunkSpec& spec, const TrunkWeights& weights, int layer) {
  const std::span<const ConvWeights> parts(&weights.convs[layer], spec.Parts(layer));
  Merged merged;
  ConvGeometry& whole = merged.geometry;
  int channels = 0;
  for (const ConvWeights& part : parts) {
    if (part.geometry.kernel > whole.kernel) whole = part.geometry;
    channels += part.geometry.out;
  }
  whole.in = PaddedChannels(whole.in);
  whole.out = PaddedChannels(channels);
  const int k = whole.kernel;
  merged.weight.assign(std::size_t(whole.out) * k * k * whole.in, 0.0f);
  merged.adjoint.assign(merged.weight.size(), 0.0f);
  merged.bias.assign(whole.out, 0.0f);
  int first = 0;
  for (const ConvWeights& part : parts) {
    const ConvGeometry& conv = part.geometry;
    // The same pixel is under the middle of every kernel.
    const int margin = whole.padding - conv.padding;
    for (int o = 0; o < conv.out; ++o) {
      const int out = first + o;
      merged.bias[out] = part.bias[o];
      for (int i = 0; i < conv.in; ++i) {
        for (int y = 0; y < conv.kernel; ++y) {
          for (int x = 0; x < conv.kernel; ++x) {
            const float value = part.weight[((std::size_t(o) * conv.in + i) * conv.kernel + y) * conv.kernel + x];
            const int at_y = y + margin, at_x = x + margin;
            merged.weight[((std::size_t(out) * k + at_y) * k + at_x) * whole.in + i] = value;
            merged.adjoint[((std::size_t(i) * k + (k - 1 - at_y)) * k + (k - 1 - at_x)) * whole.out + out] = value;
          }
        }
      }
    }
    first += conv.out;
  }
  return merged;
}

// Arrays one behind another, each aligned.
class Packed {
 public:
  // Returns where the array begins.
  template <class Sample>
  std::size_t Add(std::span<const float> values) {
    const std::size_t at = (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
    bytes_.resize(at + values.size() * sizeof(Sample));
    for (std::size_t i = 0; i < values.size(); ++i) {
      Sample sample;
      if constexpr (sizeof(Sample) == sizeof(float)) {
        sample = values[i];
      } else {
        sample = __float2half_rn(values[i]);
      }
      std::memcpy(&bytes_[at + i * sizeof(Sample)], &sample, sizeof(Sample));
    }
    return at;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

Failure DeviceTrunks::Upload(std::span<const std::byte> bytes, cudaStream_t stream, const std::byte** out) {
  DeviceBuffer buffer;
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(static_cast<std::int64_t>(bytes.size()), &buffer));
  LIKENESS_CUDA_RETURN_IF_FAILED(
      cudaMemcpyAsync(buffer.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream));
  size_bytes_ += buffer.size_bytes();
  *out = buffer.data();
  buffers_.push_back(std::move(buffer));
  return LIKENESS_CUDA_CHECK(cudaStreamSynchronize(stream));
}

Failure DeviceTrunks::AddConv(const Source& source, int layer, cudaStream_t stream, const DeviceConv** out) {
  std::vector<std::uint64_t> identities;
  for (int i = layer; i < layer + source.spec->Parts(layer); ++i) {
    identities.push_back(source.weights->convs[i].identity);
  }
  const auto made =
      std::find_if(convs_.begin(), convs_.end(), [&](const Uploaded& other) { return other.identities == identities; });
  if (made != convs_.end()) {
    *out = &made->conv;
    return {};
  }
  const Merged merged = Merge(*source.spec, *source.weights, layer);
  Packed packed;
  const std::size_t exact[] = {packed.Add<float>(merged.weight), packed.Add<float>(merged.bias),
                               packed.Add<float>(merged.adjoint)};
  const std::size_t fast[] = {packed.Add<__half>(merged.weight), packed.Add<__half>(merged.bias),
                              packed.Add<__half>(merged.adjoint)};
  const std::byte* base = nullptr;
  LIKENESS_CUDA_RETURN_IF_FAILED(Upload(packed.bytes(), stream, &base));
  convs_.push_back({std::move(identities),
                    {merged.geometry,
                     {base + exact[0], base + exact[1], base + exact[2]},
                     {base + fast[0], base + fast[1], base + fast[2]}}});
  *out = &convs_.back().conv;
  return {};
}

Failure DeviceTrunks::Create(std::span<const Source> sources, DeviceTrunks* out) {
  DeviceTrunks made;
  Stream stream;
  LIKENESS_CUDA_RETURN_IF_FAILED(Stream::Create(&stream));
  int widest = 0;
  for (const Source& source : sources) {
    OnDevice& trunk = made.trunks_[source.weights];
    const int count = static_cast<int>(source.spec->convs.size());
    for (int layer = 0; layer < count; layer += source.spec->Parts(layer)) {
      const DeviceConv* conv = nullptr;
      LIKENESS_CUDA_RETURN_IF_FAILED(made.AddConv(source, layer, stream.get(), &conv));
      trunk.convs[layer] = conv;
      widest = std::max(widest, conv->geometry.in);
    }
    for (const std::span<const float> head : source.weights->heads) {
      const std::byte* base = nullptr;
      LIKENESS_CUDA_RETURN_IF_FAILED(made.Upload(std::as_bytes(head), stream.get(), &base));
      trunk.heads.push_back(reinterpret_cast<const float*>(base));
    }
  }
  // The adjoints' results are as wide as a convolution's input.
  const std::size_t zero_bytes = std::max(widest, 1) * sizeof(float);
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(static_cast<std::int64_t>(zero_bytes), &made.zeros_));
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemsetAsync(made.zeros_.data(), 0, zero_bytes, stream.get()));
  LIKENESS_CUDA_RETURN_IF_FAILED(stream.Wait());
  *out = std::move(made);
  return {};
}

}  // namespace likeness::cuda
