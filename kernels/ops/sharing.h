// Steps that the programs of one pair have in common, so that each is computed once.
//
// Ops are pure: an equal op on equal inputs is the same value, to the last bit. A Survey watches the plans of all
// programs of a pair, step by step, and tells equal steps by their op, inputs and parameters. What it makes of that is
// a Schedule: for each step of all programs in order, whether to compute it or to take what an earlier step made. The
// real programs take the same steps in the same order, so they follow by counting and compare nothing.
//
// Data is shared, gradients are not: each program walks its own tape.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "kernels/ops/planes.h"

namespace likeness {

struct ScheduledStep {
  int value = -1;
  bool compute = true;
  bool reads_data = true;  // else the step's value is only a name for what others computed from it
  bool keep = false;       // a later step reads the data
  int kept = -1;           // which of Schedule::kept has the data, if any
};

// A value that outlives the programs, in memory of the caller's.
struct KeptStep {
  std::uint64_t identity;
  std::int64_t bytes;
};

// What becomes of a value of the reference alone that steps on the pair read.
enum class Keeping {
  kNot,   // computed with the rest
  kAdd,   // computed into memory that outlives the programs
  kHave,  // there already
};

class Schedule {
 public:
  const std::vector<ScheduledStep>& steps() const { return steps_; }
  int value_count() const { return value_count_; }
  const std::vector<KeptStep>& kept() const { return kept_; }

 private:
  friend class Survey;
  std::vector<ScheduledStep> steps_;
  int value_count_ = 0;
  std::vector<KeptStep> kept_;
};

// What a step is, so that equal steps have equal keys.
class StepKey {
 public:
  explicit StepKey(const char* op) : op_(op), bytes_(op) { bytes_.push_back('\0'); }

  const char* op() const { return op_; }
  const std::string& bytes() const { return bytes_; }  // inputs left out
  const std::vector<const Node*>& inputs() const { return inputs_; }
  bool comparable() const { return comparable_; }
  // Reads the reference image itself.
  bool loads_reference() const { return loads_reference_; }

  template <class Item>
  void Add(const std::vector<Item>& items) {
    AddBytes(items.size());
    for (const Item& item : items) Add(item);
  }
  // An input, a functor with its constants, a number, a rule. What cannot be compared by its bytes equals nothing.
  template <class Part>
  void Add(const Part& part) {
    if constexpr (std::is_base_of_v<DataHandle, Part>) {
      AddInput(part);
    } else if constexpr (requires { part.AddTo(*this); }) {
      part.AddTo(*this);
    } else {
      bytes_.append(typeid(Part).name()).push_back('\0');
      if constexpr (requires { IsReference(part); }) loads_reference_ = loads_reference_ || IsReference(part);
      if constexpr (!std::is_empty_v<Part>) {
        if constexpr (std::is_trivially_copyable_v<Part>) {
          AddBytes(part);
        } else {
          comparable_ = false;
        }
      }
    }
  }

 private:
  void AddInput(const DataHandle& input) { inputs_.push_back(input.slot().node()); }
  template <class Part>
  void AddBytes(Part part) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
    __builtin_clear_padding(&part);
#endif
    bytes_.append(reinterpret_cast<const char*>(&part), sizeof(part));
  }

  const char* op_;
  std::string bytes_;
  std::vector<const Node*> inputs_;
  bool comparable_ = true;
  bool loads_reference_ = false;
};

// One value that several programs make.
struct SharedStep {
  std::string op;
  Shape shape;
  std::vector<int> programs;  // in order
};

class Survey {
 public:
  // `keeps`: what it reads of the reference alone may be kept.
  void BeginProgram(bool keeps = false) {
    ++program_;
    program_keeps_ = keeps;
  }
  // The program's next step made `out`. A tracked step reads its inputs again on the way back.
  void Note(Node* out, const StepKey& key, bool tracked);
  // The program hands this to its caller.
  void NoteOutput(const DataHandle& output) { NoteRead(output.slot().node()); }

  Schedule MakeSchedule() const;
  // The same for programs on a reference that others will be scored against. `decide` is asked of each value that
  // depends on the reference alone and that a step on the pair reads in a program that keeps; its identity is the same
  // in every survey of this process. Values that only lead to those which are there already are not computed.
  Schedule MakeSchedule(const std::function<Keeping(std::uint64_t identity, std::int64_t bytes)>& decide) const;
  // Steps that more than one program takes and that at least one of them need not compute, in the order of computing.
  std::vector<SharedStep> Shared() const;

 private:
  struct Value {
    std::string op;
    Shape shape;
    std::vector<int> programs;     // of each occurrence
    std::vector<bool> reads_data;  // likewise
    std::vector<int> inputs;
    std::int64_t bytes = 0;
    std::uint64_t identity = 0;
    bool of_reference = false;  // and of nothing else
    bool read_with_pair = false;
    bool may_be_kept = false;
  };

  void NoteRead(const Node* node);
  Value MakeValue(const Node& out, const StepKey& key) const;

  int program_ = -1;
  bool program_keeps_ = false;
  std::map<std::string, int> value_of_key_;
  std::vector<Value> values_;
  std::vector<std::pair<int, int>> steps_;  // value and occurrence
};

}  // namespace likeness
