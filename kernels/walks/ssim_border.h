// The gradient of an image that is filled up by a border: what the border's samples get belongs to those that they
// mirror.
#pragma once

#include <cstdint>

#include "kernels/walks/tile.h"

namespace likeness::walks {

// Samples of PreparedWalk::border_gradient: of each plane the rows above and below the image, then of each of its rows
// the samples left and right.
std::int64_t BorderGradientCount(const Geometry& geometry);

// Samples [tile.x_begin, tile.x_end) of row y of the filled-up image, to the gradient and to that of the border.
void PutGradientRow(const Geometry& geometry, const Tile& tile, const PreparedWalk& walk, int y, const float* row);

// Once all rows are there: adds the border's to the gradient. Each sample has its summands in one order.
void FoldBorder(const Geometry& geometry, const PreparedWalk& walk);

}  // namespace likeness::walks
