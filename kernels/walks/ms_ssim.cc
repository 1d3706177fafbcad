// The largest scale are the images as they came; the others are planes of floats.
//
// A gradient by each scale's means comes with them; once the score is known, each scale's is weighed and spread over
// the next finer one, from the coarsest on.
#include "kernels/walks/ms_ssim.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "kernels/base/parallel.h"
#include "kernels/metrics/ms_ssim/ms_ssim_score.h"

namespace likeness::walks {
namespace {

constexpr int kScales = kMsSsimScales;
constexpr std::int64_t kAlignment = 64;

// From scale s to scale s + 1.
std::vector<ScaleStep> StepsOf(const ImageView& image) {
  std::vector<ScaleStep> steps;
  MsSsimSize size{image.width, image.height};
  for (int s = 0; s + 1 < kScales; ++s) {
    const MsSsimSize coarser = size.Coarser();
    steps.push_back({image.channels, size.width, size.height, coarser.width, coarser.height, size.before()});
    size = coarser;
  }
  return steps;
}

// What lies where: scales 1 to 4 of both images and of the gradient.
struct Workplace {
  float* reference[kScales] = {};
  float* distorted[kScales] = {};
  float* gradient[kScales] = {};
  std::int64_t bytes = 0;

  Workplace(const std::vector<ScaleStep>& steps, bool want_gradient, std::byte* base) {
    for (int s = 1; s < kScales; ++s) {
      const ScaleStep& step = steps[static_cast<std::size_t>(s - 1)];
      const std::int64_t size = std::int64_t{step.channels} * step.coarser_height * step.coarser_width *
                                static_cast<std::int64_t>(sizeof(float));
      const auto take = [&] {
        auto* const at = base == nullptr ? nullptr : reinterpret_cast<float*>(base + bytes);
        bytes += (size + kAlignment - 1) / kAlignment * kAlignment;
        return at;
      };
      reference[s] = take();
      distorted[s] = take();
      if (want_gradient) gradient[s] = take();
    }
  }
};

ImageView PlanesOf(const ScaleStep& step, const float* coarser) {
  ImageView view;
  view.data = coarser;
  view.width = step.coarser_width;
  view.height = step.coarser_height;
  view.channels = step.channels;
  view.type = PixelType::kFloat32;
  view.value_of_one = 1.0;
  view.layout = Layout::kChw;
  view.row_bytes = std::int64_t{view.width} * static_cast<std::int64_t>(sizeof(float));
  return view;
}

ImageView Pool(const WalkTable& table, const ImageView& finer, const ScaleStep& step, float* coarser) {
  const Geometry geometry = GeometryOf(finer);
  ParallelFor(step.coarser_height, std::int64_t{4} * step.coarser_width * step.channels,
              [&](int begin, int end) { table.pool_rows(finer, geometry, step, begin, end, coarser); });
  return PlanesOf(step, coarser);
}

// The mean of S over the windows of each channel, and how it changes with the samples.
void RunSsimByChannel(const WalkTable& table, const ImageView& reference, const ImageView& distorted,
                      const SsimWalk& walk, float* gradient, double (&means)[3]) {
  TileJob job;
  job.reference = &reference;
  job.distorted = &distorted;
  job.geometry = GeometryOf(distorted);
  const int channels = distorted.channels, tile_count = job.geometry.tile_count();
  PreparedWalk prepared;
  Prepare(walk, job.geometry, &prepared);
  prepared.gradient = gradient;
  prepared.gradient_scale *= static_cast<float>(channels);
  job.walks = absl::MakeConstSpan(&prepared, 1);
  job.ssim_count = 1;
  job.has_ssim_gradient = gradient != nullptr;
  std::vector<double> sums(3 * static_cast<std::size_t>(tile_count));
  std::vector<double> partials(static_cast<std::size_t>(tile_count));
  job.channel_sums = sums.data();
  RunSsimTiles(table, job, absl::MakeSpan(partials));
  for (int c = 0; c < channels; ++c) {
    double sum = 0.0;
    for (int tile = 0; tile < tile_count; ++tile) sum += sums[3 * static_cast<std::size_t>(tile) + c];
    means[c] = sum / (static_cast<double>(job.geometry.map_sample_count()) / channels);
  }
}

void SpreadGradient(const WalkTable& table, const std::vector<ScaleStep>& steps, const MsSsimMeans& slopes,
                    bool interleaved, float* const (&gradients)[kScales]) {
  for (int s = kScales - 2; s >= 0; --s) {
    const ScaleStep& step = steps[static_cast<std::size_t>(s)];
    ScaleSlopes both;
    for (int c = 0; c < 3; ++c) {
      both.finer[c] = static_cast<float>(slopes.of[s][c]);
      // The others have been weighed.
      both.coarser[c] = s + 2 == kScales ? static_cast<float>(slopes.of[s + 1][c]) : 1.0f;
    }
    ParallelFor(step.finer_height, std::int64_t{2} * step.finer_width * step.channels, [&](int begin, int end) {
      table.spread_rows(step, gradients[s + 1], both, s == 0 && interleaved, begin, end, gradients[s]);
    });
  }
}

}  // namespace

std::int64_t MsSsimWorkspaceBytes(const ImageView& distorted, bool want_gradient) {
  return Workplace(StepsOf(distorted), want_gradient, nullptr).bytes;
}

void RunMsSsim(const WalkTable& table, const ImageView& reference, const ImageView& distorted, std::byte* workspace,
               WalkRequest* request) {
  const auto& walk = std::get<MsSsimWalk>(request->walk);
  const std::vector<ScaleStep> steps = StepsOf(distorted);
  const Workplace at(steps, request->want_gradient, workspace);
  float* gradients[kScales];
  std::copy(std::begin(at.gradient), std::end(at.gradient), gradients);
  request->map = Tensor();
  if (request->want_gradient) {
    gradients[0] = ShapeLike(distorted, distorted.width, distorted.height, 0, &request->gradient);
  } else {
    request->gradient = Tensor();
  }
  ImageView r = reference, d = distorted;
  MsSsimMeans means{}, slopes{};
  for (int s = 0; s < kScales; ++s) {
    if (s > 0) {
      const ScaleStep& step = steps[static_cast<std::size_t>(s - 1)];
      r = Pool(table, r, step, at.reference[s]);
      d = Pool(table, d, step, at.distorted[s]);
    }
    const SsimWalk ssim{walk.sigma, s + 1 < kScales ? kNoLuminanceK1 : walk.k1, walk.k2};
    RunSsimByChannel(table, r, d, ssim, gradients[s], means.of[s]);
  }
  request->score = MsSsimScore(means, distorted.channels, walk.scale, walk.offset, &slopes);
  if (!request->want_gradient) return;
  SpreadGradient(table, steps, slopes, distorted.layout == Layout::kHwc, gradients);
}

}  // namespace likeness::walks
