// What a fused walk is asked for: the part of walk.h that a metric's header needs. Standard library only.
#pragma once

#include <limits>
#include <variant>

#include "kernels/image_view.h"
#include "kernels/ops/border.h"

namespace likeness {

// e = distorted - reference; means are over all samples of all channels.
enum class PointwiseLoss {
  kMeanAbsolute,    // mean |e|
  kMeanSquare,      // mean e^2
  kRootMeanSquare,  // sqrt(mean e^2); the gradient is 0 for equal images
  kSumSquare,       // sum e^2
  kMeanSigned,      // mean e
  kPsnr,            // 10 log10(1 / (mean e^2 + parameter)), at most `cap`; infinite for equal images if parameter is 0
  kMaximum,         // max |e|; the gradient is shared evenly by all samples that reach it
  kHuber,           // mean of e^2 / 2 where |e| <= parameter, else parameter (|e| - parameter / 2)
  kSmoothL1,        // Huber(parameter) / parameter; mean |e| when parameter is 0
  kLogCosh,         // mean log cosh e
  kCharbonnier,     // mean sqrt(e^2 + parameter^2)
  kShiftedCharbonnier,  // mean (sqrt(e^2 + parameter^2) - parameter): 0 for equal images
  // CUDA's alone.
  kPinball,              // mean of parameter |e| where e < 0, else (1 - parameter) e
  kBarron,               // mean rho(e) of alpha = parameter and c = factor (kernels/metrics/robust)
  kPercentage,           // mean |e| / max(|r|, parameter)
  kSymmetricPercentage,  // mean of factor |e| / max(|r| + |d|, 1.17e-6)
  kSignedPercentage,     // mean of -factor e / max(|r|, parameter) with the sign of r
};

// The map is the term under the mean, sum or maximum, one a sample: |e| for kMaximum, e^2 for kRootMeanSquare and
// kPsnr.
struct PointwiseWalk {
  PointwiseLoss loss = PointwiseLoss::kMeanAbsolute;
  double parameter = 0.0;                                // not negative
  double cap = std::numeric_limits<double>::infinity();  // kPsnr only; the gradient is 0 where the cap holds
  double factor = 1.0;                                   // where the loss names it
};

// SSIM as Wang et al. define it: 11 Gaussian taps a side, each channel by itself, the mean over all windows and
// channels. Where windows lie inside the image (kValid), the map is (width - 10) x (height - 10) at offset (5, 5);
// where they reach beyond it, it has the image's size.
//
// Score, map and gradient are those of scale * SSIM + offset, so that (1 - SSIM) / 2 needs no second pass.
struct SsimWalk {
  double sigma = 1.5;  // of the Gaussian, in pixels
  double k1 = 0.01;    // both greater than 0: they keep the quotient finite
  double k2 = 0.03;
  double scale = 1.0;
  double offset = 0.0;
  Border border = Border::kValid;  // or kReflect101, or kZero
};

// MS-SSIM as piq has it (kernels/metrics/ms_ssim): the same windows at five scales. It has no map. Score and gradient
// are those of scale * MS-SSIM + offset.
struct MsSsimWalk {
  double sigma = 1.5;
  double k1 = 0.01;
  double k2 = 0.03;
  double scale = 1.0;
  double offset = 0.0;
};

// FLIP (kernels/metrics/flip). CUDA's alone. The map has one channel.
struct FlipWalk {
  double ppd = 67.02064327658226;  // pixels per degree, at most kFlipWalkMostPpd
};
// More of them make filters wider than the walk's: 10 pixels to each side, and 9 of features.
inline constexpr double kFlipWalkMostPpd = 73.0;

// SSIMULACRA 2 (kernels/metrics/ssimulacra2). CUDA's alone. The map has three channels.
struct Ssimulacra2Walk {};

// Focal frequency loss (kernels/metrics/ffl) of the whole image, its weight a constant for the gradient. CUDA's alone.
// The map is the spectrum.
struct FflWalk {
  double alpha = 1.0;
  bool log_matrix = false;
  double loss_weight = 1.0;
};

// GMSD (kernels/metrics/gmsd) in its conventions piq and pyiqa. CUDA's alone. The map has one channel, at half size.
struct GmsdWalk {
  bool pyiqa = false;
};

// Laplacian pyramid loss (kernels/metrics/laploss). CUDA's alone. The map has the image's size and channels.
struct LapLossWalk {
  bool enlarged = true;  // bands count as when enlarged to the image's size; else each by its own mean, without a map
  bool residual = true;
};

struct WalkRequest {
  std::variant<PointwiseWalk, SsimWalk, MsSsimWalk, FlipWalk, Ssimulacra2Walk, FflWalk, GmsdWalk, LapLossWalk> walk;
  bool want_map = false;
  bool want_gradient = false;

  // Filled by RunWalks. Tensors are in the layout of the distorted image; one that already has the right shape is
  // written over, else it is allocated anew.
  double score = 0.0;
  Tensor map;
  // d score / d distorted, distorted on the [0, 1] scale.
  Tensor gradient;
};

// Whether a walk makes a map; where it does not, it must not be asked for one.
inline bool HasMap(const decltype(WalkRequest::walk)& walk) {
  const auto* laploss = std::get_if<LapLossWalk>(&walk);
  return laploss != nullptr ? laploss->enlarged : !std::holds_alternative<MsSsimWalk>(walk);
}

}  // namespace likeness
