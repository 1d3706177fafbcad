// Between the contract's messages and the server's own types. Nothing else in the server but service.cc sees protobuf.
#pragma once

#include "absl/status/status.h"
#include "kernels/scorer.h"
#include "likeness/v1/likeness.pb.h"
#include "server/config.h"
#include "server/pipeline.h"

namespace likeness::server {

// Fills the caller's part of `work` but for deadline, cancelled and done. `work` then holds views into `request`.
// INVALID_ARGUMENT: an image without a source, a value that means nothing here or is out of its bounds, a metric that
// is neither a name nor a sum.
absl::Status FromProto(const v1::ScoreRequest& request, PairWork& work);
// The same for the pair of one of several distorted images; its reference is for the caller to fill.
absl::Status FromProto(const v1::ScoreManyRequest& request, int index, PairWork& work);
// INVALID_ARGUMENT: the id is empty.
absl::StatusOr<std::string> ToReferenceId(const v1::Image& image);
absl::Status FromProto(const v1::Image& image, KeepWork& work);

// Fills results and timing; frees each map and gradient once it is in `response`. A tensor that float16 cannot hold
// fails its metric, in its outcome as well. A pair that failed as a whole leaves its code, message and reason.
void ToProto(const v1::ScoreRequest& request, PairWork& work, v1::ScoreResponse* response);
// The same, but for the reason.
void ToProto(PairWork& work, v1::PairScores* scores);

v1::Direction ToProto(Direction direction);
void ToProto(const ParameterValue& value, v1::ParameterValue* out);

// `cost` may be null: not known.
void ToProto(const MetricInfo& info, const Plan* cost, v1::MetricInfo* out);

// Every metric of the scorer, with what a 1920x1080 RGB pair costs where that can be planned.
void DescribeMetrics(const Scorer& scorer, v1::ListMetricsResponse* response);

// What computes this scorer's scores.
v1::Provenance ProvenanceOf(const Scorer& scorer);

void ToProto(const ServerConfig& config, v1::Limits* out);

}  // namespace likeness::server
