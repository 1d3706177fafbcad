// What a metric's program is given beside its images, and what it says of itself. Included by every metric; standard
// library only, so that nvcc alone compiles a program.
#pragma once

#include <string>
#include <variant>

#include "kernels/metric_info.h"
#include "kernels/walks/walk_request.h"

namespace likeness {

class PreparedTrunk;

// Parameters of one request after Resolve, all present: a name that is missing is our bug.
class Settings {
 public:
  Settings(const std::string& convention, const Parameters& parameters, const PreparedTrunk* trunk = nullptr)
      : convention_(convention), parameters_(parameters), trunk_(trunk) {}

  const std::string& convention() const { return convention_; }
  double Number(const std::string& name) const { return std::get<double>(parameters_.at(name)); }
  bool Flag(const std::string& name) const { return std::get<bool>(parameters_.at(name)); }
  const std::string& Choice(const std::string& name) const { return std::get<std::string>(parameters_.at(name)); }
  // The weights of a learned metric, ready for the size of the pair; null for others, and while planning.
  const PreparedTrunk* trunk() const { return trunk_; }

 private:
  const std::string& convention_;
  const Parameters& parameters_;
  const PreparedTrunk* trunk_;
};

}  // namespace likeness
