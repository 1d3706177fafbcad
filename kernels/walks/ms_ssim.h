// MS-SSIM's walk on the CPU: that of SSIM over each of five scales, each made of the one before. Run by walk.cc.
#pragma once

#include "kernels/walks/tile.h"

namespace likeness::walks {

std::int64_t MsSsimWorkspaceBytes(const ImageView& distorted, bool want_gradient);

// `workspace`: as many bytes, at a multiple of 64.
void RunMsSsim(const WalkTable& table, const ImageView& reference, const ImageView& distorted, std::byte* workspace,
               WalkRequest* request);

}  // namespace likeness::walks
