// Where the command's scores come from: a server, or this very process. Both speak the wire contract's messages, so
// that everything else of the command is written once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/scorer.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

class Engine {
 public:
  virtual ~Engine() = default;
  virtual absl::StatusOr<v1::ListMetricsResponse> ListMetrics() = 0;
  // Results are in the order of the request's metrics; each can fail alone.
  virtual absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) = 0;
  // Scores `count` pairs, many at a time. `next` fills a request with a request_id of its own, or returns false when
  // there are no more; `answer` gets every response, in any order, with the code of a pair that failed as a whole. Each
  // is called by one thread at a time, and they may run side by side.
  virtual absl::Status ScorePairs(std::size_t count, const std::function<bool(v1::ScoreRequest& request)>& next,
                                  const std::function<void(v1::ScoreResponse response)>& answer) = 0;
};

struct LocalOptions {
  int threads = 0;          // 0: one per core this process may use
  std::string weights_dir;  // empty: where the scorer looks by itself
  // Most that a metric's workspace may take, and that images and outputs may; 0: half of what the machine has.
  std::int64_t memory_bytes = 0;
};

// FAILED_PRECONDITION when no scorer can be had on this machine. NOT_FOUND: no such folder of weights.
absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(const LocalOptions& options);

// Fails as MakeScorer does.
absl::StatusOr<std::unique_ptr<Engine>> MakeLocalEngine(const LocalOptions& options);

// Does not connect yet.
absl::StatusOr<std::unique_ptr<Engine>> MakeServerEngine(const std::string& address, absl::Duration timeout);

}  // namespace likeness::cli
