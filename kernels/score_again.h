// Scored jobs whose metrics are not done: some are scored once more, in one call for all jobs. The scorer's own.
#pragma once

#include "absl/types/span.h"
#include "kernels/scorer.h"

namespace likeness {

// Computes exactly what left the range of 16 bits. What is exact cannot come back here.
void ScoreAnew(const Scorer& scorer, absl::Span<PairJob* const> jobs);

// By their programs, the maps of metrics whose walks make none.
void AddMaps(const Scorer& scorer, absl::Span<PairJob* const> jobs);

}  // namespace likeness
