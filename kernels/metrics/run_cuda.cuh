// Runs a metric's program under CUDA. Included through run.h by the units that CMake stamps for nvcc.
#pragma once

#include "kernels/metrics/program_cuda.h"
#include "kernels/ops/conv_trunk/conv_trunk_cuda.h"
#include "kernels/ops/correlate/correlate_cuda.h"
#include "kernels/ops/correlate_bank/correlate_bank_cuda.h"
#include "kernels/ops/fft/fft_cuda.h"
#include "kernels/ops/filter_bank/filter_bank_cuda.h"
#include "kernels/ops/load/load_cuda.h"
#include "kernels/ops/map/map_cuda.cuh"
#include "kernels/ops/map_channels/map_channels_cuda.cuh"
#include "kernels/ops/order/order_cuda.h"
#include "kernels/ops/permute/permute_cuda.h"
#include "kernels/ops/pixel_means/pixel_means_cuda.cuh"
#include "kernels/ops/plan_device.h"
#include "kernels/ops/pool/pool_cuda.h"
#include "kernels/ops/pyramid/pyramid_cuda.h"
#include "kernels/ops/reduce/reduce_cuda.h"
#include "kernels/ops/resample/resample_cuda.h"
#include "kernels/ops/window_means/window_means_cuda.cuh"

LIKENESS_BEGIN_TARGET

// The one order of steps, for the plan and the run: the arena must be asked for the same.
template <class Metric, bool tracked, class Device, class Sink>
void RunOn(Device& device, Workspace& workspace, const ProgramInput& input, const Settings& settings, Sink& sink) {
  Tape<Device> tape(device, workspace, input.want_map, input.averaging);
  const int channels = std::max(input.reference.color_channels(), input.distorted.color_channels());
  if (input.weights.width > 0) {
    tape.set_weights(LoadImage<false>(tape, Picture::kWeights, input.weights, 1, 1.0));
  }
  auto distorted =
      TakeImage<Metric, tracked>(tape, Picture::kDistorted, input.distorted, channels, input.alpha_background);
  Output<tracked> output = Metric::Run(
      tape, TakeImage<Metric, false>(tape, Picture::kReference, input.reference, channels, input.alpha_background),
      distorted, settings);
  sink.Score(tape.Values(output.score));
  if (input.want_map) {
    sink.Map(tape.View(output.map), output.map_offset);
    output.map = Planes<false>();
  }
  if constexpr (tracked) {
    tape.Backward(output.score);
    sink.Gradient(tape.LeafGradient(distorted));
  }
}

struct PlanSink {
  ProgramNeeds& needs;
  plan::PlanDevice& device;
  const ImageView& distorted;

  void Score(const double*) {}
  void Map(const PlanesView& map, int offset) {
    needs.map = map.shape;
    needs.map_offset = offset;
    CountUnload(map.shape.count(), map.shape.count());
  }
  void Gradient(const PlanesView& gradient) {
    CountUnload(gradient.shape.count(), distorted.pixel_count() * distorted.channels);
  }
  // Planes read, a packed tensor written.
  void CountUnload(std::int64_t in, std::int64_t out) {
    device.Run({(in + out) * std::int64_t{sizeof(Real)}, 0}, [](auto&) {});
  }
};

struct CopyScoreKernel {
  static constexpr int kThreads = 1;
  const double* from;
  double* to;

  __device__ void operator()(const Block&) const { *to = *from; }
};

struct OutputSink {
  Cuda& device;
  const ProgramInput& input;
  const ProgramOutput& output;

  void Score(const double* score) {
    device.Run({}, [&](Cuda& on) { on.Launch(CopyScoreKernel{score, output.score}, {}); });
  }
  void Map(const PlanesView& map, int) {
    device.Run({}, [&](Cuda& on) { UnloadPlanes(on, map, input.distorted.layout, output.map); });
  }
  void Gradient(const PlanesView& gradient) {
    device.Run(
        {}, [&](Cuda& on) { UnloadGradient(on, gradient, input.distorted, input.alpha_background, output.gradient); });
  }
};

template <class Metric>
std::string CheckShape(const Shape& shape, const Settings& settings) {
  if constexpr (requires { &Metric::Check; }) return Metric::Check(shape, settings);
  return {};
}

template <class Metric>
std::optional<WalkRequest> WalkOf(const Settings& settings) {
  if constexpr (requires { &Metric::Walk; }) return Metric::Walk(settings);
  return std::nullopt;
}

template <class Metric>
ProgramNeeds PlanOf(const ProgramInput& input, const Settings& settings) {
  plan::PlanDevice device(sizeof(Real), FeatureLayout::kPixels);
  Workspace workspace;
  ProgramNeeds needs;
  PlanSink sink{needs, device, input.distorted};
  if (input.want_gradient) {
    RunOn<Metric, true>(device, workspace, input, settings, sink);
  } else {
    RunOn<Metric, false>(device, workspace, input, settings, sink);
  }
  needs.workspace_bytes = workspace.arena().high_water_bytes();
  needs.moved_bytes = device.total().bytes;
  needs.operations = device.total().operations;
  return needs;
}

template <class Metric>
void RunOnLane(const ProgramInput& input, const Settings& settings, const ProgramOutput& output, Workspace& workspace,
               Cuda& device) {
  OutputSink sink{device, input, output};
  if (input.want_gradient) {
    RunOn<Metric, true>(device, workspace, input, settings, sink);
  } else {
    RunOn<Metric, false>(device, workspace, input, settings, sink);
  }
}

LIKENESS_END_TARGET

#define LIKENESS_METRIC(Type)                                              \
  namespace likeness::cuda {                                               \
  extern const Program k##Type;                                            \
  const Program k##Type{&Type::Info,   TrunkOf<Type>(), &CheckShape<Type>, \
                        &WalkOf<Type>, &PlanOf<Type>,   &RunOnLane<Type>}; \
  }
