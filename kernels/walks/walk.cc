#include "kernels/walks/walk.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/parallel.h"
#include "kernels/walks/ms_ssim.h"
#include "kernels/walks/pointwise_score.h"
#include "kernels/walks/ssim_border.h"
#include "kernels/walks/tile.h"

namespace likeness {
namespace walks {

Tile TileAt(const Geometry& geometry, int index) {
  const int block = index % geometry.block_count;
  const int band = index / geometry.block_count % geometry.band_count;
  Tile tile;
  tile.plane = index / geometry.block_count / geometry.band_count;
  tile.y_begin = band * geometry.band_rows;
  tile.y_end = std::min(tile.y_begin + geometry.band_rows, geometry.rows);
  tile.x_begin = block * kBlockSamples;
  tile.x_end = std::min(tile.x_begin + kBlockSamples, geometry.row_samples);
  return tile;
}

TileScratch& ThreadScratch(int ssim_count) {
  struct Owner {
    TileScratch tile;
    std::unique_ptr<SsimScratch[]> ssim;
    int ssim_count = 0;
  };
  static thread_local Owner owner;
  if (owner.ssim_count < ssim_count) {
    owner.ssim.reset(new SsimScratch[static_cast<std::size_t>(ssim_count)]);
    owner.ssim_count = ssim_count;
  }
  owner.tile.ssim = absl::MakeSpan(owner.ssim.get(), static_cast<std::size_t>(owner.ssim_count));
  return owner.tile;
}

Geometry GeometryOf(const ImageView& image, Border border) {
  Geometry geometry;
  geometry.border = border;
  const bool planar = image.layout == Layout::kChw && image.channels > 1;
  geometry.planes = planar ? image.channels : 1;
  geometry.tap_distance = planar ? 1 : image.channels;
  geometry.rows = image.height + 2 * geometry.border_rows();
  geometry.row_samples = image.width * geometry.tap_distance + 2 * geometry.border_samples();
  geometry.block_count = (geometry.row_samples + kBlockSamples - 1) / kBlockSamples;
  // Bands of equal height, so that no last one consists mostly of rows that it repeats.
  const int bands = std::max(1, (geometry.rows + kBandRows / 2) / kBandRows);
  geometry.band_rows = ((geometry.rows + bands - 1) / bands + 1) / 2 * 2;
  geometry.band_count = (geometry.rows + geometry.band_rows - 1) / geometry.band_rows;
  return geometry;
}

void Prepare(const SsimWalk& walk, const Geometry& geometry, PreparedWalk* prepared) {
  prepared->is_ssim = true;
  double taps[6];
  double sum = 0.0;
  for (int i = 0; i < 6; ++i) {
    const double distance = 5 - i;
    taps[i] = std::exp(-distance * distance / (2.0 * walk.sigma * walk.sigma));
    sum += i < 5 ? 2.0 * taps[i] : taps[i];
  }
  for (int i = 0; i < 6; ++i) prepared->taps[i] = static_cast<float>(taps[i] / sum);
  prepared->c1 = static_cast<float>(walk.k1 * walk.k1);
  prepared->c2 = static_cast<float>(walk.k2 * walk.k2);
  prepared->ssim_scale = static_cast<float>(walk.scale);
  prepared->ssim_offset = static_cast<float>(walk.offset);
  prepared->gradient_scale = static_cast<float>(walk.scale / static_cast<double>(geometry.map_sample_count()));
}

float* ShapeLike(const ImageView& image, int width, int height, int offset, Tensor* tensor) {
  const bool fits =
      !tensor->empty() && tensor->width == width && tensor->height == height && tensor->channels == image.channels;
  tensor->width = width;
  tensor->height = height;
  tensor->channels = image.channels;
  tensor->layout = image.layout;
  tensor->offset_x = offset;
  tensor->offset_y = offset;
  if (!fits) tensor->data.reset(new float[static_cast<std::size_t>(tensor->sample_count())]);
  return tensor->data.get();
}

void RunSsimTiles(const WalkTable& table, const TileJob& job, absl::Span<double> partials) {
  // SSIM is several times the work that ParallelFor takes a sample for.
  const std::int64_t work = std::int64_t{4} * job.geometry.band_rows * kBlockSamples;
  ParallelFor(job.geometry.tile_count(), work, [&](int begin, int end) {
    for (int tile = begin; tile < end; ++tile) {
      table.run_tile(job, tile, &partials[static_cast<std::size_t>(tile) * job.walks.size()]);
    }
  });
}

namespace {

// Both images hold bytes on one scale, in one order: sums of differences are sums of integers.
bool SameBytes(const ImageView& reference, const ImageView& distorted) {
  return reference.type == PixelType::kUint8 && distorted.type == PixelType::kUint8 &&
         reference.value_of_one == distorted.value_of_one &&
         (reference.layout == distorted.layout || reference.channels == 1);
}

void Prepare(const PointwiseWalk& walk, const Geometry& geometry, PreparedWalk* prepared) {
  prepared->term = TermOf(walk);
  prepared->parameter = static_cast<float>(walk.parameter);
  prepared->map_scale = static_cast<float>(TermScale(walk));
  prepared->gradient_scale = static_cast<float>(GradientScale(walk, static_cast<double>(geometry.sample_count())));
}

void ShapeOutputs(const ImageView& image, Border border, WalkRequest* request, PreparedWalk* prepared) {
  const int span = prepared->is_ssim && border == Border::kValid ? kTapSpan : 0;
  if (request->want_map) {
    prepared->map = ShapeLike(image, image.width - span, image.height - span, span / 2, &request->map);
  } else {
    request->map = Tensor();
  }
  if (request->want_gradient) {
    prepared->gradient = ShapeLike(image, image.width, image.height, 0, &request->gradient);
  } else {
    request->gradient = Tensor();
  }
}

// Calls body(begin, end) on parts of the whole gradient.
template <typename Body>
void ForSamples(const Geometry& geometry, const Body& body) {
  const std::int64_t row_samples = geometry.row_samples;
  ParallelFor(geometry.planes * geometry.rows, row_samples,
              [&](int begin, int end) { body(begin * row_samples, end * row_samples); });
}

void ScaleGradient(const Geometry& geometry, double scale, float* gradient) {
  const float factor = static_cast<float>(scale);
  ForSamples(geometry, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) gradient[i] *= factor;
  });
}

// `gradient` holds e; samples whose |e| reaches `threshold` share a gradient of 1.
void FinishMaximumGradient(const Geometry& geometry, float threshold, float* gradient) {
  std::vector<std::int64_t> ties(static_cast<std::size_t>(geometry.planes * geometry.rows), 0);
  const std::int64_t row_samples = geometry.row_samples;
  ForSamples(geometry, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t count = 0;
    for (std::int64_t i = begin; i < end; ++i) count += std::abs(gradient[i]) >= threshold ? 1 : 0;
    ties[static_cast<std::size_t>(begin / row_samples)] = count;
  });
  std::int64_t count = 0;
  for (const std::int64_t part : ties) count += part;
  const float share = static_cast<float>(1.0 / static_cast<double>(std::max<std::int64_t>(count, 1)));
  ForSamples(geometry, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float e = gradient[i];
      gradient[i] = e == 0.0f || std::abs(e) < threshold ? 0.0f : std::copysign(share, e);
    }
  });
}

void Finish(const PointwiseWalk& walk, const Geometry& geometry, const PreparedWalk& prepared, double sum,
            double value_of_one, WalkRequest* request) {
  if (prepared.integer_score) {
    sum /= prepared.term == PointwiseLoss::kMeanSquare ? value_of_one * value_of_one : value_of_one;
  }
  const PointwiseScore result = ScoreOf(walk, sum, static_cast<double>(geometry.sample_count()));
  request->score = result.score;
  if (prepared.gradient == nullptr || !HasLateGradient(walk)) return;
  if (walk.loss == PointwiseLoss::kMaximum) {
    const double threshold = sum - MaximumSlack(prepared.integer_score, value_of_one);
    FinishMaximumGradient(geometry, static_cast<float>(threshold), prepared.gradient);
  } else {
    ScaleGradient(geometry, result.late_scale, prepared.gradient);
  }
}

// Requests that see the same beyond the image.
void RunTogether(const WalkTable& table, const ImageView& reference, const ImageView& distorted, Border border,
                 absl::Span<WalkRequest* const> requests) {
  if (requests.empty()) return;
  TileJob job;
  job.reference = &reference;
  job.distorted = &distorted;
  job.geometry = GeometryOf(distorted, border);
  job.needs_values = false;
  const Geometry& geometry = job.geometry;

  const bool same_bytes = SameBytes(reference, distorted);
  std::vector<PreparedWalk> prepared(requests.size());
  std::vector<std::unique_ptr<float[]>> border_gradients;
  for (std::size_t k = 0; k < requests.size(); ++k) {
    PreparedWalk& walk = prepared[k];
    if (const auto* ssim = std::get_if<SsimWalk>(&requests[k]->walk)) {
      Prepare(*ssim, geometry, &walk);
    } else {
      Prepare(std::get<PointwiseWalk>(requests[k]->walk), geometry, &walk);
    }
    walk.integer_score = same_bytes && !walk.is_ssim && HasIntegerTerm(walk.term);
    ShapeOutputs(distorted, border, requests[k], &walk);
    if (border == Border::kReflect101 && walk.gradient != nullptr) {
      border_gradients.emplace_back(new float[static_cast<std::size_t>(BorderGradientCount(geometry))]);
      walk.border_gradient = border_gradients.back().get();
    }
    job.needs_values |= !walk.integer_score || walk.map != nullptr || walk.gradient != nullptr;
    job.ssim_count += walk.is_ssim ? 1 : 0;
    job.has_ssim_gradient |= walk.is_ssim && walk.gradient != nullptr;
  }
  job.walks = prepared;

  // One row of partials a tile. Tiles are joined in their order, whoever computed them.
  const std::size_t walk_count = requests.size();
  const int bands = geometry.planes * geometry.band_count;
  const int tile_count = job.needs_values ? geometry.tile_count() : bands;
  std::vector<double> partials(static_cast<std::size_t>(tile_count) * walk_count);
  const auto partials_of = [&](int tile) { return &partials[static_cast<std::size_t>(tile) * walk_count]; };
  const std::int64_t band_rows = geometry.band_rows;
  if (!job.needs_values) {
    ParallelFor(bands, band_rows * geometry.row_samples, [&](int begin, int end) {
      for (int band = begin; band < end; ++band) {
        const int y_begin = band % geometry.band_count * geometry.band_rows;
        table.run_integer_band(job, band / geometry.band_count, y_begin,
                               std::min(y_begin + geometry.band_rows, geometry.rows), partials_of(band));
      }
    });
  } else if (job.ssim_count == 0) {
    const int stretches = (geometry.block_count + kStretchBlocks - 1) / kStretchBlocks;
    const std::int64_t stretch_samples = std::int64_t{kBlockSamples} * kStretchBlocks;
    ParallelFor(bands * stretches, band_rows * stretch_samples, [&](int begin, int end) {
      for (int part = begin; part < end; ++part) {
        const int first_block = part % stretches * kStretchBlocks;
        const int first_tile = part / stretches * geometry.block_count + first_block;
        table.run_stretch(job, first_tile, std::min(kStretchBlocks, geometry.block_count - first_block),
                          partials_of(first_tile));
      }
    });
  } else {
    RunSsimTiles(table, job, absl::MakeSpan(partials));
  }

  for (std::size_t k = 0; k < requests.size(); ++k) {
    const PreparedWalk& walk = prepared[k];
    double sum = 0.0;
    for (int tile = 0; tile < tile_count; ++tile) {
      const double partial = partials_of(tile)[k];
      sum = !walk.is_ssim && walk.term == PointwiseLoss::kMaximum ? std::max(sum, partial) : sum + partial;
    }
    if (walk.is_ssim) {
      if (walk.border_gradient != nullptr) FoldBorder(geometry, walk);
      const auto& ssim = std::get<SsimWalk>(requests[k]->walk);
      requests[k]->score = ssim.scale * (sum / static_cast<double>(geometry.map_sample_count())) + ssim.offset;
    } else {
      Finish(std::get<PointwiseWalk>(requests[k]->walk), geometry, walk, sum, distorted.value_of_one, requests[k]);
    }
  }
}

}  // namespace
}  // namespace walks

absl::Status CheckWalk(const WalkRequest& request, const ImageView& reference, const ImageView& distorted) {
  if (reference.width != distorted.width || reference.height != distorted.height) {
    return absl::InvalidArgumentError(absl::StrCat("reference is ", reference.width, "x", reference.height,
                                                   ", distorted is ", distorted.width, "x", distorted.height,
                                                   "; sizes must match"));
  }
  if (reference.channels != distorted.channels || (distorted.channels != 1 && distorted.channels != 3)) {
    return absl::InvalidArgumentError(absl::StrCat("a fused walk takes two images of 1 channel or two of 3, not ",
                                                   reference.channels, " and ", distorted.channels));
  }
  if (std::holds_alternative<MsSsimWalk>(request.walk)) {
    // The window of 11 at the fifth scale.
    if (distorted.width < 161 || distorted.height < 161) {
      return absl::InvalidArgumentError(absl::StrCat("ms_ssim needs at least 161x161 pixels, the images are ",
                                                     distorted.width, "x", distorted.height));
    }
  } else if (const auto* ssim = std::get_if<SsimWalk>(&request.walk)) {
    if (distorted.width < walks::kTapCount || distorted.height < walks::kTapCount) {
      return absl::InvalidArgumentError(
          absl::StrCat("ssim needs at least 11x11 pixels, the images are ", distorted.width, "x", distorted.height));
    }
    // Below these, rounding of the variances could reach the constants and the quotient would mean nothing.
    if (!(ssim->k1 >= 1e-3) || !(ssim->k2 >= 3e-3) || !(ssim->sigma >= 0.1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a fused ssim needs k1 >= 0.001, k2 >= 0.003 and sigma >= 0.1, not ", ssim->k1, ", ", ssim->k2,
                       " and ", ssim->sigma));
    }
    if (ssim->border == Border::kReplicate || ssim->border == Border::kSymmetric) {
      return absl::InvalidArgumentError("a fused ssim has no border that repeats the image's edge");
    }
  } else if (const auto* flip = std::get_if<FlipWalk>(&request.walk)) {
    if (!(flip->ppd >= 1.0) || !(flip->ppd <= kFlipWalkMostPpd)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a fused flip takes 1 to ", kFlipWalkMostPpd, " pixels per degree, not ", flip->ppd));
    }
  } else if (std::holds_alternative<Ssimulacra2Walk>(request.walk)) {
    if (distorted.width < 8 || distorted.height < 8) {
      return absl::InvalidArgumentError(absl::StrCat("ssimulacra2 needs at least 8x8 pixels, the images are ",
                                                     distorted.width, "x", distorted.height));
    }
  } else if (std::holds_alternative<GmsdWalk>(request.walk)) {
    if (distorted.width < 2 || distorted.height < 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("gmsd needs at least 2x2 pixels, the images are ", distorted.width, "x", distorted.height));
    }
  } else if (std::holds_alternative<LapLossWalk>(request.walk)) {
    // Five halvings leave a pixel.
    if (distorted.width < 32 || distorted.height < 32) {
      return absl::InvalidArgumentError(
          absl::StrCat("laploss needs at least 32x32 pixels, the images are ", distorted.width, "x", distorted.height));
    }
  } else if (const auto* pointwise = std::get_if<PointwiseWalk>(&request.walk)) {
    if (!(pointwise->parameter >= 0.0) || std::isinf(pointwise->parameter)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the parameter of a pointwise loss must be finite and not negative, not ", pointwise->parameter));
    }
  }
  return absl::OkStatus();
}

bool RunsOnCpu(const WalkRequest& request) {
  if (const auto* pointwise = std::get_if<PointwiseWalk>(&request.walk)) return walks::IsOfError(pointwise->loss);
  return std::holds_alternative<SsimWalk>(request.walk) || std::holds_alternative<MsSsimWalk>(request.walk);
}

std::int64_t WalkWorkspaceBytes(const WalkRequest& request, const ImageView& distorted) {
  if (!std::holds_alternative<MsSsimWalk>(request.walk)) return 0;
  return walks::MsSsimWorkspaceBytes(distorted, request.want_gradient);
}

void RunWalks(const WalkTable& table, const ImageView& reference, const ImageView& distorted,
              absl::Span<WalkRequest* const> requests, std::byte* workspace) {
  std::map<Border, std::vector<WalkRequest*>> together;
  for (WalkRequest* request : requests) {
    if (std::holds_alternative<MsSsimWalk>(request->walk)) {
      walks::RunMsSsim(table, reference, distorted, workspace, request);
    } else {
      const auto* ssim = std::get_if<SsimWalk>(&request->walk);
      together[ssim != nullptr ? ssim->border : Border::kValid].push_back(request);
    }
  }
  for (const auto& [border, alike] : together) walks::RunTogether(table, reference, distorted, border, alike);
}

}  // namespace likeness
