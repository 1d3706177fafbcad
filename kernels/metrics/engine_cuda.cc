#include "kernels/metrics/engine_cuda.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/memory_pool.h"
#include "kernels/cuda/probe.h"
#include "kernels/metrics/noted_pair_cuda.h"
#include "kernels/metrics/slot_cuda.h"
#include "kernels/ops/conv_trunk/conv_plans.h"

namespace likeness::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kTableBytes = 16 << 20;
// Below this a slot could not score one large photograph.
constexpr std::int64_t kLeastSlotBytes = 128 << 20;
// Of a GPU's free memory: the rest is for the context, libraries and neighbours.
constexpr double kShareOfFreeMemory = 0.9;

// An eighth for the images and an eighth for the results, both page-locked on the host as well; a sixteenth for the
// libraries: transforms want about as much as the complex numbers of one spectrum, convolutions mostly less.
SlotSizes Divide(std::int64_t slot_bytes) {
  SlotSizes sizes;
  sizes.table_bytes = kTableBytes;
  sizes.input_bytes = sizes.output_bytes = slot_bytes / 8;
  sizes.library_bytes = slot_bytes / 16;
  sizes.work_bytes = slot_bytes - sizes.input_bytes - sizes.output_bytes - sizes.table_bytes - sizes.library_bytes;
  return sizes;
}

// The trunks of those metrics that have a program.
std::vector<DeviceTrunks::Source> SourcesOf(absl::Span<const MetricEntry* const> entries,
                                            absl::Span<const Trunk* const> trunks) {
  std::vector<DeviceTrunks::Source> sources;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (trunks[i] == nullptr || FindProgram(entries[i]->info().id) == nullptr) continue;
    for (const TrunkWeights* weights : trunks[i]->all_weights()) sources.push_back({&entries[i]->trunk(), weights});
  }
  return sources;
}

std::string Libraries() {
  if (HasCudnn()) return CudnnDescription();
  return "no cuDNN in this build, so that learned metrics are scored on the CPU";
}

// Scores a pair of the smallest size with its gradient.
Failure TryOut(Slot& slot, const Program& program, const TrunkWeights& weights, Precision precision) {
  const MetricInfo info = program.info();
  Parameters parameters;
  for (const ParameterInfo& parameter : info.parameters) parameters[parameter.name] = parameter.default_value;
  TrunkUse trunk;
  trunk.weights = &weights;
  trunk.precision = precision;
  const Settings settings(info.conventions.front().name, parameters, trunk);
  std::vector<std::uint8_t> pixels(std::size_t(3) * info.min_width * info.min_height);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(37 * i);
  PairTask task;
  task.reference = {pixels.data(), info.min_width, info.min_height, 3};
  task.reference.row_bytes = 3 * info.min_width;
  task.distorted = task.reference;
  MetricTask& metric = task.metrics.emplace_back();
  metric.program = &program;
  metric.settings = &settings;
  metric.want_gradient = true;
  Plan(task);
  PairTask* const tasks[] = {&task};
  int count = 0;
  LIKENESS_CUDA_RETURN_IF_FAILED(slot.Score(tasks, &count));
  return task.failure;
}

}  // namespace

struct Engine::Impl {
  struct Device {
    int index = 0;
    DeviceTrunks trunks;                     // that the slots read
    std::shared_ptr<const MemoryPool> kept;  // for features of references; null: the GPU has no such memory
    std::vector<std::unique_ptr<Slot>> idle;
    DeviceState state;
  };

  // The slot of a batch, given back when the batch is done.
  struct Borrowed {
    Device* device;
    std::unique_ptr<Slot> slot;
    std::int64_t bytes;
    Clock::time_point since;
    ConvTrials trials;  // that the slot had made before
  };

  // Finds out which learned metrics cuDNN serves: it knows many GPUs, and not every convolution on each. Also loads its
  // kernels before the first request.
  absl::Status TryTrunks();
  Borrowed Borrow(std::int64_t bytes, int device);
  // The one of them that has the fewest bytes to work on; of those with an idle slot only, if so asked. Null: none has.
  Device* LeastBusy(bool idle) const;
  Home HomeOf(const PairOnDevice& pair);
  void GiveBack(Borrowed borrowed, const Failure& failure);
  int ScoreSome(absl::Span<const std::unique_ptr<Noted>> batch);

  absl::Span<const MetricEntry* const> entries;
  std::vector<const Trunk*> trunks;
  std::string description;
  std::set<std::string> refused;  // learned metrics that this GPU cannot score
  SlotSizes sizes;
  int slot_count = 0;

  mutable std::mutex mutex;
  std::condition_variable idle_again;
  std::vector<std::unique_ptr<Device>> devices;
  absl::Status health;
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       absl::Span<const MetricEntry* const> entries,
                                                       absl::Span<const Trunk* const> trunks) {
  const Probe probe = FindDevice();
  if (!probe.found) return absl::FailedPreconditionError(absl::StrCat("CUDA found ", probe.description));
  int count = 0;
  LIKENESS_CUDA_RETURN_IF_ERROR(cudaGetDeviceCount(&count));
  auto impl = std::make_unique<Impl>();
  impl->entries = entries;
  impl->trunks.assign(trunks.begin(), trunks.end());
  impl->description = absl::StrCat(count == 1 ? "" : absl::StrCat(count, " x "), probe.description, ", ", Libraries());
  const std::vector<DeviceTrunks::Source> sources = SourcesOf(entries, trunks);
  // Every slot is of one size: a pair that fits one fits all.
  std::int64_t slot_bytes = options.slot_bytes;
  for (int i = 0; i < count; ++i) {
    Impl::Device& device = *impl->devices.emplace_back(std::make_unique<Impl::Device>());
    LIKENESS_CUDA_RETURN_IF_ERROR(cudaSetDevice(i));
    LIKENESS_CUDA_RETURN_IF_ERROR(DeviceTrunks::Create(sources, &device.trunks));
    const Failure no_pool = MemoryPool::Create(i, &device.kept);
    if (no_pool.code == cudaErrorNotSupported) {
      absl::StrAppend(&impl->description, "; GPU ", i,
                      " keeps no features of references: ", ToStatus(no_pool).message());
    } else {
      LIKENESS_CUDA_RETURN_IF_ERROR(no_pool);
    }
    std::size_t free_bytes = 0, all_bytes = 0;
    LIKENESS_CUDA_RETURN_IF_ERROR(cudaMemGetInfo(&free_bytes, &all_bytes));
    slot_bytes = std::min(slot_bytes, static_cast<std::int64_t>(kShareOfFreeMemory * static_cast<double>(free_bytes) /
                                                                options.slots_per_device));
  }
  if (slot_bytes < kLeastSlotBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a slot on the GPU would have ", slot_bytes, " bytes; it needs ",
                                                     kLeastSlotBytes, ": free memory of the GPU or raise slot_bytes"));
  }
  impl->sizes = Divide(slot_bytes);
  for (int i = 0; i < count; ++i) {
    Impl::Device& device = *impl->devices[i];
    device.index = i;
    device.state.index = i;
    device.state.slot_count = options.slots_per_device;
    device.state.memory_bytes = options.slots_per_device * impl->sizes.device_bytes() + device.trunks.size_bytes();
    for (int k = 0; k < options.slots_per_device; ++k) {
      auto slot = std::make_unique<Slot>();
      LIKENESS_CUDA_RETURN_IF_ERROR(Slot::Create(i, impl->sizes, slot.get(), &device.trunks));
      slot->UseGraphs(options.graphs);
      device.idle.push_back(std::move(slot));
      ++impl->slot_count;
    }
  }
  RETURN_IF_ERROR(impl->TryTrunks());
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

absl::Status Engine::Impl::TryTrunks() {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (trunks[i] == nullptr) continue;
    const std::string id = entries[i]->info().id;
    const Program* program = FindProgram(id);
    if (program == nullptr) continue;
    for (const auto& device : devices) {
      for (const Precision precision : {Precision::kExact, Precision::kFast}) {
        const Failure failure = TryOut(*device->idle[0], *program, trunks[i]->weights(), precision);
        if (!failure.failed()) continue;
        if (IsForGood(failure.code)) return ToStatus(failure);
        if (refused.insert(id).second) {
          absl::StrAppend(&description, "; ", id, " stays on the CPU: ", ToStatus(failure).message());
        }
      }
    }
  }
  return absl::OkStatus();
}

const std::string& Engine::description() const { return impl_->description; }
int Engine::slot_count() const { return impl_->slot_count; }
std::int64_t Engine::workspace_bytes() const { return WorkspaceBytes(impl_->sizes); }
bool Engine::Has(const MetricInfo& info) const {
  return FindProgram(info.id) != nullptr && impl_->refused.count(info.id) == 0;
}

std::int64_t Engine::WorkspaceOf(const WalkRequest& walk, const ImageView& distorted) {
  PairTask task;
  task.distorted = distorted;
  MetricTask& metric = task.metrics.emplace_back();
  metric.walk = walk.walk;
  metric.want_map = walk.want_map;
  metric.want_gradient = walk.want_gradient;
  Plan(task);
  return metric.needs.workspace_bytes;
}

absl::Status Engine::health() const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  return impl_->health;
}

std::vector<DeviceState> Engine::devices() const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  std::vector<DeviceState> states;
  for (const auto& device : impl_->devices) states.push_back(device->state);
  return states;
}

Engine::Impl::Device* Engine::Impl::LeastBusy(bool idle) const {
  Device* best = nullptr;
  for (const auto& device : devices) {
    if (idle && device->idle.empty()) continue;
    if (best == nullptr || device->state.outstanding_bytes < best->state.outstanding_bytes) best = device.get();
  }
  return best;
}

Home Engine::Impl::HomeOf(const PairOnDevice& pair) {
  if (std::none_of(pair.metrics.begin(), pair.metrics.end(), [&](int metric) { return Keeps(pair, metric); })) {
    return {};
  }
  const int index = KeptValues::Home(*pair.job->kept, [this] {
    const std::lock_guard<std::mutex> lock(mutex);
    return LeastBusy(false)->index;
  });
  const MemoryPool* memory = devices[index]->kept.get();
  return memory == nullptr ? Home{} : Home{index, memory};
}

// A slot of that GPU, or with -1 of the one that has the fewest bytes to work on; waits while all are taken.
Engine::Impl::Borrowed Engine::Impl::Borrow(std::int64_t bytes, int device) {
  std::unique_lock<std::mutex> lock(mutex);
  Device* best = nullptr;
  idle_again.wait(lock, [&] {
    best = device < 0 ? LeastBusy(true) : devices[device].get();
    return best != nullptr && !best->idle.empty();
  });
  std::unique_ptr<Slot> slot = std::move(best->idle.back());
  best->idle.pop_back();
  best->state.outstanding_bytes += bytes;
  ++best->state.busy_slots;
  const ConvTrials trials = slot->conv_trials();
  return {best, std::move(slot), bytes, Clock::now(), trials};
}

void Engine::Impl::GiveBack(Borrowed borrowed, const Failure& failure) {
  const std::lock_guard<std::mutex> lock(mutex);
  DeviceState& state = borrowed.device->state;
  state.outstanding_bytes -= borrowed.bytes;
  --state.busy_slots;
  state.busy_seconds += std::chrono::duration<double>(Clock::now() - borrowed.since).count();
  ++state.batches;
  state.launches += borrowed.slot->launch_count();
  const ConvTrials trials = borrowed.slot->conv_trials();
  state.convolutions_shared += trials.agreed - borrowed.trials.agreed;
  state.convolutions_apart += trials.differed - borrowed.trials.differed;
  if (failure.failed()) ++state.errors;
  if (IsForGood(failure.code) && health.ok()) {
    health = absl::InternalError(
        absl::StrCat("GPU ", borrowed.device->index, " failed for good: ", ToStatus(failure).message()));
  }
  borrowed.device->idle.push_back(std::move(borrowed.slot));
  idle_again.notify_all();  // they wait for different GPUs
}

// Scores the first pairs of a batch that go to one GPU, at least one; how many.
int Engine::Impl::ScoreSome(absl::Span<const std::unique_ptr<Noted>> batch) {
  std::vector<PairTask*> tasks;
  std::int64_t bytes = 0;
  for (const auto& noted : batch) {
    if (noted->device != batch[0]->device) break;
    tasks.push_back(&noted->task);
    bytes += SizesFor(noted->task).input_bytes;
  }
  Borrowed borrowed = Borrow(bytes, batch[0]->device);
  int count = 0;
  Failure failure = borrowed.slot->Score(tasks, &count);
  // No memory for what a library wanted beside the slot: fewer pairs want less.
  while (failure.code == cudaErrorMemoryAllocation && tasks.size() > 1) {
    tasks.resize(tasks.size() / 2);
    failure = borrowed.slot->Score(tasks, &count);
  }
  GiveBack(std::move(borrowed), failure);
  if (failure.failed()) {
    for (PairTask* task : tasks) task->failure = failure;
    return static_cast<int>(tasks.size());
  }
  if (count == 0) {
    tasks[0]->failure = {cudaErrorMemoryAllocation, "the pair exceeds a slot", __FILE__, __LINE__};
    return 1;
  }
  return count;
}

void Engine::Score(absl::Span<PairOnDevice> pairs) {
  std::vector<std::unique_ptr<Noted>> all;
  all.reserve(pairs.size());
  for (const PairOnDevice& pair : pairs) {
    all.push_back(std::make_unique<Noted>(pair, impl_->HomeOf(pair), impl_->entries, impl_->trunks, workspace_bytes()));
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->device < b->device; });
  for (std::size_t at = 0; at < all.size();) {
    at += impl_->ScoreSome(absl::MakeConstSpan(all).subspan(at));
  }
  for (const auto& noted : all) {
    noted->Publish();
    PairTask& task = noted->task;
    const absl::Status status = ToStatus(task.failure);
    for (std::size_t k = 0; k < task.metrics.size(); ++k) {
      MetricResult& result = (*noted->pair.results)[noted->pair.metrics[k]];
      PairResult& scored = task.metrics[k].result;
      result.status = status;
      result.score = scored.score;
      result.left_range = scored.non_finite;
      result.map = std::move(scored.map);
      result.gradient = std::move(scored.gradient);
    }
  }
}

}  // namespace likeness::cuda
