#include "kernels/ops/sharing.h"

#include <algorithm>
#include <utility>

namespace likeness {

void Survey::NoteRead(const Node* node) {
  if (node->value >= 0) values_[node->value].reads_data[node->occurrence] = true;
}

Survey::Value Survey::MakeValue(const Node& out, const StepKey& key) const {
  Value value;
  value.op = key.op();
  value.shape = out.shape;
  value.bytes = Workspace::Bytes(out);
  value.identity = std::hash<std::string>()(key.bytes());
  value.of_reference = key.comparable() && (key.loads_reference() || !key.inputs().empty());
  for (const Node* input : key.inputs()) {
    value.inputs.push_back(input->value);
    if (input->value < 0) {
      value.of_reference = false;
      continue;
    }
    const Value& from = values_[input->value];
    value.of_reference = value.of_reference && from.of_reference;
    // As FNV-1a mixes bytes.
    value.identity = (value.identity ^ from.identity) * 0x100000001b3u;
  }
  return value;
}

void Survey::Note(Node* out, const StepKey& key, bool tracked) {
  int value = static_cast<int>(values_.size());
  // What came of a step that the survey was not told of has no name.
  if (key.comparable() &&
      std::all_of(key.inputs().begin(), key.inputs().end(), [](const Node* input) { return input->value >= 0; })) {
    std::string bytes = key.bytes();
    for (const Node* input : key.inputs()) {
      bytes.append(reinterpret_cast<const char*>(&input->value), sizeof(input->value));
    }
    value = value_of_key_.emplace(std::move(bytes), value).first->second;
  }
  const bool first = value == static_cast<int>(values_.size());
  if (first) {
    values_.push_back(MakeValue(*out, key));
    if (!values_.back().of_reference) {
      for (const int input : values_.back().inputs) {
        if (input < 0) continue;
        values_[input].read_with_pair = true;
        values_[input].may_be_kept = values_[input].may_be_kept || program_keeps_;
      }
    }
  }
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
  return MakeSchedule([](std::uint64_t, std::int64_t) { return Keeping::kNot; });
}

Schedule Survey::MakeSchedule(const std::function<Keeping(std::uint64_t, std::int64_t)>& decide) const {
  Schedule schedule;
  schedule.value_count_ = static_cast<int>(values_.size());
  std::vector<int> kept(values_.size(), -1);
  std::vector<bool> needed(values_.size(), true);
  for (std::size_t value = 0; value < values_.size(); ++value) {
    needed[value] = !values_[value].of_reference || values_[value].read_with_pair;
  }
  // Readers come behind what they read.
  for (std::size_t value = values_.size(); value-- > 0;) {
    const Value& made = values_[value];
    if (made.of_reference && made.read_with_pair) {
      const Keeping keeping = made.may_be_kept ? decide(made.identity, made.bytes) : Keeping::kNot;
      if (keeping != Keeping::kNot) {
        kept[value] = static_cast<int>(schedule.kept_.size());
        schedule.kept_.push_back({made.identity, made.bytes});
      }
      needed[value] = keeping != Keeping::kHave;
    }
    if (!needed[value]) continue;
    for (const int input : made.inputs) {
      if (input >= 0) needed[input] = true;
    }
  }
  for (const auto& [value, occurrence] : steps_) {
    const std::vector<bool>& reads = values_[value].reads_data;
    ScheduledStep step;
    step.value = value;
    step.kept = kept[value];
    step.compute = occurrence == 0 && needed[value];
    step.reads_data = reads[occurrence] && (needed[value] || step.kept >= 0);
    for (std::size_t later = occurrence + 1; step.reads_data && later < reads.size(); ++later) {
      step.keep = step.keep || reads[later];
    }
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
