// The gradient of SSIM over a mirrored border. What the border's samples get belongs to those that they mirror, which
// lie within six pixels of the image's edges: there, and in the border, the march leaves its results in the workspace,
// and one launch more adds up what belongs together. The rest goes where it belongs at once.
#pragma once

#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"

LIKENESS_BEGIN_TARGET

inline constexpr int kSsimBorder = 5;

// The image filled up by its border, and where in the workspace its edges lie.
struct SsimEdges {
  // From the border's outermost sample to the last one that the border mirrors.
  static constexpr int kDepth = 2 * kSsimBorder + 1;
  int rows;
  int row_samples;
  int pixel;  // samples

  // Rows before `top` and from `bottom` on are all edge, the others before `left` and from `right` on. An image has 11
  // rows and columns, so that there are 21 here at least; of 21 none is left between the edges.
  LIKENESS_HD int top() const { return kDepth; }
  LIKENESS_HD int bottom() const { return rows - kDepth > kDepth ? rows - kDepth : kDepth; }
  LIKENESS_HD int left() const { return kDepth * pixel; }
  LIKENESS_HD int right() const { return row_samples - left() > left() ? row_samples - left() : left(); }
  LIKENESS_HD int whole_rows() const { return top() + rows - bottom(); }
  LIKENESS_HD int side_samples() const { return left() + row_samples - right(); }
  // Of a plane.
  LIKENESS_HD std::int64_t count() const {
    return std::int64_t{whole_rows()} * row_samples + std::int64_t{bottom() - top()} * side_samples();
  }

  // Place of a sample of a plane's edges; -1: it is none.
  LIKENESS_HD std::int64_t At(int y, int x) const {
    if (y < top() || y >= bottom()) return std::int64_t{y < top() ? y : y - bottom() + top()} * row_samples + x;
    if (x >= left() && x < right()) return -1;
    return std::int64_t{whole_rows()} * row_samples + std::int64_t{y - top()} * side_samples() +
           (x < left() ? x : x - right() + left());
  }
  // The sample of a place.
  LIKENESS_HD void Find(std::int64_t at, int* y, int* x) const {
    const std::int64_t whole = std::int64_t{whole_rows()} * row_samples;
    const bool in_whole = at < whole;
    if (!in_whole) at -= whole;
    const int width = in_whole ? row_samples : side_samples();
    *y = static_cast<int>(at / width);
    *x = static_cast<int>(at % width);
    if (in_whole) {
      *y += *y < top() ? 0 : bottom() - top();
    } else {
      *y += top();
      *x += *x < left() ? 0 : right() - left();
    }
  }

  LIKENESS_HD int image_rows() const { return rows - 2 * kSsimBorder; }
  LIKENESS_HD int image_row_samples() const { return row_samples - 2 * kSsimBorder * pixel; }
  // Of the filled-up image.
  LIKENESS_HD bool InImage(int y, int x) const {
    return y >= kSsimBorder && y < rows - kSsimBorder && x >= kSsimBorder * pixel &&
           x < row_samples - kSsimBorder * pixel;
  }
  LIKENESS_HD std::int64_t ImageSample(int plane, int y, int x) const {
    return (std::int64_t{plane} * image_rows() + y - kSsimBorder) * image_row_samples() + x - kSsimBorder * pixel;
  }
};

struct SsimFoldKernel {
  static constexpr int kThreads = kRowThreads;
  SsimEdges edges;
  const float* from;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    const std::int64_t place = std::int64_t{block.x} * kThreads + threadIdx.x;
    if (place >= edges.count()) return;
    int y, x;
    edges.Find(place, &y, &x);
    if (!edges.InImage(y, x)) return;
    // Mirrored about the outermost pixels; what comes out beyond the border is of no interest.
    const int rows[] = {y, 2 * kSsimBorder - y, 2 * (edges.rows - 1 - kSsimBorder) - y};
    const int channel = x % edges.pixel, column = x / edges.pixel, width = edges.row_samples / edges.pixel;
    const int columns[] = {column, 2 * kSsimBorder - column, 2 * (width - 1 - kSsimBorder) - column};
    const float* const plane = from + block.y * edges.count();
    Vec sum(0.0);
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      if (j > 0 && (rows[j] < 0 || rows[j] >= edges.rows || rows[j] == y)) continue;
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        if (i > 0 && (columns[i] < 0 || columns[i] >= width || columns[i] == column)) continue;
        sum = sum + Vec(plane[edges.At(rows[j], columns[i] * edges.pixel + channel)]);
      }
    }
    StoreSample(out, edges.ImageSample(block.y, y, x), Bare(sum));
  }
};

LIKENESS_END_TARGET
