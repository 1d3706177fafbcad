// What the tests of fused walks under CUDA share: tasks, their results, and what holds for every walk.
#pragma once

#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/metrics/slot_cuda.h"
#include "kernels/walks/walk.h"
#include "tests/unit/walk_naive.h"

namespace likeness::cuda {

using walk_test::GoldenPair;
using walk_test::Pair;

inline PairTask TaskOf(const Pair& pair, const std::vector<Walk>& walks, bool want_map, bool want_gradient) {
  PairTask task;
  task.reference = pair.reference.view;
  task.distorted = pair.distorted.view;
  for (const Walk& walk : walks) {
    MetricTask& metric = task.metrics.emplace_back();
    metric.walk = walk;
    metric.want_map = want_map && HasMap(walk);
    metric.want_gradient = want_gradient;
  }
  Plan(task);
  return task;
}

// Returns how many launches it took.
inline int Score(const std::vector<PairTask*>& tasks) {
  SlotSizes sizes;
  for (const PairTask* task : tasks) sizes += SizesFor(*task);
  cuda::Slot slot;
  EXPECT_FALSE(cuda::Slot::Create(0, sizes, &slot).failed());
  int count = 0;
  EXPECT_FALSE(slot.Score(tasks, &count).failed());
  EXPECT_EQ(count, static_cast<int>(tasks.size()));
  for (const PairTask* task : tasks) EXPECT_FALSE(task->failure.failed());
  return slot.launch_count();
}

inline PairTask Scored(const Pair& pair, const std::vector<Walk>& walks, bool want_map = true,
                       bool want_gradient = true) {
  PairTask task = TaskOf(pair, walks, want_map, want_gradient);
  Score({&task});
  return task;
}

inline std::int64_t IndexIn(const Tensor& tensor, int c, int y, int x) {
  return tensor.layout == Layout::kChw ? (std::int64_t{c} * tensor.height + y) * tensor.width + x
                                       : (std::int64_t{y} * tensor.width + x) * tensor.channels + c;
}

struct Size {
  int width, height, channels;
};

inline constexpr PixelType kTypes[] = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat16, PixelType::kFloat32};
inline constexpr Layout kLayouts[] = {Layout::kHwc, Layout::kChw};

inline bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         (a.empty() || std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0);
}
inline bool SameBits(double a, double b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

// The same bits in a batch of any sizes as alone, and whatever is asked for beside.
inline void ExpectBitsDoNotDependOnCompany(const std::vector<Walk>& walks, const std::vector<Size>& sizes) {
  std::vector<Pair> pairs;
  for (const Size& s : sizes) {
    for (const Layout layout : kLayouts) {
      pairs.push_back(GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, layout));
      pairs.push_back(GoldenPair(s.width, s.height, s.channels, PixelType::kFloat32, layout));
    }
  }
  std::vector<PairTask> together;
  for (const Pair& pair : pairs) together.push_back(TaskOf(pair, walks, true, true));
  std::vector<PairTask*> tasks;
  for (PairTask& task : together) tasks.push_back(&task);
  Score(tasks);
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    for (std::size_t i = 0; i < walks.size(); ++i) {
      SCOPED_TRACE("pair " + std::to_string(p) + " walk " + std::to_string(i));
      const PairResult& expected = together[p].metrics[i].result;
      for (const auto& [map, gradient] : {std::pair(true, true), {false, true}, {true, false}, {false, false}}) {
        const PairTask alone = Scored(pairs[p], {walks[i]}, map, gradient);
        const PairResult& result = alone.metrics[0].result;
        EXPECT_TRUE(SameBits(result.score, expected.score)) << result.score << " " << expected.score;
        EXPECT_TRUE(map && HasMap(walks[i]) ? SameBits(result.map, expected.map) : result.map.empty());
        EXPECT_TRUE(gradient ? SameBits(result.gradient, expected.gradient) : result.gradient.empty());
      }
    }
  }
}

// The score of identical images; their maps and gradients are 0.
inline void ExpectIdenticalImages(const Walk& walk, const std::vector<Size>& sizes, double score) {
  for (const Size& s : sizes) {
    for (const PixelType type : kTypes) {
      SCOPED_TRACE(std::to_string(s.width) + "x" + std::to_string(s.height) + " " + PixelTypeName(type));
      Pair pair = GoldenPair(s.width, s.height, s.channels, type, Layout::kHwc);
      pair.distorted = pair.reference;
      pair.distorted.view.data = pair.distorted.bytes.data();
      const PairTask task = Scored(pair, {walk});
      const PairResult& result = task.metrics[0].result;
      EXPECT_EQ(result.score, score);
      EXPECT_FALSE(result.map.empty() || result.gradient.empty());
      for (std::int64_t i = 0; i < result.map.sample_count(); ++i) ASSERT_EQ(result.map.data[i], 0.0f) << i;
      for (std::int64_t i = 0; i < result.gradient.sample_count(); ++i) ASSERT_EQ(result.gradient.data[i], 0.0f) << i;
    }
  }
}

// Of a batch of such pairs: however many there are, and of whatever sizes.
inline int LaunchesOf(const Walk& walk, const std::vector<Size>& sizes, bool want_gradient) {
  std::vector<Pair> pairs;
  std::vector<PairTask> all;
  std::vector<PairTask*> tasks;
  for (const Size& s : sizes) {
    pairs.push_back(GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc));
  }
  for (const Pair& pair : pairs) all.push_back(TaskOf(pair, {walk}, true, want_gradient));
  for (PairTask& task : all) tasks.push_back(&task);
  return Score(tasks);
}

// How far a walk may be from its program: the score relatively; a map's worst sample; a gradient's mean distance over
// its mean magnitude.
struct Nearness {
  double score, map, gradient;
};

// Against the metric's program, which other tests hold to its definition. `which`: of its conventions.
inline void ExpectNearProgram(const Pair& pair, const char* id, const Parameters& parameters, const Walk& walk,
                              const Nearness& most, int which = 0) {
  const Program* program = FindProgram(id);
  ASSERT_NE(program, nullptr);
  const MetricInfo info = program->info();
  const Settings settings(info.conventions[which].name, parameters);
  PairTask task = TaskOf(pair, {walk, walk}, true, true);
  task.metrics[1].walk.reset();
  task.metrics[1].program = program;
  task.metrics[1].settings = &settings;
  Plan(task);
  Score({&task});
  const PairResult &actual = task.metrics[0].result, &expected = task.metrics[1].result;
  EXPECT_NEAR(actual.score, expected.score, most.score * std::abs(expected.score));
  ASSERT_EQ(actual.map.sample_count(), expected.map.sample_count());
  for (std::int64_t i = 0; i < expected.map.sample_count(); ++i) {
    ASSERT_NEAR(actual.map.data[i], expected.map.data[i], most.map) << "map at " << i;
  }
  ASSERT_EQ(actual.gradient.sample_count(), expected.gradient.sample_count());
  EXPECT_EQ(actual.gradient.layout, expected.gradient.layout);
  double distance = 0.0, magnitude = 0.0;
  for (std::int64_t i = 0; i < expected.gradient.sample_count(); ++i) {
    ASSERT_TRUE(std::isfinite(actual.gradient.data[i])) << "gradient at " << i;
    distance += std::abs(actual.gradient.data[i] - expected.gradient.data[i]);
    magnitude += std::abs(expected.gradient.data[i]);
  }
  EXPECT_LE(distance, most.gradient * magnitude);
}

// expect(pair) for colour pairs whose rows have gaps where they are uint8, and for gray ones of a size.
template <class Expect>
void ForEveryTypeAndLayout(const Size& gray, Expect expect) {
  for (const PixelType type : kTypes) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(PixelTypeName(type));
      expect(GoldenPair(17, 23, 3, type, layout, type == PixelType::kUint8 ? 3 : 0));
      expect(GoldenPair(gray.width, gray.height, gray.channels, type, layout));
    }
  }
}

template <class Expect>
void ForEverySize(const std::vector<Size>& sizes, Expect expect) {
  for (const Size& s : sizes) {
    SCOPED_TRACE(std::to_string(s.width) + "x" + std::to_string(s.height));
    expect(GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc));
  }
}

template <class Expect>
void ForMixedTypesAndLayouts(Expect expect) {
  for (const Layout reference : kLayouts) {
    for (const Layout distorted : kLayouts) {
      Pair pair = GoldenPair(53, 29, 3, PixelType::kUint8, distorted);
      pair.reference = GoldenPair(53, 29, 3, PixelType::kFloat32, reference).reference;
      expect(pair);
    }
  }
}

// Ten bits, which no multiplication divides by.
template <class Expect>
void ForTenBits(int height, Expect expect) {
  for (const int width : {40, 41}) {
    Pair pair = GoldenPair(width, height, 3, PixelType::kUint16, Layout::kHwc);
    pair.reference.view.value_of_one = pair.distorted.view.value_of_one = 1023.0;
    expect(pair);
  }
}

// expect(pair) for two images of one level each. Equal ones score 0 by `walk`, and have no gradient.
template <class Expect>
void ForFlatImages(const Walk& walk, const std::vector<Size>& sizes, Expect expect) {
  for (const auto& [reference, distorted] : {std::pair(0, 0), {0, 1}, {255, 0}, {255, 255}, {128, 127}}) {
    SCOPED_TRACE(std::to_string(reference) + " " + std::to_string(distorted));
    for (const Size& s : sizes) {
      Pair pair = GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, Layout::kHwc);
      std::fill(pair.reference.bytes.begin(), pair.reference.bytes.end(), static_cast<std::uint8_t>(reference));
      std::fill(pair.distorted.bytes.begin(), pair.distorted.bytes.end(), static_cast<std::uint8_t>(distorted));
      expect(pair);
      if (reference != distorted) continue;
      const PairTask task = Scored(pair, {walk});
      const PairResult& result = task.metrics[0].result;
      EXPECT_EQ(result.score, 0.0);
      for (std::int64_t i = 0; i < result.gradient.sample_count(); ++i) ASSERT_EQ(result.gradient.data[i], 0.0f) << i;
    }
  }
}

inline void ExpectFloat16IsFloatRounded(const Walk& walk, const std::vector<Size>& sizes) {
  for (const Size& s : sizes) {
    for (const Layout layout : kLayouts) {
      const Pair pair = GoldenPair(s.width, s.height, s.channels, PixelType::kUint8, layout);
      const PairTask whole = Scored(pair, {walk});
      PairTask task = TaskOf(pair, {walk}, true, true);
      task.metrics[0].half = true;
      Score({&task});
      const auto expect_rounded = [](const Tensor& half, const Tensor& whole) {
        ASSERT_NE(half.half, nullptr);
        ASSERT_EQ(half.sample_count(), whole.sample_count());
        for (std::int64_t i = 0; i < whole.sample_count(); ++i) {
          const __half rounded = __float2half_rn(whole.data[i]);
          ASSERT_EQ(std::memcmp(&half.half[i], &rounded, sizeof(rounded)), 0) << i;
        }
      };
      expect_rounded(task.metrics[0].result.map, whole.metrics[0].result.map);
      expect_rounded(task.metrics[0].result.gradient, whole.metrics[0].result.gradient);
    }
  }
}

inline bool Takes(const Walk& walk, int width, int height) {
  const Pair pair = GoldenPair(width, height, 3, PixelType::kUint8, Layout::kHwc);
  WalkRequest request;
  request.walk = walk;
  return CheckWalk(request, pair.reference.view, pair.distorted.view).ok();
}

}  // namespace likeness::cuda
