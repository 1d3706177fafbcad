#include "kernels/walks/ffl_cuda.h"
#include "kernels/walks/flip_cuda.h"
#include "kernels/walks/gmsd_cuda.h"
#include "kernels/walks/ms_ssim_cuda.h"
#include "kernels/walks/pointwise_cuda.h"
#include "kernels/walks/ssim_cuda.h"
#include "kernels/walks/ssimulacra2_cuda.h"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

void NoteWalks(Cuda& device, const ImageView& reference, const ImageView& distorted, std::span<const WalkTask> walks,
               std::byte* workspace) {
  const PairSamples pair(reference, distorted);
  const bool same_bytes = reference.type == PixelType::kUint8 && distorted.type == PixelType::kUint8 &&
                          reference.value_of_one == distorted.value_of_one;
  std::vector<PointwiseTask> pointwise;
  for (const auto& [walk, to] : walks) {
    if (const auto* ssim = std::get_if<SsimWalk>(&walk)) {
      NoteSsim(device, pair, distorted, *ssim, to);
    } else if (const auto* ms_ssim = std::get_if<MsSsimWalk>(&walk)) {
      NoteMsSsim(device, pair, distorted, *ms_ssim, to, workspace);
    } else if (const auto* flip = std::get_if<FlipWalk>(&walk)) {
      NoteFlip(device, pair, distorted, *flip, to, workspace);
    } else if (std::holds_alternative<Ssimulacra2Walk>(walk)) {
      NoteSsimulacra2(device, pair, distorted, to, workspace);
    } else if (const auto* ffl = std::get_if<FflWalk>(&walk)) {
      NoteFfl(device, pair, distorted, *ffl, to, workspace);
    } else if (const auto* gmsd = std::get_if<GmsdWalk>(&walk)) {
      NoteGmsd(device, reference, distorted, *gmsd, to, workspace);
    } else {
      pointwise.push_back({std::get<PointwiseWalk>(walk), to});
    }
  }
  NotePointwise(device, pair, same_bytes, distorted.value_of_one, pointwise);
}

ProgramNeeds PlanWalk(const Walk& walk, const ImageView& distorted, bool want_map, bool want_gradient) {
  ProgramNeeds needs;
  if (std::holds_alternative<MsSsimWalk>(walk)) {
    needs.workspace_bytes = MsSsimWorkspaceBytes(distorted, want_gradient);
    return needs;
  }
  if (const auto* gmsd = std::get_if<GmsdWalk>(&walk)) {
    needs.workspace_bytes = GmsdWorkspaceBytes(distorted, *gmsd);
    if (want_map) needs.map = GmsdShape(distorted, *gmsd);
    return needs;
  }
  const bool flip = std::holds_alternative<FlipWalk>(walk), ssimulacra2 = std::holds_alternative<Ssimulacra2Walk>(walk);
  if (ssimulacra2) needs.workspace_bytes = Ssimulacra2WorkspaceBytes(distorted, want_gradient);
  if (std::holds_alternative<FflWalk>(walk)) needs.workspace_bytes = FflWorkspaceBytes(distorted);
  if (flip && want_gradient) needs.workspace_bytes = FlipGradientBytes(distorted);
  if (!want_map) return needs;
  const int span = std::holds_alternative<SsimWalk>(walk) ? 10 : 0;
  needs.map = {distorted.width - span, distorted.height - span, flip ? 1 : ssimulacra2 ? 3 : distorted.channels};
  needs.map_offset = span / 2;
  return needs;
}

LIKENESS_END_TARGET
