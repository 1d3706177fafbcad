// Speed of the fused walks on one thread.
//
//   walk_bench --benchmark_filter=ssim
//
// MSample/s counts one channel value of one pixel of the pair once. GB/s is what a walk must move at least: both images
// read once, maps and gradients written once. over_floor is the walk's time over the time that this thread needs to
// touch every cache line of the images once and to fill the outputs, measured in the same run; times are the thread's
// own.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/parallel.h"
#include "kernels/image.h"
#include "kernels/walks/walk.h"

namespace likeness {
namespace {

struct Size {
  const char* name;
  int width;
  int height;
};
constexpr Size kSizes[] = {{"256x256", 256, 256}, {"1080p", 1920, 1080}, {"4K", 3840, 2160}};

struct MetricSet {
  const char* name;
  std::vector<WalkRequest> requests;
};

WalkRequest Pointwise(PointwiseLoss loss, double parameter = 0.0, bool gradient = false) {
  WalkRequest request;
  request.walk = PointwiseWalk{.loss = loss, .parameter = parameter};
  request.want_gradient = gradient;
  return request;
}

WalkRequest Ssim(bool map, bool gradient, Border border = Border::kValid) {
  WalkRequest request;
  request.walk = SsimWalk{.border = border};
  request.want_map = map;
  request.want_gradient = gradient;
  return request;
}

std::vector<MetricSet> MetricSets() {
  using enum PointwiseLoss;
  std::vector<MetricSet> sets;
  const auto add = [&](const char* name, auto... request) {
    MetricSet set{name, {}};
    (set.requests.push_back(std::move(request)), ...);
    sets.push_back(std::move(set));
  };
  add("mae", Pointwise(kMeanAbsolute));
  add("mae+mse+psnr", Pointwise(kMeanAbsolute), Pointwise(kMeanSquare), Pointwise(kPsnr));
  add("mae_gradient", Pointwise(kMeanAbsolute, 0.0, true));
  add("huber", Pointwise(kHuber, 8.0 / 255.0));
  add("log_cosh", Pointwise(kLogCosh));
  add("ssim", Ssim(false, false));
  add("ssim_map", Ssim(true, false));
  add("ssim_gradient", Ssim(false, true));
  add("ssim_mirrored", Ssim(false, false, Border::kReflect101));
  add("ssim_mirrored_gradient", Ssim(false, true, Border::kReflect101));
  add("mae+mse+psnr+ssim", Pointwise(kMeanAbsolute), Pointwise(kMeanSquare), Pointwise(kPsnr), Ssim(false, false));
  return sets;
}

Image Noise(const Size& size, PixelType type, Layout layout, unsigned seed) {
  Image image = *Image::Create(size.width, size.height, 3, type, layout);
  std::minstd_rand random(seed);
  const std::int64_t count = image.view().pixel_count() * 3;
  for (std::int64_t i = 0; i < count; ++i) {
    const unsigned value = static_cast<unsigned>(i % 3000 / 16) + (random() >> 8) % 64;
    if (type == PixelType::kUint8) static_cast<std::uint8_t*>(image.data())[i] = static_cast<std::uint8_t>(value);
    if (type == PixelType::kUint16) {
      static_cast<std::uint16_t*>(image.data())[i] = static_cast<std::uint16_t>(value * 257);
    }
    if (type == PixelType::kFloat32) static_cast<float*>(image.data())[i] = static_cast<float>(value) / 255.0f;
  }
  return image;
}

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds that this thread needs to touch two images and to fill `outputs`, when it does nothing else with them.
double FloorSeconds(const Image& reference, const Image& distorted, std::vector<float>* outputs) {
  const std::size_t words = static_cast<std::size_t>(reference.view().size_bytes()) / 8;
  double best = 1e9;
  for (int round = 0; round < 15; ++round) {
    const double start = ThreadSeconds();
    for (const void* data : {reference.view().data, distorted.view().data}) {
      const auto* from = static_cast<const std::uint64_t*>(data);
      std::uint64_t sums[4] = {};
      for (std::size_t i = 0; i + 32 <= words; i += 32) {
        for (std::size_t k = 0; k < 4; ++k) sums[k] += from[i + 8 * k];
      }
      benchmark::DoNotOptimize(sums);
    }
    if (!outputs->empty()) {
      std::memset(outputs->data(), round, outputs->size() * sizeof(float));
      benchmark::ClobberMemory();
    }
    best = std::min(best, ThreadSeconds() - start);
  }
  return best;
}

void Run(benchmark::State& state, const Size& size, PixelType type, Layout layout, std::string_view set_name,
         absl::string_view instruction_set) {
  const WalkTable* table = GetWalkTable(instruction_set);
  const Image reference = Noise(size, type, layout, 1);
  const Image distorted = Noise(size, type, layout, 2);
  MetricSet set;
  for (MetricSet& candidate : MetricSets()) {
    if (candidate.name == set_name) set = std::move(candidate);
  }
  std::vector<WalkRequest*> requests;
  for (WalkRequest& request : set.requests) requests.push_back(&request);
  ThreadPool one_thread(1);
  double seconds = 0.0;
  one_thread.Run([&] {
    const double start = ThreadSeconds();
    for (auto _ : state) RunWalks(*table, reference.view(), distorted.view(), requests);
    seconds = ThreadSeconds() - start;
  });
  benchmark::DoNotOptimize(set.requests[0].score);

  std::int64_t output_samples = 0;
  for (const WalkRequest& request : set.requests) {
    output_samples += request.map.empty() ? 0 : request.map.sample_count();
    output_samples += request.gradient.empty() ? 0 : request.gradient.sample_count();
  }
  std::vector<float> outputs(static_cast<std::size_t>(output_samples));
  const double floor = FloorSeconds(reference, distorted, &outputs);
  const double iterations = static_cast<double>(state.iterations());
  const double samples = static_cast<double>(size.width) * size.height * 3.0;
  const double bytes =
      2.0 * static_cast<double>(reference.view().size_bytes()) + 4.0 * static_cast<double>(output_samples);
  using benchmark::Counter;
  state.counters["MSample/s"] = Counter(samples * iterations / 1e6, Counter::kIsRate);
  state.counters["GB/s"] = Counter(bytes * iterations / 1e9, Counter::kIsRate);
  state.counters["over_floor"] = seconds / (iterations * floor);
}

const bool kRegistered = [] {
  for (const absl::string_view isa : WalkInstructionSets()) {
    for (const PixelType type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
      for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
        for (const MetricSet& set : MetricSets()) {
          for (const Size& size : kSizes) {
            const std::string name = absl::StrCat(set.name, "/", size.name, "/", PixelTypeName(type), "/",
                                                  layout == Layout::kHwc ? "hwc" : "chw", "/", isa);
            benchmark::RegisterBenchmark(name.c_str(), [size, type, layout, set_name = std::string(set.name),
                                                        isa = std::string(isa)](benchmark::State& state) {
              Run(state, size, type, layout, set_name, isa);
            })->Unit(benchmark::kMicrosecond);
          }
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace likeness
