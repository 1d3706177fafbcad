// One-line scoring for tests: a failure to score fails the test with its message.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/scorer.h"
#include "tests/support/pairs.h"

namespace likeness::testing {

// "oracle" and every instruction set that this processor runs; CI's log shows which.
std::vector<std::string> AllInstructionSets();

// A Scorer for an instruction set, made once. Fused walks off: every metric runs its program.
const Scorer& ScorerFor(const std::string& instruction_set, bool fused_walks = true, int threads = 1);

MetricResult ScoreOne(const Scorer& scorer, const MetricRequest& request, const ImageView& reference,
                      const ImageView& distorted);
MetricRequest Request(const std::string& id, const Parameters& parameters = {}, bool map = false,
                      bool gradient = false);

double Sum(const Tensor& tensor);
double SumAbs(const Tensor& tensor);
// Sample of channel c at (x, y), whatever the layout.
double At(const Tensor& tensor, int x, int y, int c);

}  // namespace likeness::testing
