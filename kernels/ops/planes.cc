#include "kernels/ops/planes.h"

#include <cstdlib>

#include "kernels/ops/sharing.h"

namespace likeness {

std::int64_t Workspace::Bytes(const Node& node) {
  const Shape& shape = node.shape;
  // One vector beyond the last row, so that a kernel may always load whole vectors.
  return RowStride(shape.width) * shape.height * std::int64_t{shape.channels} * node.bytes_per_sample +
         Arena::kAlignment;
}

Node* Workspace::BareNode(const Shape& shape, int bytes_per_sample, bool scalar) {
  if (free_nodes_.empty()) free_nodes_.push_back(&nodes_.emplace_back());
  Node* node = free_nodes_.back();
  free_nodes_.pop_back();
  *node = Node{};
  node->shape = shape;
  node->bytes_per_sample = scalar ? static_cast<int>(sizeof(double)) : bytes_per_sample;
  return node;
}

Node* Workspace::NewNode(const Shape& shape, int bytes_per_sample, bool scalar) {
  Node* node = BareNode(shape, bytes_per_sample, scalar);
  node->data_offset = arena_.Allocate(Bytes(*node));
  return node;
}

void Workspace::Follow(const Schedule* schedule, const std::vector<void*>& outside) {
  // A program that took other steps than its plan is our bug, and its values would be somebody else's.
  if (schedule_ != nullptr && next_step_ != schedule_->steps().size()) std::abort();
  schedule_ = schedule;
  next_step_ = 0;
  outside_ = outside;
  kept_.assign(schedule == nullptr ? 0 : schedule->value_count(), nullptr);
}

Node* Workspace::Alias(Node* owner) {
  Node* node = BareNode(owner->shape, owner->bytes_per_sample, false);
  node->bytes_per_sample = owner->bytes_per_sample;
  node->data_offset = owner->data_offset;
  node->data_owner = owner;
  ++owner->handles;
  ++owner->data_uses;
  return node;
}

Node* Workspace::NewStep(const Shape& shape, int bytes_per_sample, bool scalar) {
  if (schedule_ == nullptr) return NewNode(shape, bytes_per_sample, scalar);
  const ScheduledStep& step = schedule_->steps().at(next_step_++);
  if (step.kept >= 0) {
    Node* node = BareNode(shape, bytes_per_sample, scalar);
    if (!outside_.empty()) node->outside = outside_[step.kept];
    node->known = !step.compute;
    return node;
  }
  if (step.compute) {
    Node* node = NewNode(shape, bytes_per_sample, scalar);
    if (!step.keep) return node;
    // Gradients belong to programs: what is kept is the data alone.
    kept_[step.value] = node;
    ++node->handles;
    ++node->data_uses;
    return Alias(node);
  }
  if (!step.reads_data) {
    Node* node = BareNode(shape, bytes_per_sample, scalar);
    node->known = true;
    return node;
  }
  Node* owner = kept_[step.value];
  Node* node = Alias(owner);
  node->known = true;
  if (!step.keep) {
    kept_[step.value] = nullptr;
    --owner->data_uses;
    --owner->handles;
  }
  return node;
}

std::int64_t Workspace::AllocateGradient(const Node& node) { return arena_.Allocate(Bytes(node)); }

void Workspace::ReleaseData(Node* node) {
  if (Node* owner = std::exchange(node->data_owner, nullptr)) {
    if (--owner->data_uses == 0) ReleaseData(owner);
    if (--owner->handles == 0) Release(owner);
  } else if (node->data_offset >= 0) {
    arena_.Free(node->data_offset);
  }
  node->data_offset = -1;
  node->outside = nullptr;
}

void Workspace::Release(Node* node) {
  if (node->gradient_offset >= 0) arena_.Free(node->gradient_offset);
  free_nodes_.push_back(node);
}

}  // namespace likeness
