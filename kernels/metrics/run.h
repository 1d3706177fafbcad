// Runs a metric's program for one target. Included by the units that CMake stamps, after the metric's own header.
#pragma once

#include "kernels/ops/load/load.h"

namespace likeness {

struct TrunkSpec;

// An image of the pair, as the metric's program takes it: those that look through a network take it as NameImage says.
template <class Metric, bool tracked, class T>
Planes<tracked> TakeImage(T& t, Picture picture, const ImageView& image, int channels, double background) {
  if constexpr (requires { &Metric::Trunk; }) {
    return NameImage<tracked>(t, picture, image, channels, background);
  } else {
    return LoadImage<tracked>(t, picture, image, channels, background);
  }
}

// The network that a metric looks through; null: none.
template <class Metric>
constexpr auto TrunkOf() -> const TrunkSpec& (*)() {
  if constexpr (requires { &Metric::Trunk; }) {
    return &Metric::Trunk;
  } else {
    return nullptr;
  }
}

}  // namespace likeness

#if defined(LIKENESS_TARGET_CUDA)

#include "kernels/metrics/run_cuda.cuh"

#elif defined(LIKENESS_TARGET_PLAN)

#include "kernels/metrics/program.h"
#include "kernels/ops/load/load.h"
#include "kernels/ops/plan_device.h"

namespace likeness::plan {

// A program's steps on shapes alone, in the order and with the lifetimes of RunProgram below: the arena must be asked
// for the same. Adds the outputs' bytes to `plan`.
template <class Metric, bool tracked>
void PlanProgram(const PlanInput& input, SurveyDevice& device, Workspace& workspace, Plan& plan) {
  Tape<SurveyDevice> tape(device, workspace, input.want_map, input.averaging);
  const Shape& shape = input.shape;
  ImageView image;
  image.width = shape.width;
  image.height = shape.height;
  image.channels = shape.channels;
  if (input.weighted) tape.set_weights(LoadImage<false>(tape, Picture::kWeights, image, 1, 1.0));
  auto distorted = TakeImage<Metric, tracked>(tape, Picture::kDistorted, image, shape.channels, 1.0);
  Output<tracked> output = Metric::Run(
      tape, TakeImage<Metric, false>(tape, Picture::kReference, image, shape.channels, 1.0), distorted, input.settings);
  tape.NoteOutput(output.score);
  if (input.want_map) {
    tape.NoteOutput(output.map);
    plan.output_bytes += output.map.shape().count() * sizeof(float);
  }
  output.map = Planes<false>();
  if constexpr (tracked) {
    plan.output_bytes += shape.count() * sizeof(float);
    tape.Backward(output.score);
  }
}

template <class Metric>
void PlanMetric(const PlanInput& input, SurveyDevice& device, Workspace& workspace, Plan& plan) {
  if (input.want_gradient) {
    PlanProgram<Metric, true>(input, device, workspace, plan);
  } else {
    PlanProgram<Metric, false>(input, device, workspace, plan);
  }
}

template <class Metric>
constexpr auto CheckOf() -> std::string (*)(const Shape&, const Settings&) {
  if constexpr (requires { &Metric::Check; }) {
    return &Metric::Check;
  } else {
    return nullptr;
  }
}

template <class Metric>
constexpr auto WalkOf() -> std::optional<WalkRequest> (*)(const Settings&) {
  if constexpr (requires { &Metric::Walk; }) {
    return &Metric::Walk;
  } else {
    return nullptr;
  }
}

}  // namespace likeness::plan

#define LIKENESS_METRIC(Type)                                                                                  \
  namespace likeness::plan {                                                                                   \
  extern const MetricEntry k##Type;                                                                            \
  const MetricEntry k##Type{&Type::Info, TrunkOf<Type>(), WalkOf<Type>(), CheckOf<Type>(), &PlanMetric<Type>}; \
  }

#else

#include "kernels/metrics/program.h"
#include "kernels/ops/load/load_cpu.h"
#include "kernels/ops/map/map_cpu.h"
#include "kernels/ops/ops_cpu.h"

LIKENESS_BEGIN_TARGET

template <class Metric, bool tracked>
void RunProgram(const RunInput& input, Workspace& workspace, MetricResult& result) {
  Cpu cpu;
  Tape<Cpu> tape(cpu, workspace, input.want_map, input.averaging);
  const int channels = ScoredChannels(input.reference, input.distorted);
  if (input.weights.data != nullptr) {
    tape.set_weights(LoadImage<false>(tape, Picture::kWeights, input.weights, 1, 1.0));
  }
  // The program's own handle to the reference goes with it, so that its memory is free for the way back.
  auto distorted =
      TakeImage<Metric, tracked>(tape, Picture::kDistorted, input.distorted, channels, input.alpha_background);
  Output<tracked> output = Metric::Run(
      tape, TakeImage<Metric, false>(tape, Picture::kReference, input.reference, channels, input.alpha_background),
      distorted, input.settings);
  result.score = *tape.Values(output.score);
  if (input.want_map) {
    result.map = UnloadPlanes(tape.View(output.map), input.distorted.layout, output.map_offset);
    output.map = Planes<false>();
  }
  if constexpr (tracked) {
    tape.Backward(output.score);
    result.gradient = UnloadGradient(tape.LeafGradient(distorted), input.distorted, input.alpha_background);
  }
}

template <class Metric>
void RunMetric(const RunInput& input, Workspace& workspace, MetricResult& result) {
  if (input.want_gradient) {
    RunProgram<Metric, true>(input, workspace, result);
  } else {
    RunProgram<Metric, false>(input, workspace, result);
  }
}

LIKENESS_END_TARGET

#define LIKENESS_METRIC(Type)                  \
  namespace likeness::LIKENESS_TARGET {        \
  extern const ProgramRun k##Type;             \
  const ProgramRun k##Type = &RunMetric<Type>; \
  }

#endif
