// The programs of one target, in the order of metrics.def.
#include "absl/types/span.h"
#include "kernels/base/target.h"
#include "kernels/metrics/program.h"

namespace likeness::LIKENESS_TARGET {

#define METRIC(id, Type, folder) extern const ProgramRun k##Type;
#include "kernels/metrics/metrics.def"
#undef METRIC

absl::Span<const ProgramRun> Programs() {
  static const ProgramRun kPrograms[] = {
#define METRIC(id, Type, folder) k##Type,
#include "kernels/metrics/metrics.def"
#undef METRIC
  };
  return kPrograms;
}

}  // namespace likeness::LIKENESS_TARGET
