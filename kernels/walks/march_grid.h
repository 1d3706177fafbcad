// How blocks that march down the rows of an image divide it among themselves.
#pragma once

#include <algorithm>

namespace likeness::cuda {

inline constexpr int PartsOf(int whole, int part) { return (whole + part - 1) / part; }

// Strips of columns, each in bands; a block has one band of one strip, in which `marches` go side by side, one above
// another.
struct MarchGrid {
  int strips;
  int bands;
  int rows;  // of a march

  // About `blocks` of them, of so many columns each, and of no fewer rows a march than `least_rows` where there are
  // bands: a march reads rows beyond both of its ends.
  static MarchGrid Of(int width, int height, int columns, int blocks, int marches, int least_rows) {
    MarchGrid grid;
    grid.strips = PartsOf(width, columns);
    const int most = std::max(1, std::min(blocks / grid.strips, height / (marches * least_rows)));
    grid.rows = PartsOf(height, marches * most);
    grid.bands = PartsOf(height, marches * grid.rows);
    return grid;
  }
};

}  // namespace likeness::cuda
