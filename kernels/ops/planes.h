// The values that a program handles: planes of samples, and scalars.
//
// A handle is cheap to copy and counts its readers: when the last handle to a value goes, its memory goes back to the
// arena. That is all the liveness analysis there is. Whether a value depends on the distorted image, and so belongs on
// the tape, is part of its type: `Planes<true>` is tracked, `Planes<false>` is a constant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "kernels/base/arena.h"

namespace likeness {

struct ImageView;

struct Shape {
  int width = 0;
  int height = 0;
  int channels = 0;

  constexpr std::int64_t plane() const { return std::int64_t{width} * height; }
  constexpr std::int64_t count() const { return plane() * channels; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

// Samples from one row to the next: whole cache lines, and never a multiple of 2 KiB, so that the rows which a vertical
// filter reads together do not compete for the same cache set.
constexpr std::ptrdiff_t RowStride(int width) {
  std::ptrdiff_t stride = (width + 15) / 16 * 16;
  if (stride % 512 == 0) stride += 16;
  return stride;
}

// Memory of planes as kernels see it. `data` is Real of the device; rows have RowStride(width) samples, of which those
// beyond `width` may be read and written and mean nothing.
struct PlanesView {
  void* data = nullptr;
  Shape shape;

  constexpr std::ptrdiff_t stride() const { return RowStride(shape.width); }
};

// Where an adjoint goes: added to what is there, or written when nothing is there yet.
struct GradientView {
  PlanesView planes;
  bool accumulate = false;
};

class Schedule;
class Survey;

// One value of a program and the gradient with respect to it.
struct Node {
  Shape shape;
  int bytes_per_sample = 0;
  int handles = 0;    // of any kind
  int data_uses = 0;  // handles that keep the data
  std::int64_t data_offset = -1;
  void* outside = nullptr;            // the data, where it is not in the arena: it outlives the program
  const ImageView* unread = nullptr;  // the image whose samples are still to become the data (NameImage)
  double background = 0.0;            // under its alpha
  std::int64_t gradient_offset = -1;
  Node* data_owner = nullptr;  // whose data this is, when an equal step of another program made it
  bool known = false;          // the data is there already, or nobody will read it: there is nothing to compute
  int value = -1;              // what a Survey calls it
  int occurrence = 0;
};

// Memory of program runs: the arena and the nodes in it. Reused from run to run; not thread safe.
class Workspace {
 public:
  Arena& arena() { return arena_; }

  // The programs that run next share steps as the schedule says, which must outlive them; null ends that. `outside`:
  // where Schedule::kept lies; only counted without.
  void Follow(const Schedule* schedule, const std::vector<void*>& outside = {});
  // While set, steps are noted there. Only on a device that computes nothing.
  void set_survey(Survey* survey) { survey_ = survey; }
  Survey* survey() const { return survey_; }

  // Scratch, or what a program makes in a step of its own.
  Node* NewNode(const Shape& shape, int bytes_per_sample, bool scalar);
  // The value of a program's next step.
  Node* NewStep(const Shape& shape, int bytes_per_sample, bool scalar);
  std::int64_t AllocateGradient(const Node& node);
  void ReleaseData(Node* node);
  void Release(Node* node);
  static std::int64_t Bytes(const Node& node);

 private:
  Node* BareNode(const Shape& shape, int bytes_per_sample, bool scalar);
  Node* Alias(Node* owner);

  Arena arena_;
  const Schedule* schedule_ = nullptr;
  std::size_t next_step_ = 0;
  std::vector<Node*> kept_;  // by value: what later programs will read
  std::vector<void*> outside_;
  Survey* survey_ = nullptr;
  std::deque<Node> nodes_;
  std::vector<Node*> free_nodes_;
};

// Keeps a node, and through it the gradient, but not the data.
class Slot {
 public:
  Slot() = default;
  Slot(Workspace* workspace, Node* node) : workspace_(workspace), node_(node) { ++node_->handles; }
  Slot(const Slot& other) noexcept : workspace_(other.workspace_), node_(other.node_) {
    if (node_) ++node_->handles;
  }
  Slot(Slot&& other) noexcept : workspace_(other.workspace_), node_(std::exchange(other.node_, nullptr)) {}
  Slot& operator=(Slot other) noexcept {
    std::swap(workspace_, other.workspace_);
    std::swap(node_, other.node_);
    return *this;
  }
  ~Slot() {
    if (node_ && --node_->handles == 0) workspace_->Release(node_);
  }

  Workspace* workspace() const { return workspace_; }
  Node* node() const { return node_; }
  const Shape& shape() const { return node_->shape; }

 private:
  Workspace* workspace_ = nullptr;
  Node* node_ = nullptr;
};

// Keeps a node and its data.
class DataHandle {
 public:
  DataHandle() = default;
  explicit DataHandle(Slot slot) : slot_(std::move(slot)) { ++slot_.node()->data_uses; }
  DataHandle(const DataHandle& other) noexcept : slot_(other.slot_) {
    if (slot_.node()) ++slot_.node()->data_uses;
  }
  DataHandle(DataHandle&& other) noexcept = default;
  DataHandle& operator=(DataHandle other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~DataHandle() {
    if (slot_.node() && --slot_.node()->data_uses == 0) slot_.workspace()->ReleaseData(slot_.node());
  }

  bool empty() const { return slot_.node() == nullptr; }
  const Slot& slot() const { return slot_; }
  const Shape& shape() const { return slot_.shape(); }

 private:
  Slot slot_;
};

// channels planes of height x width samples.
template <bool tracked>
class Planes : public DataHandle {
 public:
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = false;
  using DataHandle::DataHandle;
  // A tracked value where a constant will do: its derivative is left behind.
  Planes<false> Detached() const { return Planes<false>(slot()); }
};

// shape().width doubles: one for the pair, or one for each channel.
template <bool tracked>
class Scalar : public DataHandle {
 public:
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = true;
  using DataHandle::DataHandle;
  int count() const { return shape().width; }
  Scalar<false> Detached() const { return Scalar<false>(slot()); }
};

}  // namespace likeness
