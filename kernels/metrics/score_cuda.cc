#include "kernels/metrics/score_cuda.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/check.h"
#include "kernels/metrics/slot_cuda.h"

namespace likeness::cuda {

PairScorer::PairScorer(std::unique_ptr<Slot> slot) : slot_(std::move(slot)) {}
PairScorer::~PairScorer() = default;

absl::StatusOr<std::unique_ptr<PairScorer>> PairScorer::Create(const Program& program, const Settings& settings,
                                                               const ImageView& reference, const ImageView& distorted,
                                                               bool want_map, bool want_gradient) {
  const SlotSizes sizes = SizesFor(program, settings, {reference, distorted, 1.0, want_map, want_gradient});
  auto slot = std::make_unique<Slot>();
  LIKENESS_CUDA_RETURN_IF_ERROR(Slot::Create(sizes, slot.get()));
  return std::unique_ptr<PairScorer>(new PairScorer(std::move(slot)));
}

absl::Status PairScorer::Score(const Program& program, const Settings& settings, const ImageView& reference,
                               const ImageView& distorted, double alpha_background, bool want_map, bool want_gradient,
                               MetricResult* result) {
  if (reference.width != distorted.width || reference.height != distorted.height) {
    return absl::InvalidArgumentError(absl::StrCat("reference is ", reference.width, "x", reference.height,
                                                   ", distorted is ", distorted.width, "x", distorted.height,
                                                   "; sizes must match"));
  }
  const ProgramInput input{reference, distorted, alpha_background, want_map, want_gradient};
  const SlotSizes needs = SizesFor(program, settings, input);
  const SlotSizes& has = slot_->sizes();
  if (needs.input_bytes > has.input_bytes || needs.output_bytes > has.output_bytes ||
      needs.workspace_bytes > has.workspace_bytes) {
    const auto text = [](const SlotSizes& s) {
      return absl::StrCat(s.input_bytes, " + ", s.output_bytes, " + ", s.workspace_bytes);
    };
    return absl::ResourceExhaustedError(absl::StrCat(
        "the pair needs ", text(needs), " bytes of input, output and workspace; the slot has ", text(has)));
  }
  PairResult scored;
  LIKENESS_CUDA_RETURN_IF_ERROR(slot_->Score(program, settings, input, &scored));
  result->score = scored.score;
  result->map = std::move(scored.map);
  result->gradient = std::move(scored.gradient);
  return absl::OkStatus();
}

}  // namespace likeness::cuda
