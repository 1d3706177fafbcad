#include "kernels/metrics/slot_cuda.h"

#include <cstring>
#include <utility>

namespace likeness::cuda {
namespace {

// What cudaMalloc aligns to; every part of a slot begins on it.
constexpr std::int64_t kAlignment = 256;

std::int64_t RoundUp(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Where the parts of the output lie.
struct OutputLayout {
  std::int64_t map_at;
  std::int64_t gradient_at;
  std::int64_t end;

  OutputLayout(const ProgramNeeds& needs, const ProgramInput& input) {
    const ImageView& image = input.distorted;
    map_at = kAlignment;  // the score lies before it
    gradient_at = map_at + RoundUp(needs.map.count() * std::int64_t{sizeof(float)});
    end = gradient_at;
    if (input.want_gradient) end += RoundUp(image.pixel_count() * image.channels * std::int64_t{sizeof(float)});
  }
};

// Copies rows without the gaps between them. Returns the view of the copy, which lies at `device` later.
ImageView Stage(const ImageView& image, std::byte* staged, const std::byte* device) {
  ImageView packed = image;
  const bool interleaved = image.layout == Layout::kHwc;
  packed.row_bytes = std::int64_t{image.width} * (interleaved ? image.channels : 1) * BytesPerSample(image.type);
  packed.data = device;
  const std::int64_t rows = std::int64_t{image.height} * (interleaved ? 1 : image.channels);
  const auto* from = static_cast<const std::byte*>(image.data);
  for (std::int64_t y = 0; y < rows; ++y) {
    std::memcpy(staged + y * packed.row_bytes, from + y * image.row_bytes, packed.row_bytes);
  }
  return packed;
}

Tensor NewTensor(int width, int height, int channels, Layout layout, int offset, const std::byte* from) {
  Tensor tensor;
  tensor.width = width;
  tensor.height = height;
  tensor.channels = channels;
  tensor.layout = layout;
  tensor.offset_x = tensor.offset_y = offset;
  tensor.data.reset(new float[tensor.sample_count()]);
  std::memcpy(tensor.data.get(), from, tensor.sample_count() * sizeof(float));
  return tensor;
}

}  // namespace

SlotSizes SizesFor(const Program& program, const Settings& settings, const ProgramInput& input) {
  const ProgramNeeds needs = program.plan(input, settings);
  return {RoundUp(input.reference.size_bytes()) + RoundUp(input.distorted.size_bytes()), OutputLayout(needs, input).end,
          RoundUp(needs.workspace_bytes)};
}

Failure Slot::Create(const SlotSizes& sizes, Slot* out) {
  Slot slot;
  slot.sizes_ = {RoundUp(sizes.input_bytes), RoundUp(sizes.output_bytes), RoundUp(sizes.workspace_bytes)};
  const auto& [input, output, workspace] = slot.sizes_;
  LIKENESS_CUDA_RETURN_IF_FAILED(Stream::Create(&slot.stream_));
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(input, &slot.staged_input_));
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(output, &slot.staged_output_));
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(input + output + kScratchBytes + workspace, &slot.device_));
  slot.workspace_.arena().Adopt(slot.device_.data() + input + output + kScratchBytes, workspace);
  *out = std::move(slot);
  return {};
}

Failure Slot::Score(const Program& program, const Settings& settings, const ProgramInput& host_input, PairResult* out) {
  const ProgramNeeds needs = program.plan(host_input, settings);
  const OutputLayout layout(needs, host_input);
  const std::int64_t reference_bytes = RoundUp(host_input.reference.size_bytes());
  const std::int64_t input_bytes = reference_bytes + host_input.distorted.size_bytes();
  if (input_bytes > sizes_.input_bytes || layout.end > sizes_.output_bytes ||
      needs.workspace_bytes > sizes_.workspace_bytes) {
    return Check(cudaErrorMemoryAllocation, "Slot: the pair needs more than the slot has", __FILE__, __LINE__);
  }
  std::byte* device_output = device_.data() + sizes_.input_bytes;
  auto* scratch = reinterpret_cast<double*>(device_output + sizes_.output_bytes);

  ProgramInput input = host_input;
  input.reference = Stage(host_input.reference, staged_input_.data(), device_.data());
  input.distorted =
      Stage(host_input.distorted, staged_input_.data() + reference_bytes, device_.data() + reference_bytes);
  const ProgramOutput output{reinterpret_cast<double*>(device_output),
                             reinterpret_cast<float*>(device_output + layout.map_at),
                             reinterpret_cast<float*>(device_output + layout.gradient_at)};
  const auto enqueue = [&]() -> Failure {
    LIKENESS_CUDA_RETURN_IF_FAILED(
        cudaMemcpyAsync(device_.data(), staged_input_.data(), input_bytes, cudaMemcpyHostToDevice, stream_.get()));
    LIKENESS_CUDA_RETURN_IF_FAILED(program.run(input, settings, output, workspace_, scratch, stream_.get()));
    return LIKENESS_CUDA_CHECK(
        cudaMemcpyAsync(staged_output_.data(), device_output, layout.end, cudaMemcpyDeviceToHost, stream_.get()));
  };
  const Failure enqueued = enqueue();
  // Also after a failure: what was enqueued before it still uses the slot's memory.
  const Failure done = stream_.Wait();
  LIKENESS_CUDA_RETURN_IF_FAILED(enqueued);
  LIKENESS_CUDA_RETURN_IF_FAILED(done);

  PairResult result;
  std::memcpy(&result.score, staged_output_.data(), sizeof(double));
  const ImageView& image = host_input.distorted;
  if (host_input.want_map) {
    result.map = NewTensor(needs.map.width, needs.map.height, needs.map.channels, image.layout, needs.map_offset,
                           staged_output_.data() + layout.map_at);
  }
  if (host_input.want_gradient) {
    result.gradient = NewTensor(image.width, image.height, image.channels, image.layout, 0,
                                staged_output_.data() + layout.gradient_at);
  }
  *out = std::move(result);
  return {};
}

}  // namespace likeness::cuda
