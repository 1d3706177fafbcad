// Fused walks: metrics whose whole computation is one pass over the pixels.
//
// A walk is an optimisation of a metric's program and is tested against the same definitions. All walks of one call read
// the images once: the driver cuts the images in tiles, by shape only, converts each row of a tile to float once and
// hands it to every walk. A walk never knows who rides along, so its score, map and gradient have the same bits alone, in
// company, and on any number of threads, and its score does not depend on which outputs are asked for.
//
// Values are sample / value_of_one in float32. Scores are sums of float32 terms, gathered in double in a fixed order.
// Where both images are uint8 on the same scale, the mean, square, sign and maximum of the error are sums of integers,
// and exact.
#pragma once

#include <limits>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/image.h"

namespace likeness {

// e = distorted - reference; means are over all samples of all channels.
enum class PointwiseLoss {
  kMeanAbsolute,        // mean |e|
  kMeanSquare,          // mean e^2
  kRootMeanSquare,      // sqrt(mean e^2); the gradient is 0 for equal images
  kSumSquare,           // sum e^2
  kMeanSigned,          // mean e
  kPsnr,                // 10 log10(1 / (mean e^2 + parameter)), at most `cap`; infinite for equal images if parameter is 0
  kMaximum,             // max |e|; the gradient is shared evenly by all samples that reach it
  kHuber,               // mean of e^2 / 2 where |e| <= parameter, else parameter (|e| - parameter / 2)
  kSmoothL1,            // Huber(parameter) / parameter; mean |e| when parameter is 0
  kLogCosh,             // mean log cosh e
  kCharbonnier,         // mean sqrt(e^2 + parameter^2)
  kShiftedCharbonnier,  // mean (sqrt(e^2 + parameter^2) - parameter): 0 for equal images
};

// The map is the term under the mean, sum or maximum, one a sample: |e| for kMaximum, e^2 for kRootMeanSquare and kPsnr.
struct PointwiseWalk {
  PointwiseLoss loss = PointwiseLoss::kMeanAbsolute;
  double parameter = 0.0;  // not negative
  double cap = std::numeric_limits<double>::infinity();  // kPsnr only; the gradient is 0 where the cap holds
};

// SSIM as Wang et al. define it: 11 Gaussian taps a side, windows that lie inside the image only, each channel by itself,
// the mean over all windows and channels. The map is (width - 10) x (height - 10) at offset (5, 5).
//
// Score, map and gradient are those of scale * SSIM + offset, so that (1 - SSIM) / 2 needs no second pass.
struct SsimWalk {
  double sigma = 1.5;  // of the Gaussian, in pixels
  double k1 = 0.01;    // both greater than 0: they keep the quotient finite
  double k2 = 0.03;
  double scale = 1.0;
  double offset = 0.0;
};

struct WalkRequest {
  std::variant<PointwiseWalk, SsimWalk> walk;
  bool want_map = false;
  bool want_gradient = false;

  // Filled by RunWalks. Tensors are in the layout of the distorted image; one that already has the right shape is
  // written over, else it is allocated anew.
  double score = 0.0;
  Tensor map;
  // d score / d distorted, distorted on the [0, 1] scale.
  Tensor gradient;
};

// The walks compiled for one instruction set.
struct WalkTable;

// "sse4", "avx2" or "avx3"; "native" where the processor is not an x86. nullptr: not compiled in, or this processor
// lacks it. The table lives for ever.
const WalkTable* GetWalkTable(absl::string_view instruction_set);

// Those for which GetWalkTable has an answer on this processor, slowest first.
std::vector<absl::string_view> WalkInstructionSets();

// Whether RunWalks takes this request for images of this shape, by metric, parameters and shape only: same size, the same
// number of channels, no alpha, at least 11x11 for SSIM, parameters in their ranges. The message says what does not fit.
absl::Status CheckWalk(const WalkRequest& request, const ImageView& reference, const ImageView& distorted);

// Fills every request. Each must have passed CheckWalk. Float samples must be finite. Thread safe; the tiles go over the
// threads of the ThreadPool that the caller runs on.
void RunWalks(const WalkTable& table, const ImageView& reference, const ImageView& distorted,
              absl::Span<WalkRequest* const> requests);

}  // namespace likeness
