// Every metric of this build, and its program for each instruction set.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/metrics/program.h"

namespace likeness {

// In the order of metrics.def.
absl::Span<const MetricEntry* const> MetricEntries();

// The programs for one instruction set, in the same order; empty when this build has none of that name.
// "oracle" computes in double.
absl::Span<const ProgramRun> ProgramsFor(absl::string_view instruction_set);

// Names of the instruction sets in this build that this processor can run, best first, without "oracle".
std::vector<std::string> RunnableInstructionSets();

}  // namespace likeness
