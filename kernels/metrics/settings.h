// What a metric's program is given beside its images, and what it says of itself. Included by every metric; standard
// library only, so that nvcc alone compiles a program.
#pragma once

#include <string>
#include <variant>

#include "kernels/metric_info.h"
#include "kernels/ops/conv_trunk/trunk_weights.h"
#include "kernels/walks/walk_request.h"

namespace likeness {

// Parameters of one request after Resolve, all present: a name that is missing is our bug.
class Settings {
 public:
  // `trunk`: of a learned metric; its spec is the program's to say.
  Settings(const std::string& convention, const Parameters& parameters, const TrunkUse& trunk = {})
      : convention_(convention), parameters_(parameters), trunk_(trunk) {}

  const std::string& convention() const { return convention_; }
  double Number(const std::string& name) const { return std::get<double>(parameters_.at(name)); }
  bool Flag(const std::string& name) const { return std::get<bool>(parameters_.at(name)); }
  const std::string& Choice(const std::string& name) const { return std::get<std::string>(parameters_.at(name)); }
  Precision precision() const { return trunk_.precision; }
  TrunkUse Trunk(const TrunkSpec& spec) const { return {&spec, trunk_.weights, trunk_.prepared, trunk_.precision}; }

 private:
  const std::string& convention_;
  const Parameters& parameters_;
  TrunkUse trunk_;
};

}  // namespace likeness
