#include "kernels/ops/planes.h"

namespace likeness {

std::int64_t Workspace::Bytes(const Node& node) const {
  const Shape& shape = node.shape;
  // One vector beyond the last row, so that a kernel may always load whole vectors.
  return RowStride(shape.width) * shape.height * std::int64_t{shape.channels} * node.bytes_per_sample +
         Arena::kAlignment;
}

Node* Workspace::NewNode(const Shape& shape, int bytes_per_sample, bool scalar) {
  if (free_nodes_.empty()) free_nodes_.push_back(&nodes_.emplace_back());
  Node* node = free_nodes_.back();
  free_nodes_.pop_back();
  *node = Node{};
  node->shape = shape;
  node->bytes_per_sample = scalar ? static_cast<int>(sizeof(double)) : bytes_per_sample;
  node->data_offset = arena_.Allocate(Bytes(*node));
  return node;
}

std::int64_t Workspace::AllocateGradient(const Node& node) { return arena_.Allocate(Bytes(node)); }

void Workspace::ReleaseData(Node* node) {
  arena_.Free(node->data_offset);
  node->data_offset = -1;
}

void Workspace::Release(Node* node) {
  if (node->gradient_offset >= 0) arena_.Free(node->gradient_offset);
  free_nodes_.push_back(node);
}

}  // namespace likeness
