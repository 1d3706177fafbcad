#include "kernels/metrics/registry.h"

#include "hwy/targets.h"

namespace likeness {

namespace plan {
#define METRIC(id, Type, folder) extern const MetricEntry k##Type;
#include "kernels/metrics/metrics.def"
#undef METRIC
}  // namespace plan

#define LIKENESS_DECLARE_PROGRAMS(target)  \
  namespace target {                       \
  absl::Span<const ProgramRun> Programs(); \
  }
LIKENESS_DECLARE_PROGRAMS(oracle)
// One for each of CMake's LIKENESS_INSTRUCTION_SETS.
#if defined(LIKENESS_HAS_AVX3)
LIKENESS_DECLARE_PROGRAMS(avx3)
#endif
#if defined(LIKENESS_HAS_AVX2)
LIKENESS_DECLARE_PROGRAMS(avx2)
#endif
#if defined(LIKENESS_HAS_SSE4)
LIKENESS_DECLARE_PROGRAMS(sse4)
#endif
#if defined(LIKENESS_HAS_NATIVE)
LIKENESS_DECLARE_PROGRAMS(native)
#endif

namespace {

struct InstructionSet {
  const char* name;
  bool runnable;
  absl::Span<const ProgramRun> (*programs)();
};

// Best first, the oracle last.
absl::Span<const InstructionSet> InstructionSets() {
  [[maybe_unused]] const auto has = [](std::int64_t target) { return (hwy::SupportedTargets() & target) != 0; };
  static const InstructionSet kSets[] = {
#if defined(LIKENESS_HAS_AVX3)
    {"avx3", has(HWY_AVX3), &avx3::Programs},
#endif
#if defined(LIKENESS_HAS_AVX2)
    {"avx2", has(HWY_AVX2), &avx2::Programs},
#endif
#if defined(LIKENESS_HAS_SSE4)
    {"sse4", has(HWY_SSE4), &sse4::Programs},
#endif
#if defined(LIKENESS_HAS_NATIVE)
    {"native", true, &native::Programs},
#endif
    {"oracle", true, &oracle::Programs}
  };
  return kSets;
}

}  // namespace

absl::Span<const MetricEntry* const> MetricEntries() {
  static const MetricEntry* const kEntries[] = {
#define METRIC(id, Type, folder) &plan::k##Type,
#include "kernels/metrics/metrics.def"
#undef METRIC
  };
  return kEntries;
}

absl::Span<const ProgramRun> ProgramsFor(absl::string_view instruction_set) {
  for (const InstructionSet& set : InstructionSets()) {
    if (set.name == instruction_set && set.runnable) return set.programs();
  }
  return {};
}

std::vector<std::string> RunnableInstructionSets() {
  std::vector<std::string> names;
  for (const InstructionSet& set : InstructionSets()) {
    if (set.runnable && set.name != absl::string_view("oracle")) names.emplace_back(set.name);
  }
  return names;
}

}  // namespace likeness
