// The tape: runs a program's steps on a device as they are called, and remembers how to go back.
//
// A program is a function over a Tape. The device decides what a step does: Cpu (one for each instruction set), the
// oracle in double, PlanDevice which only counts, a CUDA stream. An op (ops/<op>/<op>.h) is a free function that makes
// its output, runs its kernel and records its adjoint; the kernel is found by the device's namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/metric_info.h"
#include "kernels/ops/planes.h"
#include "kernels/ops/sharing.h"

namespace likeness {

// What one step costs, caches ignored.
struct Cost {
  std::int64_t bytes = 0;
  std::int64_t operations = 0;
};

// What a program returns. `map` is empty unless the tape wants one.
template <bool tracked>
struct Output {
  Scalar<tracked> score;
  Planes<false> map;
  // Of the map's first sample in the image, in image pixels.
  int map_offset = 0;
};

template <class Device>
class Tape {
 public:
  Tape(Device& device, Workspace& workspace, bool wants_map)
      : device_(device), workspace_(workspace), wants_map_(wants_map) {}
  Tape(Device& device, Workspace& workspace, bool wants_map, Averaging averaging) : Tape(device, workspace, wants_map) {
    averaging_ = averaging;
  }
  ~Tape() {
    while (!steps_.empty()) steps_.pop_back();
  }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Device& device() { return device_; }
  Workspace& workspace() { return workspace_; }
  bool wants_map() const { return wants_map_; }

  // One plane, the size of the image; empty: all pixels weigh alike. Only metrics that take weights are given any.
  const Planes<false>& weights() const { return weights_; }
  void set_weights(Planes<false> weights) { weights_ = std::move(weights); }
  Averaging averaging() const { return averaging_; }

  // The output of a step: `op` and `parts`, its inputs and parameters, are all that its value depends on. A step of
  // another program with the same ones may have computed it: run its kernel with RunFor.
  template <bool tracked, class... Part>
  Planes<tracked> Make(const Shape& shape, const char* op, const Part&... parts) {
    return Planes<tracked>(MakeStep(tracked, shape, false, op, parts...));
  }
  template <bool tracked, class... Part>
  Scalar<tracked> MakeScalar(int count, const char* op, const Part&... parts) {
    return Scalar<tracked>(MakeStep(tracked, {count, 1, 1}, true, op, parts...));
  }
  // The same for a value that no other program can know.
  template <bool tracked>
  Planes<tracked> MakeOwn(const Shape& shape) {
    return Planes<tracked>(Slot(&workspace_, workspace_.NewNode(shape, device_.bytes_per_sample(), false)));
  }
  template <bool tracked>
  Scalar<tracked> MakeOwnScalar(int count) {
    return Scalar<tracked>(Slot(&workspace_, workspace_.NewNode({count, 1, 1}, device_.bytes_per_sample(), true)));
  }
  // Memory for the time of a step.
  Planes<false> Scratch(const Shape& shape) {
    return Planes<false>(Slot(&workspace_, workspace_.NewNode(shape, device_.bytes_per_sample(), false)));
  }

  // Memory for a kernel.
  PlanesView View(const DataHandle& value) const {
    const Node& node = *value.slot().node();
    // An op reads the samples of an image that was only named: it must ask for them, which is our bug.
    if (node.unread != nullptr) std::abort();
    if (node.outside != nullptr) return {node.outside, value.shape()};
    // A value whose data a schedule left out is being read: the survey missed a reader, which is our bug.
    if (node.data_offset < 0) std::abort();
    return {workspace_.arena().At(node.data_offset), value.shape()};
  }
  double* Values(const DataHandle& scalar) const { return static_cast<double*>(View(scalar).data); }

  // The gradient that arrived at a value; only within a recorded step of that value.
  PlanesView Upstream(const Slot& slot) const {
    return {workspace_.arena().At(slot.node()->gradient_offset), slot.shape()};
  }
  const double* UpstreamValues(const Slot& slot) const { return static_cast<double*>(Upstream(slot).data); }

  // Where a step sends the gradient of one of its inputs.
  GradientView Gradient(const Slot& slot) {
    Node* node = slot.node();
    const bool accumulate = node->gradient_offset >= 0;
    if (!accumulate) node->gradient_offset = workspace_.AllocateGradient(*node);
    return {{workspace_.arena().At(node->gradient_offset), node->shape}, accumulate};
  }

  // Two runs of steps of which neither needs what the other makes. A device that gains by it takes them step by step in
  // turns, and then neither gets memory that the other has freed.
  template <class First, class Second>
  void Beside(First&& first, Second&& second) {
    if constexpr (requires { device_.Beside(first, second); }) {
      if (device_.takes_turns()) {
        workspace_.arena().HoldFreed(true);
        device_.Beside(first, second);
        workspace_.arena().HoldFreed(false);
        return;
      }
    }
    first();
    second();
  }

  // Calls kernel(device) on devices that compute.
  template <class Kernel>
  void Run(const Cost& cost, Kernel&& kernel) {
    device_.Run(cost, std::forward<Kernel>(kernel));
  }
  // The same for the kernel that computes `output`, unless it is known already.
  template <class Kernel>
  void RunFor(const DataHandle& output, const Cost& cost, Kernel&& kernel) {
    if (IsKnown(output)) return;
    Run(cost, std::forward<Kernel>(kernel));
  }
  bool IsKnown(const DataHandle& output) const { return output.slot().node()->known; }

  // What the program's caller will read: its score, its map.
  void NoteOutput(const DataHandle& output) {
    if constexpr (requires { Device::kSurveys; }) {
      if (Survey* survey = workspace_.survey()) survey->NoteOutput(output);
    }
  }

  // Remembers backward(tape), which is called with the output's upstream gradient in place, or not at all when the
  // score does not depend on the output.
  template <class Backward>
  void Record(const DataHandle& output, Backward backward) {
    steps_.emplace_back(output.slot(), std::move(backward));
  }

  // Walks the tape once from d score / d score = 1. The gradients of the tape's leaves stay.
  void Backward(const Scalar<true>& score) {
    const GradientView seed = Gradient(score.slot());
    Run({}, [&](auto& device) { device.Fill(static_cast<double*>(seed.planes.data), score.count(), 1.0); });
    BackwardFromSeeds();
  }
  // The same from the gradients that the caller has put where Gradient says.
  void BackwardFromSeeds() {
    while (!steps_.empty()) {
      if (steps_.back().output.node()->gradient_offset >= 0) steps_.back().run(steps_.back().closure, *this);
      steps_.pop_back();
    }
  }

  // The gradient of a leaf after Backward; data is null where the score does not depend on it.
  PlanesView LeafGradient(const DataHandle& leaf) const {
    if (leaf.slot().node()->gradient_offset < 0) return {nullptr, leaf.shape()};
    return Upstream(leaf.slot());
  }

 private:
  template <class... Part>
  Slot MakeStep(bool tracked, const Shape& shape, bool scalar, const char* op, const Part&... parts) {
    Node* node = workspace_.NewStep(shape, device_.bytes_per_sample(), scalar);
    if constexpr (requires { Device::kSurveys; }) {
      if (Survey* survey = workspace_.survey()) {
        StepKey key(op);
        key.Add(shape);
        (key.Add(parts), ...);
        survey->Note(node, key, tracked);
      }
    }
    return Slot(&workspace_, node);
  }

  // A recorded step with its closure in place: no allocation a step.
  struct Step {
    static constexpr std::size_t kClosureBytes = 320;

    template <class Backward>
    Step(Slot out, Backward backward) : output(std::move(out)) {
      static_assert(sizeof(Backward) <= kClosureBytes);
      static_assert(std::is_nothrow_move_constructible_v<Backward>);
      new (closure) Backward(std::move(backward));
      run = [](void* at, Tape& tape) { (*static_cast<Backward*>(at))(tape); };
      move = [](void* from, void* to) {
        new (to) Backward(std::move(*static_cast<Backward*>(from)));
        static_cast<Backward*>(from)->~Backward();
      };
      destroy = [](void* at) { static_cast<Backward*>(at)->~Backward(); };
    }
    Step(Step&& other) noexcept
        : output(std::move(other.output)),
          run(other.run),
          move(other.move),
          destroy(std::exchange(other.destroy, nullptr)) {
      move(other.closure, closure);
    }
    ~Step() {
      if (destroy) destroy(closure);
    }

    Slot output;
    void (*run)(void*, Tape&);
    void (*move)(void*, void*);
    void (*destroy)(void*);
    alignas(std::max_align_t) std::byte closure[kClosureBytes];
  };

  Device& device_;
  Workspace& workspace_;
  bool wants_map_;
  Averaging averaging_ = Averaging::kOverPixels;
  Planes<false> weights_;
  std::vector<Step> steps_;
};

}  // namespace likeness
