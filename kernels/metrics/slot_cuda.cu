#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/metrics/slot_cuda.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/walks/walks_cuda.h"

namespace likeness::cuda {
namespace {

// What cudaMalloc aligns to; every part of a slot begins on it.
constexpr std::int64_t kAlignment = 256;
// Behind a score, whether it means anything.
constexpr std::int64_t kFlagAt = sizeof(double);
constexpr std::int64_t kScratchBytes = Cuda::kScratchCount * std::int64_t{sizeof(double)};
// Entries, tables of taps and first blocks of the longest program are under half of this.
constexpr std::int64_t kTableBytesEach = 256 << 10;
constexpr std::int64_t kWalkTableBytesEach = 8 << 10;

std::int64_t RoundUp(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

ProgramInput InputOf(const PairTask& task, const MetricTask& metric) {
  return {task.reference,        task.distorted,  task.weights,        task.averaging,
          task.alpha_background, metric.want_map, metric.want_gradient};
}

bool IsFast(const MetricTask& metric) { return !metric.walk && metric.settings->precision() == Precision::kFast; }

std::int64_t SampleBytes(const MetricTask& metric) { return metric.half ? 2 : 4; }
std::int64_t MapBytes(const MetricTask& metric) { return RoundUp(metric.needs.map.count() * SampleBytes(metric)); }
std::int64_t GradientBytes(const MetricTask& metric, const ImageView& image) {
  return metric.want_gradient ? RoundUp(image.pixel_count() * image.channels * SampleBytes(metric)) : 0;
}

// Copies rows without the gaps between them. Returns the view of the copy, which lies at `device` later.
ImageView Stage(const ImageView& image, std::byte* staged, const std::byte* device) {
  ImageView packed = image;
  const bool interleaved = image.layout == Layout::kHwc;
  packed.row_bytes = std::int64_t{image.width} * (interleaved ? image.channels : 1) * BytesPerSample(image.type);
  packed.data = device;
  const std::int64_t rows = std::int64_t{image.height} * (interleaved ? 1 : image.channels);
  const auto* from = static_cast<const std::byte*>(image.data);
  if (image.row_bytes == packed.row_bytes) {
    std::memcpy(staged, from, rows * packed.row_bytes);
    return packed;
  }
  for (std::int64_t y = 0; y < rows; ++y) {
    std::memcpy(staged + y * packed.row_bytes, from + y * image.row_bytes, packed.row_bytes);
  }
  return packed;
}

Tensor NewTensor(const Shape& shape, Layout layout, int offset, bool half, const std::byte* from) {
  Tensor tensor;
  tensor.width = shape.width;
  tensor.height = shape.height;
  tensor.channels = shape.channels;
  tensor.layout = layout;
  tensor.offset_x = tensor.offset_y = offset;
  const auto copy = [&](auto& samples) {
    using Sample = std::remove_reference_t<decltype(samples[0])>;
    samples.reset(new Sample[tensor.sample_count()]);
    std::memcpy(samples.get(), from, tensor.sample_count() * sizeof(Sample));
  };
  half ? copy(tensor.half) : copy(tensor.data);
  return tensor;
}

// A pair's results as they come back; `at` is where they begin.
void Collect(PairTask& task, const std::byte* at) {
  const ImageView& image = task.distorted;
  // Of all fast metrics of the pair: they may share the steps that went wrong.
  bool non_finite = false;
  for (MetricTask& metric : task.metrics) {
    std::memcpy(&metric.result.score, at, sizeof(double));
    if (IsFast(metric)) {
      double flag = 0.0;
      std::memcpy(&flag, at + kFlagAt, sizeof(double));
      non_finite = non_finite || flag != 0.0 || !std::isfinite(metric.result.score);
    }
    at += kAlignment;
    if (metric.want_map) {
      metric.result.map = NewTensor(metric.needs.map, image.layout, metric.needs.map_offset, metric.half, at);
      at += MapBytes(metric);
    }
    if (metric.want_gradient) {
      const Shape shape{image.width, image.height, image.channels};
      metric.result.gradient = NewTensor(shape, image.layout, 0, metric.half, at);
      at += GradientBytes(metric, image);
    }
  }
  for (MetricTask& metric : task.metrics) metric.result.non_finite = non_finite && IsFast(metric);
}

// Whether other bits anywhere in a network would show in the results. Those of two equal images show nothing, nor do
// infinities.
bool ShowsBits(std::span<PairTask* const> tasks) {
  for (const PairTask* task : tasks) {
    for (const MetricTask& metric : task->metrics) {
      if (metric.program->trunk == nullptr) continue;
      if (task->failure.failed() || metric.result.score == 0.0 || !std::isfinite(metric.result.score)) return false;
    }
  }
  return true;
}

}  // namespace

SlotSizes& SlotSizes::operator+=(const SlotSizes& more) {
  input_bytes += more.input_bytes;
  output_bytes += more.output_bytes;
  table_bytes += more.table_bytes;
  work_bytes += more.work_bytes;
  library_bytes = std::max(library_bytes, more.library_bytes);
  return *this;
}

void Plan(PairTask& task) {
  for (MetricTask& metric : task.metrics) {
    metric.needs = metric.walk
                       ? PlanWalk(*metric.walk, task.reference, task.distorted, metric.want_map, metric.want_gradient)
                       : metric.program->plan(InputOf(task, metric), *metric.settings);
  }
}

SlotSizes SizesFor(const PairTask& task) {
  SlotSizes sizes;
  sizes.input_bytes =
      RoundUp(task.reference.size_bytes()) + RoundUp(task.distorted.size_bytes()) + RoundUp(task.weights.size_bytes());
  std::int64_t workspace = task.schedule != nullptr ? task.shared_workspace_bytes : 0;
  for (const MetricTask& metric : task.metrics) {
    sizes.output_bytes += kAlignment + MapBytes(metric) + GradientBytes(metric, task.distorted);
    if (task.schedule == nullptr || metric.walk) workspace = std::max(workspace, metric.needs.workspace_bytes);
    sizes.table_bytes += metric.walk ? kWalkTableBytesEach : kTableBytesEach;
  }
  sizes.work_bytes = kScratchBytes + RoundUp(std::max<std::int64_t>(workspace, 1));
  return sizes;
}

std::int64_t WorkspaceBytes(const SlotSizes& sizes) {
  return sizes.work_bytes / kAlignment * kAlignment - kScratchBytes;
}

Failure Slot::Create(int device_index, const SlotSizes& sizes, Slot* out, const DeviceTrunks* trunks) {
  Slot slot;
  slot.device_index_ = device_index;
  slot.sizes_ = {RoundUp(sizes.input_bytes), RoundUp(sizes.output_bytes), RoundUp(sizes.table_bytes),
                 RoundUp(sizes.work_bytes), RoundUp(sizes.library_bytes)};
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaSetDevice(device_index));
  LIKENESS_CUDA_RETURN_IF_FAILED(Stream::Create(&slot.stream_));
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(slot.sizes_.input_bytes, &slot.staged_input_));
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(slot.sizes_.output_bytes, &slot.staged_output_));
  LIKENESS_CUDA_RETURN_IF_FAILED(PinnedBuffer::Create(slot.sizes_.table_bytes, &slot.staged_table_));
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(slot.sizes_.device_bytes(), &slot.device_));
  for (Event& mark : slot.marks_) LIKENESS_CUDA_RETURN_IF_FAILED(Event::Create(Event::Kind::kTiming, &mark));
  std::byte* libraries = slot.device_.data() + slot.sizes_.device_bytes() - slot.sizes_.library_bytes;
  slot.fft_plans_ = FftPlans(libraries, slot.sizes_.library_bytes);
  if (trunks != nullptr && HasCudnn()) {
    LIKENESS_CUDA_RETURN_IF_FAILED(
        ConvPlans::Create(slot.stream_.get(), libraries, slot.sizes_.library_bytes, &slot.conv_plans_));
    slot.trunks_ = trunks;
  }
  slot.launches_ =
      Launches(slot.staged_table_.data(), slot.device_.data() + slot.sizes_.input_bytes + slot.sizes_.output_bytes,
               slot.sizes_.table_bytes);
  // What is downloaded between results was never written; what a kernel forgets to write shows as NaN.
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemsetAsync(slot.device_.data() + slot.sizes_.input_bytes, 0xff,
                                                 static_cast<std::size_t>(slot.sizes_.output_bytes),
                                                 slot.stream_.get()));
  LIKENESS_CUDA_RETURN_IF_FAILED(slot.stream_.Wait());
  *out = std::move(slot);
  return {};
}

// The table fills as launches are noted: only then is it known to be full.
bool Slot::HasRoom(const SlotSizes& used, const SlotSizes& needs) const {
  return used.input_bytes + needs.input_bytes <= sizes_.input_bytes &&
         used.output_bytes + needs.output_bytes <= sizes_.output_bytes &&
         used.work_bytes + needs.work_bytes <= sizes_.work_bytes;
}

bool Slot::Fits(const PairTask& task) const { return HasRoom({}, SizesFor(task)); }

// Notes the launches of one pair; false when the table has no room for them.
bool Slot::Note(PairTask& task, const SlotSizes& used, const SlotSizes& needs) {
  std::byte* staged = staged_input_.data() + used.input_bytes;
  std::byte* device = device_.data() + used.input_bytes;
  std::int64_t at = 0;
  const auto stage = [&](const ImageView& image) {
    const ImageView view = Stage(image, staged + at, device + at);
    at += RoundUp(image.size_bytes());
    return view;
  };
  ProgramInput input;
  input.reference = stage(task.reference);
  input.distorted = stage(task.distorted);
  if (task.weights.width > 0) input.weights = stage(task.weights);
  input.averaging = task.averaging;
  input.alpha_background = task.alpha_background;

  std::byte* output = device_.data() + sizes_.input_bytes + used.output_bytes;
  std::byte* work = device_.data() + sizes_.input_bytes + sizes_.output_bytes + sizes_.table_bytes + used.work_bytes;
  launches_.BeginLane();
  Cuda on(launches_, reinterpret_cast<double*>(work), {&fft_plans_, &banks_, &conv_plans_, trunks_, stream_.get()});
  workspace_.arena().Adopt(work + kScratchBytes, needs.work_bytes - kScratchBytes);
  workspace_.Follow(task.schedule, task.kept);
  on.set_kept(&task.kept);
  std::vector<WalkTask> walks;
  for (const MetricTask& metric : task.metrics) {
    ProgramOutput to;
    to.score = reinterpret_cast<double*>(output);
    output += kAlignment;
    if (metric.want_map) to.map = {output, metric.half};
    output += MapBytes(metric);
    if (metric.want_gradient) to.gradient = {output, metric.half};
    output += GradientBytes(metric, task.distorted);
    if (metric.walk) {
      walks.push_back({*metric.walk, to});
      continue;
    }
    input.want_map = metric.want_map;
    input.want_gradient = metric.want_gradient;
    on.set_non_finite(nullptr);
    if (IsFast(metric)) {
      on.set_non_finite(to.score + 1);
      on.Fill(on.non_finite(), 1, 0.0);
    }
    metric.program->run(input, *metric.settings, to, workspace_, on);
  }
  workspace_.Follow(nullptr);
  if (!walks.empty()) NoteWalks(on, input.reference, input.distorted, walks, work + kScratchBytes);
  if (launches_.overflowed()) {
    launches_.DropLane();
    return false;
  }
  task.failure = on.failure();
  if (task.failure.failed()) launches_.DropLane();
  return true;
}

Failure Slot::Enqueue(const SlotSizes& used, bool may_capture) {
  const cudaStream_t stream = stream_.get();
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[0].RecordAsync(stream));
  LIKENESS_CUDA_RETURN_IF_FAILED(
      cudaMemcpyAsync(device_.data(), staged_input_.data(), used.input_bytes, cudaMemcpyHostToDevice, stream));
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[1].RecordAsync(stream));
  LIKENESS_CUDA_RETURN_IF_FAILED(launches_.UploadAsync(stream));
  if (may_capture && uses_graphs_) {
    const std::int64_t generation = fft_plans_.generation() + conv_plans_.generation();
    LIKENESS_CUDA_RETURN_IF_FAILED(graphs_.Run(launches_.merged(), generation, stream));
  } else {
    LIKENESS_CUDA_RETURN_IF_FAILED(EnqueueAll(launches_.merged(), stream));
  }
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[2].RecordAsync(stream));
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemcpyAsync(staged_output_.data(), device_.data() + sizes_.input_bytes,
                                                 used.output_bytes, cudaMemcpyDeviceToHost, stream));
  return marks_[3].RecordAsync(stream);
}

Failure Slot::Run(const SlotSizes& used, bool may_capture) {
  const Failure enqueued = Enqueue(used, may_capture);
  // Also after a failure: what was enqueued before it still uses the slot's memory.
  const Failure done = stream_.Wait();
  LIKENESS_CUDA_RETURN_IF_FAILED(enqueued);
  return done;
}

// Runs a batch whose results are collected once more, with convolutions on trial. They are right whatever comes of it,
// unless the device is lost.
Failure Slot::Try(const SlotSizes& used) {
  const std::vector<std::byte> expected(staged_output_.data(), staged_output_.data() + used.output_bytes);
  conv_plans_.BeginTrial();
  const Failure failure = Run(used, /*may_capture=*/false);
  const bool same = !failure.failed() && std::equal(expected.begin(), expected.end(), staged_output_.data());
  failure.failed() ? conv_plans_.BreakOffTrial() : conv_plans_.EndTrial(same);
  if (IsForGood(failure.code)) return failure;
  // What is kept of references shall have the bits of single calls.
  return same ? Failure{} : Run(used, /*may_capture=*/false);
}

Failure Slot::Score(std::span<PairTask* const> tasks, int* count) {
  *count = 0;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaSetDevice(device_index_));
  launches_.Clear();
  fft_plans_.Trim();
  banks_.Trim();
  conv_plans_.BeginBatch();
  SlotSizes used;
  std::vector<std::int64_t> outputs;  // where each pair's begin
  for (PairTask* task : tasks) {
    const SlotSizes needs = SizesFor(*task);
    if (!HasRoom(used, needs) || !Note(*task, used, needs)) break;
    outputs.push_back(used.output_bytes);
    used += needs;
  }
  if (outputs.empty()) return {};
  // Before the clock runs: it is the host's work.
  LIKENESS_CUDA_RETURN_IF_FAILED(launches_.Merge());
  LIKENESS_CUDA_RETURN_IF_FAILED(Run(used, /*may_capture=*/true));
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[1].ElapsedMs(marks_[0], &times_.upload_ms));
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[2].ElapsedMs(marks_[1], &times_.compute_ms));
  LIKENESS_CUDA_RETURN_IF_FAILED(marks_[3].ElapsedMs(marks_[2], &times_.download_ms));
  *count = static_cast<int>(outputs.size());
  for (int i = 0; i < *count; ++i) {
    if (!tasks[i]->failure.failed()) Collect(*tasks[i], staged_output_.data() + outputs[i]);
  }
  if (!conv_plans_.WantsTrial()) return {};
  if (ShowsBits(tasks.first(outputs.size()))) return Try(used);
  conv_plans_.PutOffTrial();
  return {};
}

}  // namespace likeness::cuda
