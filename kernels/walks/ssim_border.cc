#include "kernels/walks/ssim_border.h"

#include <algorithm>
#include <cstddef>

#include "kernels/base/parallel.h"

namespace likeness::walks {
namespace {

int ImageRows(const Geometry& g) { return g.rows - 2 * g.border_rows(); }
int ImageRowSamples(const Geometry& g) { return g.row_samples - 2 * g.border_samples(); }

std::int64_t PlaneCount(const Geometry& g) {
  return std::int64_t{2} * g.border_rows() * g.row_samples + std::int64_t{2} * ImageRows(g) * g.border_samples();
}

// Of the rows above the image and, after them, those below.
float* OuterRow(const Geometry& g, const PreparedWalk& walk, int plane, int row) {
  return walk.border_gradient + plane * PlaneCount(g) + std::int64_t{row} * g.row_samples;
}

// Left of row y of the image; those right of it follow.
float* Sides(const Geometry& g, const PreparedWalk& walk, int plane, int y) {
  return OuterRow(g, walk, plane, 2 * g.border_rows()) + std::int64_t{2} * y * g.border_samples();
}

float* ImageRow(const Geometry& g, const PreparedWalk& walk, int plane, int y) {
  return walk.gradient + (std::int64_t{plane} * ImageRows(g) + y) * ImageRowSamples(g);
}

// Of a row: what lies left and right of it is mirrored about its outermost pixels.
void FoldSides(const Geometry& g, const float* left, const float* right, float* row) {
  const int pixel = g.tap_distance;
  float* const last = row + ImageRowSamples(g) - pixel;
  for (int p = 1; p <= g.border_rows(); ++p) {
    for (int c = 0; c < pixel; ++c) {
      row[p * pixel + c] += left[(g.border_rows() - p) * pixel + c];
      last[c - p * pixel] += right[(p - 1) * pixel + c];
    }
  }
}

}  // namespace

std::int64_t BorderGradientCount(const Geometry& geometry) { return geometry.planes * PlaneCount(geometry); }

void PutGradientRow(const Geometry& g, const Tile& tile, const PreparedWalk& walk, int y, const float* row) {
  // `to` is the place of sample `begin`.
  const auto put = [&](int begin, int end, float* to) {
    const int first = std::max(begin, tile.x_begin), last = std::min(end, tile.x_end);
    if (first < last) std::copy(row + (first - tile.x_begin), row + (last - tile.x_begin), to + (first - begin));
  };
  const int border_rows = g.border_rows(), left = g.border_samples(), right = g.row_samples - left;
  const int image_y = y - border_rows;
  const bool inside = 0 <= image_y && image_y < ImageRows(g);
  if (inside) put(left, right, ImageRow(g, walk, tile.plane, image_y));
  if (walk.border_gradient == nullptr) return;
  if (inside) {
    float* const sides = Sides(g, walk, tile.plane, image_y);
    put(0, left, sides);
    put(right, g.row_samples, sides + left);
  } else {
    put(0, g.row_samples, OuterRow(g, walk, tile.plane, y < border_rows ? y : image_y - ImageRows(g) + border_rows));
  }
}

void FoldBorder(const Geometry& g, const PreparedWalk& walk) {
  const int rows = ImageRows(g), border_rows = g.border_rows(), left = g.border_samples();
  ParallelFor(g.planes * rows, g.row_samples, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      const int plane = i / rows, y = i % rows;
      float* const row = ImageRow(g, walk, plane, y);
      const float* const sides = Sides(g, walk, plane, y);
      FoldSides(g, sides, sides + left, row);
      // Rows above and below are as far from the outermost row as the one that they mirror.
      const auto add = [&](int outer_row) {
        const float* const outer = OuterRow(g, walk, plane, outer_row);
        for (int k = 0; k < ImageRowSamples(g); ++k) row[k] += outer[left + k];
        FoldSides(g, outer, outer + g.row_samples - left, row);
      };
      if (1 <= y && y <= border_rows) add(border_rows - y);
      const int from_last = rows - 1 - y;
      if (1 <= from_last && from_last <= border_rows) add(border_rows + from_last - 1);
    }
  });
}

}  // namespace likeness::walks
