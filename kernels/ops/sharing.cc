#include "kernels/ops/sharing.h"

namespace likeness {

void Survey::NoteRead(const Node* node) {
  if (node->value >= 0) values_[node->value].reads_data[node->occurrence] = true;
}

void Survey::Note(Node* out, const StepKey& key, bool tracked) {
  int value = static_cast<int>(values_.size());
  if (key.comparable()) value = value_of_key_.emplace(key.bytes(), value).first->second;
  const bool first = value == static_cast<int>(values_.size());
  if (first) values_.push_back({key.op(), out->shape, {}, {}});
  Value& made = values_[value];
  out->value = value;
  out->occurrence = static_cast<int>(made.programs.size());
  made.programs.push_back(program_);
  made.reads_data.push_back(first || tracked);
  steps_.emplace_back(value, out->occurrence);
  if (!first && !tracked) return;
  for (const Node* input : key.inputs()) NoteRead(input);
}

Schedule Survey::MakeSchedule() const {
  Schedule schedule;
  schedule.value_count_ = static_cast<int>(values_.size());
  for (const auto& [value, occurrence] : steps_) {
    const std::vector<bool>& reads = values_[value].reads_data;
    ScheduledStep step;
    step.value = value;
    step.compute = occurrence == 0;
    step.reads_data = reads[occurrence];
    for (std::size_t later = occurrence + 1; later < reads.size(); ++later) step.keep = step.keep || reads[later];
    schedule.steps_.push_back(step);
  }
  return schedule;
}

std::vector<SharedStep> Survey::Shared() const {
  std::vector<SharedStep> shared;
  for (const Value& value : values_) {
    SharedStep step{value.op, value.shape, {}};
    for (const int program : value.programs) {
      if (step.programs.empty() || step.programs.back() != program) step.programs.push_back(program);
    }
    if (step.programs.size() > 1) shared.push_back(std::move(step));
  }
  return shared;
}

}  // namespace likeness
