// A device that computes nothing: a program run on it yields what the real run will cost.
#pragma once

#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/tape.h"

namespace likeness::plan {

class PlanDevice {
 public:
  PlanDevice(int bytes_per_sample, FeatureLayout feature_layout)
      : bytes_per_sample_(bytes_per_sample), feature_layout_(feature_layout) {}

  int bytes_per_sample() const { return bytes_per_sample_; }
  FeatureLayout feature_layout() const { return feature_layout_; }

  template <class Kernel>
  void Run(const Cost& cost, Kernel&&) {
    total_.bytes += cost.bytes;
    total_.operations += cost.operations;
  }

  // As CUDA does, whose features these are.
  bool takes_turns() const { return feature_layout_ == FeatureLayout::kPixels; }
  template <class First, class Second>
  void Beside(First& first, Second& second) {
    first();
    second();
  }

  const Cost& total() const { return total_; }

 private:
  int bytes_per_sample_;
  FeatureLayout feature_layout_;
  Cost total_;
};

// The same for plans whose steps are surveyed. A class of its own, so that the CUDA side's plans need no keys.
class SurveyDevice : public PlanDevice {
 public:
  using PlanDevice::PlanDevice;
  static constexpr bool kSurveys = true;
};

}  // namespace likeness::plan
