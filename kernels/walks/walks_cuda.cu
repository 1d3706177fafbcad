#include "kernels/walks/ffl_cuda.h"
#include "kernels/walks/flip_cuda.h"
#include "kernels/walks/gmsd_cuda.h"
#include "kernels/walks/laploss_cuda.h"
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
      NoteSsim(device, pair, distorted, *ssim, to, workspace);
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
    } else if (const auto* laploss = std::get_if<LapLossWalk>(&walk)) {
      NoteLapLoss(device, pair, distorted, *laploss, to, workspace);
    } else {
      pointwise.push_back({std::get<PointwiseWalk>(walk), to});
    }
  }
  NotePointwise(device, pair, same_bytes, distorted.value_of_one, pointwise);
}

ProgramNeeds PlanWalk(const Walk& walk, const ImageView& reference, const ImageView& distorted, bool want_map,
                      bool want_gradient) {
  ProgramNeeds needs;
  const std::int64_t pair_bytes = reference.size_bytes() + distorted.size_bytes();
  Shape map{distorted.width, distorted.height, distorted.channels};
  if (const auto* pointwise = std::get_if<PointwiseWalk>(&walk)) {
    needs.moved_bytes = PointwiseReadBytes(*pointwise, pair_bytes, want_gradient);
  } else if (const auto* ssim = std::get_if<SsimWalk>(&walk)) {
    needs.workspace_bytes = SsimWorkspaceBytes(distorted, *ssim, want_gradient);
    needs.moved_bytes = pair_bytes + 2 * needs.workspace_bytes;
    if (ssim->border == Border::kValid) {
      map.width -= 10;
      map.height -= 10;
      needs.map_offset = want_map ? 5 : 0;
    }
  } else if (std::holds_alternative<MsSsimWalk>(walk)) {
    needs.moved_bytes = MsSsimMovedBytes(distorted, pair_bytes, want_gradient);
    needs.workspace_bytes = MsSsimWorkspaceBytes(distorted, want_gradient);
    map = {};
  } else if (std::holds_alternative<FlipWalk>(walk)) {
    needs.moved_bytes = FlipMovedBytes(distorted, pair_bytes, want_gradient);
    if (want_gradient) needs.workspace_bytes = FlipGradientBytes(distorted);
    map.channels = 1;
  } else if (const auto* gmsd = std::get_if<GmsdWalk>(&walk)) {
    needs.moved_bytes = GmsdReadBytes(pair_bytes, want_gradient);
    needs.workspace_bytes = GmsdWorkspaceBytes(distorted, *gmsd);
    map = GmsdShape(distorted, *gmsd);
  } else if (std::holds_alternative<LapLossWalk>(walk)) {
    needs.moved_bytes = LapLossMovedBytes(distorted, pair_bytes, want_map, want_gradient);
    needs.workspace_bytes = LapLossWorkspaceBytes(distorted, want_map, want_gradient);
  } else if (std::holds_alternative<FflWalk>(walk)) {
    needs.moved_bytes = FflMovedBytes(distorted, pair_bytes, want_map, want_gradient);
    needs.workspace_bytes = FflWorkspaceBytes(distorted);
  } else {
    needs.moved_bytes = Ssimulacra2MovedBytes(distorted, pair_bytes, want_gradient);
    needs.workspace_bytes = Ssimulacra2WorkspaceBytes(distorted, want_gradient);
    map.channels = 3;
  }
  if (want_map) needs.map = map;
  const std::int64_t gradient_samples = want_gradient ? distorted.pixel_count() * distorted.channels : 0;
  needs.moved_bytes += (needs.map.count() + gradient_samples) * std::int64_t{sizeof(float)};
  return needs;
}

LIKENESS_END_TARGET
