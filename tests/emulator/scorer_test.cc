// The scorer on the CUDA backend, emulated: same scores as on the CPU, batches split, GPUs lost.
#include "kernels/scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/half.h"
#include "tests/emulator/control.h"
#include "tests/support/scene.h"

namespace likeness {
namespace {

std::unique_ptr<Scorer> Make(Backend backend, bool fused_walks = true) {
  ScorerOptions options;
  options.fused_walks = fused_walks;
  options.backend = backend;
  options.threads = 2;
  options.slot_bytes = std::int64_t{192} << 20;
  options.weights_dir = "/nonexistent";
  auto scorer = Scorer::Create(options);
  EXPECT_TRUE(scorer.ok()) << scorer.status();
  return *std::move(scorer);
}

// A pair and its job; the job refers to the rest, so it stays where it is.
struct Pair {
  std::vector<std::uint8_t> reference, distorted;
  std::vector<ResolvedMetric> metrics;
  PairJob job;

  Pair(const Scorer& scorer, int width, int height, const std::vector<std::string>& ids, bool maps)
      : reference(std::size_t{3} * width * height), distorted(reference.size()) {
    testing::FillScene(width, height, reference.data(), distorted.data());
    for (const std::string& id : ids) {
      auto resolved = scorer.Resolve({id, {}, false, maps && id != "butteraugli"});
      EXPECT_TRUE(resolved.ok()) << resolved.status();
      metrics.push_back(*std::move(resolved));
      metrics.back().want_map = maps && !metrics.back().info->map.empty();
    }
    job.reference = {reference.data(), width, height, 3};
    job.reference.row_bytes = 3 * width;
    job.distorted = job.reference;
    job.distorted.data = distorted.data();
    job.metrics = metrics;
  }
};

double Largest(const Tensor& tensor) {
  double largest = 0.0;
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) largest = std::fmax(largest, std::fabs(tensor.data[i]));
  return largest;
}

void ExpectNear(const Tensor& a, const Tensor& b, const std::string& what, double tolerance = 2e-3) {
  ASSERT_EQ(a.sample_count(), b.sample_count()) << what;
  const double scale = std::fmax(Largest(b), 1e-12);
  for (std::int64_t i = 0; i < a.sample_count(); ++i) {
    ASSERT_NEAR(a.data[i], b.data[i], tolerance * scale) << what << " " << i;
  }
}

// Several metrics in one request, the steps that they share computed once, one of them on the CPU.
TEST(CudaScorer, ScoresAsTheCpuDoes) {
  const auto cuda = Make(Backend::kCuda), cpu = Make(Backend::kCpu);
  EXPECT_EQ(cuda->backend(), "cuda");
  EXPECT_GT(cuda->batches_at_once(), 1);
  const std::vector<std::string> ids = {"mae", "psnr", "gmsd", "ms_gmsd", "ssim", "butteraugli"};
  for (const auto& [width, height] : {std::pair{64, 48}, std::pair{97, 61}}) {
    Pair on_cuda(*cuda, width, height, ids, true), on_cpu(*cpu, width, height, ids, true);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      EXPECT_STREQ(on_cuda.metrics[i].backend, ids[i] == "butteraugli" ? "cpu" : "cuda");
    }
    cuda->Score({&on_cuda.job});
    cpu->Score({&on_cpu.job});
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const MetricResult& a = on_cuda.job.results[i];
      const MetricResult& b = on_cpu.job.results[i];
      ASSERT_TRUE(a.status.ok()) << ids[i] << ": " << a.status;
      ASSERT_TRUE(b.status.ok()) << ids[i] << ": " << b.status;
      EXPECT_NEAR(a.score, b.score, 1e-5 * std::fabs(b.score)) << ids[i];
      ExpectNear(a.map, b.map, ids[i] + " map");
      ExpectNear(a.gradient, b.gradient, ids[i] + " gradient");
    }
  }
  const std::vector<DeviceState> devices = cuda->devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].busy_slots, 0);
  EXPECT_EQ(devices[0].outstanding_bytes, 0);
  EXPECT_EQ(devices[0].batches, 2);
  EXPECT_GT(devices[0].launches, 0);
}

// The walk makes no map: the program does.
TEST(CudaScorer, AddsTheMapThatAWalkDoesNotMake) {
  const auto cuda = Make(Backend::kCuda), cpu = Make(Backend::kCpu);
  const std::vector<std::string> ids = {"ms_dssim"};
  Pair with_map(*cuda, 161, 163, ids, true), without(*cuda, 161, 163, ids, false), on_cpu(*cpu, 161, 163, ids, true);
  cuda->Score({&without.job, &with_map.job});
  cpu->Score({&on_cpu.job});
  const MetricResult& result = with_map.job.results[0];
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.score, without.job.results[0].score);
  ExpectNear(result.map, on_cpu.job.results[0].map, "map");
  ExpectNear(result.gradient, on_cpu.job.results[0].gradient, "gradient");
}

// Tolerances of maps and gradients as in tests/unit/walk_test.cc.
TEST(CudaScorer, WalksScoreAsTheirProgramsDo) {
  const std::vector<std::string> ids = {
      "mae",     "mse",         "rmse",       "sse",         "psnr", "psnr:piq", "huber",          "smooth_l1",
      "logcosh", "charbonnier", "mbe",        "smooth_loss", "ssim", "dssim",    "dssim:faceswap", "quantile",
      "barron",  "mape",        "mape:image", "smape",       "mpe"};
  std::vector<std::unique_ptr<Pair>> pairs[2];
  std::int64_t launches[2];
  for (const bool fused : {false, true}) {  // one after the other: the emulated GPU is small
    const auto scorer = Make(Backend::kCuda, fused);
    for (const auto& [width, height] : {std::pair{11, 11}, std::pair{64, 48}, std::pair{97, 61}}) {
      Pair& pair = *pairs[fused].emplace_back(std::make_unique<Pair>(*scorer, width, height, ids, true));
      scorer->Score({&pair.job});
      const auto explained = scorer->Explain(pair.metrics, pair.job.reference, pair.job.distorted, false);
      ASSERT_TRUE(explained.ok());
      EXPECT_EQ(explained->walks.size(), fused ? ids.size() : 0);
    }
    launches[fused] = scorer->devices()[0].launches;
  }
  for (int p = 0; p < 3; ++p) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const MetricResult& a = pairs[1][p]->job.results[i];
      const MetricResult& b = pairs[0][p]->job.results[i];
      ASSERT_TRUE(a.status.ok()) << ids[i] << ": " << a.status;
      ASSERT_TRUE(b.status.ok()) << ids[i] << ": " << b.status;
      // S of one window, which is all that 11x11 has, is right to 1e-6 on either side.
      const bool ssim = ids[i].find("ssim") != std::string::npos;
      EXPECT_NEAR(a.score, b.score, ssim ? 2e-6 : 1e-6 * std::fabs(b.score)) << ids[i];
      ExpectNear(a.map, b.map, ids[i] + " map", 5e-5);
      ExpectNear(a.gradient, b.gradient, ids[i] + " gradient", 5e-4);
    }
  }
  // One reading of the pixels serves all pointwise metrics: a pair takes fewer launches than it has metrics.
  EXPECT_LT(launches[true], 3 * static_cast<std::int64_t>(ids.size()));
  EXPECT_LT(launches[true], launches[false] / 3);
}

// The CPU, which lacks it, runs the program.
TEST(CudaScorer, AWalkMayBeTheGpusAlone) {
  const std::vector<std::string> ids = {"ms_ssim", "ms_ssim:pyiqa", "flip", "ssimulacra2"};
  std::vector<std::unique_ptr<Pair>> pairs;
  for (const Backend backend : {Backend::kCuda, Backend::kCpu}) {
    const auto scorer = Make(backend);
    Pair& pair = *pairs.emplace_back(std::make_unique<Pair>(*scorer, 187, 164, ids, true));
    scorer->Score({&pair.job});
    const auto explained = scorer->Explain(pair.metrics, pair.job.reference, pair.job.distorted, false);
    ASSERT_TRUE(explained.ok());
    const std::vector<int> on_cuda = {0, 2, 3}, on_cpu = {0};
    EXPECT_EQ(explained->walks, backend == Backend::kCuda ? on_cuda : on_cpu);
    const auto plan = scorer->MakePlan(pair.metrics[0], pair.job.reference, pair.job.distorted);
    ASSERT_TRUE(plan.ok());
    EXPECT_GT(plan->workspace_bytes, 0);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const MetricResult& a = pairs[0]->job.results[i];
    const MetricResult& b = pairs[1]->job.results[i];
    ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
    EXPECT_NEAR(a.score, b.score, ids[i] == "ssimulacra2" ? 1e-4 : 2e-6) << ids[i];  // of 100, and of 1
    ExpectNear(a.map, b.map, ids[i] + " map");
    ExpectNear(a.gradient, b.gradient, ids[i] + " gradient", 5e-4);
  }
}

// By programs and by walks; what the CPU computes comes as float.
TEST(CudaScorer, WritesFloat16WhereItIsTaken) {
  const auto scorer = Make(Backend::kCuda);
  const std::vector<std::string> ids = {"gmsd", "ssim:kornia", "ssim", "mae", "psnr", "l_inf_norm", "ms_ssim"};
  Pair whole(*scorer, 171, 163, ids, true), halved(*scorer, 171, 163, ids, true);
  for (ResolvedMetric& metric : halved.metrics) metric.takes_half = true;
  scorer->Score({&whole.job});
  scorer->Score({&halved.job});
  const auto expect_halved = [](const Tensor& half, const Tensor& whole, const std::string& what) {
    ASSERT_EQ(half.sample_count(), whole.sample_count()) << what;
    ASSERT_EQ(half.empty(), whole.empty()) << what;
    EXPECT_EQ(half.data, nullptr) << what;
    EXPECT_EQ(half.offset_x, whole.offset_x) << what;
    for (std::int64_t i = 0; i < half.sample_count(); ++i) {
      ASSERT_EQ(half.half[i], server::ToHalf(whole.data[i])) << what << " " << i;
    }
  };
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const MetricResult& a = halved.job.results[i];
    const MetricResult& b = whole.job.results[i];
    ASSERT_TRUE(a.status.ok()) << ids[i] << ": " << a.status;
    EXPECT_EQ(a.score, b.score);
    EXPECT_FALSE(a.gradient.empty()) << ids[i];
    expect_halved(a.gradient, b.gradient, ids[i] + " gradient");
    expect_halved(a.map, b.map, ids[i] + " map");
  }
  Pair on_cpu(*scorer, 32, 32, {"butteraugli"}, true);
  on_cpu.metrics[0].takes_half = true;
  scorer->Score({&on_cpu.job});
  EXPECT_NE(on_cpu.job.results[0].map.data, nullptr);
}

// A gradient's output alone takes a good part of a slot's: the batch does not fit at once.
TEST(CudaScorer, SplitsABatchThatExceedsASlot) {
  const auto scorer = Make(Backend::kCuda);
  std::vector<std::unique_ptr<Pair>> pairs;
  std::vector<PairJob*> jobs;
  for (int i = 0; i < 5; ++i) {
    pairs.push_back(std::make_unique<Pair>(*scorer, 700, 500, std::vector<std::string>{"mae"}, true));
    jobs.push_back(&pairs.back()->job);
  }
  scorer->Score(jobs);
  EXPECT_GT(scorer->devices()[0].batches, 1);
  EXPECT_LT(scorer->devices()[0].batches, 5);
  for (const auto& pair : pairs) {
    ASSERT_TRUE(pair->job.results[0].status.ok()) << pair->job.results[0].status;
    EXPECT_EQ(pair->job.results[0].score, pairs[0]->job.results[0].score);
  }
}

TEST(CudaScorer, RefusesAPairThatExceedsASlotAndScoresTheOthers) {
  const auto scorer = Make(Backend::kCuda);
  Pair small(*scorer, 32, 32, {"mae"}, true), large(*scorer, 3000, 2000, {"mae"}, true);
  PairJob* const jobs[] = {&large.job, &small.job};
  scorer->Score(jobs);
  EXPECT_EQ(large.job.results[0].status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(small.job.results[0].status.ok()) << small.job.results[0].status;
  EXPECT_TRUE(scorer->health().ok());
}

TEST(CudaScorer, ServesManyThreads) {
  const auto scorer = Make(Backend::kCuda);
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int i = 0; i < 6; ++i) {
    pairs.push_back(std::make_unique<Pair>(*scorer, 64, 48, std::vector<std::string>{"gmsd", "mse"}, true));
  }
  for (const auto& pair : pairs) {
    threads.emplace_back([&] { scorer->Score({&pair->job}); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& pair : pairs) {
    for (int k = 0; k < 2; ++k) {
      ASSERT_TRUE(pair->job.results[k].status.ok()) << pair->job.results[k].status;
      EXPECT_EQ(pair->job.results[k].score, pairs[0]->job.results[k].score);
    }
  }
}

// The context is lost: what was asked fails, and so does all that comes, but no result looks like a score.
TEST(CudaScorer, SaysWhenAGpuIsLost) {
  const auto scorer = Make(Backend::kCuda);
  Pair before(*scorer, 32, 32, {"gmsd"}, true), during(*scorer, 32, 32, {"gmsd", "butteraugli"}, false),
      after(*scorer, 32, 32, {"mae"}, false);
  scorer->Score({&before.job});
  EXPECT_TRUE(before.job.results[0].status.ok()) << before.job.results[0].status;
  FailEmulatedWork(3, cudaErrorIllegalAddress, /*sticky=*/true);
  scorer->Score({&during.job});
  scorer->Score({&after.job});
  ForgetEmulatedFailure();
  EXPECT_EQ(during.job.results[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(during.job.results[1].status.ok()) << during.job.results[1].status;  // the CPU's
  EXPECT_EQ(after.job.results[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(scorer->health().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(scorer->health().message()), ::testing::HasSubstr("cudaErrorIllegalAddress"));
  EXPECT_EQ(scorer->devices()[0].errors, 2);
  EXPECT_EQ(scorer->devices()[0].busy_slots, 0);
}

// A launch that is refused costs its batch, not the GPU.
TEST(CudaScorer, OutlivesARefusedLaunch) {
  const auto scorer = Make(Backend::kCuda);
  Pair pair(*scorer, 32, 32, {"gmsd"}, false);
  FailEmulatedWork(3, cudaErrorInvalidConfiguration, /*sticky=*/false);
  scorer->Score({&pair.job});
  EXPECT_EQ(pair.job.results[0].status.code(), absl::StatusCode::kInternal);
  scorer->Score({&pair.job});
  EXPECT_TRUE(pair.job.results[0].status.ok()) << pair.job.results[0].status;
  EXPECT_TRUE(scorer->health().ok());
}

// A library finds no memory beside the slots: the batch is halved until it does.
TEST(CudaScorer, HalvesABatchThatFindsNoMemory) {
  const auto scorer = Make(Backend::kCuda);
  std::vector<std::unique_ptr<Pair>> pairs;
  std::vector<PairJob*> jobs;
  for (int i = 0; i < 4; ++i) {
    pairs.push_back(std::make_unique<Pair>(*scorer, 32, 32, std::vector<std::string>{"gmsd"}, false));
    jobs.push_back(&pairs.back()->job);
  }
  FailEmulatedWork(3, cudaErrorMemoryAllocation, /*sticky=*/false);
  scorer->Score(jobs);
  for (const auto& pair : pairs) EXPECT_TRUE(pair->job.results[0].status.ok()) << pair->job.results[0].status;
  EXPECT_TRUE(scorer->health().ok());
}

TEST(CudaScorer, WithoutAGpuAutoTakesTheCpuAndSaysWhy) {
  SetEmulatedDevices({});
  ScorerOptions options;
  options.backend = Backend::kCuda;
  EXPECT_EQ(Scorer::Create(options).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto scorer = Make(Backend::kAuto);
  EXPECT_EQ(scorer->backend(), "cpu");
  EXPECT_THAT(scorer->cuda_note(), ::testing::HasSubstr("scoring on the CPU"));
  SetEmulatedDevices({std::int64_t{1} << 30});
}

TEST(CudaScorer, SpreadsBatchesOverAllGpus) {
  SetEmulatedDevices({std::int64_t{1} << 30, std::int64_t{1} << 30});
  {
    const auto scorer = Make(Backend::kAuto);
    EXPECT_EQ(scorer->backend(), "cuda");
    ASSERT_EQ(scorer->devices().size(), 2u);
    EXPECT_EQ(scorer->batches_at_once(), 6);
    std::vector<std::unique_ptr<Pair>> pairs;
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
      pairs.push_back(std::make_unique<Pair>(*scorer, 200, 150, std::vector<std::string>{"gmsd"}, false));
    }
    for (const auto& pair : pairs) {
      threads.emplace_back([&] { scorer->Score({&pair->job}); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& pair : pairs) {
      ASSERT_TRUE(pair->job.results[0].status.ok()) << pair->job.results[0].status;
      EXPECT_EQ(pair->job.results[0].score, pairs[0]->job.results[0].score);
    }
    EXPECT_EQ(scorer->devices()[0].batches + scorer->devices()[1].batches, 6);
  }
  SetEmulatedDevices({std::int64_t{1} << 30});
}

}  // namespace
}  // namespace likeness
