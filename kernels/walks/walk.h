// Fused walks: metrics whose whole computation is one pass over the pixels, or, of MS-SSIM, one over each scale.
//
// A walk is an optimisation of a metric's program and is tested against the same definitions. All walks of one call
// that see the same beyond the image read it once, but for MS-SSIM: the driver cuts the images in tiles, by shape only,
// converts each row of a tile to float once and hands it to every walk. A walk never knows who rides along, so its
// score, map and gradient have the same bits alone, in company, and on any number of threads, and its score does not
// depend on which outputs are asked for.
//
// Values are sample / value_of_one in float32. Scores are sums of float32 terms, gathered in double in a fixed order.
// Where both images are uint8 on the same scale, the mean, square, sign and maximum of the error are sums of integers,
// and exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/image.h"
#include "kernels/walks/walk_request.h"

namespace likeness {

// The walks compiled for one instruction set.
struct WalkTable;

// "sse4", "avx2" or "avx3"; "native" where the processor is not an x86. nullptr: not compiled in, or this processor
// lacks it. The table lives for ever.
const WalkTable* GetWalkTable(absl::string_view instruction_set);

// Those for which GetWalkTable has an answer on this processor, slowest first.
std::vector<absl::string_view> WalkInstructionSets();

// Whether a walk takes this request for images of this shape, by metric, parameters and shape only: same size, the
// same number of channels, no alpha, at least 11x11 for SSIM, 161x161 for MS-SSIM, 8x8 for SSIMULACRA 2, 2x2 for GMSD
// and 32x32 for the Laplacian pyramid, parameters in their ranges, which for FLIP are those of filters that fit. The
// message says what does not.
absl::Status CheckWalk(const WalkRequest& request, const ImageView& reference, const ImageView& distorted);

// Whether RunWalks has this walk at all; kernels/walks/walks_cuda.h has every one.
bool RunsOnCpu(const WalkRequest& request);

// Memory that RunWalks takes for a request. Most take none: they keep a few rows of each tile, whatever the size. What
// is kept of a mirrored border's gradient, a few rows and columns, is not counted.
std::int64_t WalkWorkspaceBytes(const WalkRequest& request, const ImageView& distorted);

// Fills every request. Each must have passed CheckWalk and RunsOnCpu. Float samples must be finite. `workspace` has as
// many bytes as the request that wants most, at a multiple of 64. Thread safe; the tiles go over the threads of the
// ThreadPool that the caller runs on.
void RunWalks(const WalkTable& table, const ImageView& reference, const ImageView& distorted,
              absl::Span<WalkRequest* const> requests, std::byte* workspace = nullptr);

}  // namespace likeness
