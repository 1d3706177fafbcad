#include "kernels/resolve.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"

namespace likeness {
namespace {

std::string Names(const std::vector<std::string>& names) { return absl::StrJoin(names, ", "); }

template <class List>
std::vector<std::string> NamesOf(const List& list) {
  std::vector<std::string> names;
  for (const auto& item : list) names.push_back(item.name);
  return names;
}

absl::Status CheckParameter(const MetricInfo& info, const ParameterInfo& parameter, const ParameterValue& value) {
  const std::string what = absl::StrCat("parameter ", info.id, ".", parameter.name);
  if (value.index() != parameter.default_value.index()) {
    static constexpr const char* kKinds[] = {"true or false", "a number", "a name"};
    return absl::InvalidArgumentError(absl::StrCat(what, " must be ", kKinds[parameter.default_value.index()]));
  }
  if (const double* number = std::get_if<double>(&value)) {
    if (!(*number >= parameter.minimum && *number <= parameter.maximum)) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " is ", *number, "; it must lie from ", parameter.minimum, " to ", parameter.maximum));
    }
    if (parameter.whole && *number != std::floor(*number)) {
      return absl::InvalidArgumentError(absl::StrCat(what, " is ", *number, "; it must be a whole number"));
    }
  }
  if (const std::string* name = std::get_if<std::string>(&value)) {
    for (const std::string& choice : parameter.choices) {
      if (choice == *name) return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is \"", *name, "\"; choose one of: ", Names(parameter.choices)));
  }
  return absl::OkStatus();
}

// "gmsd:faceswap" for "faceswap/gmsd"; other ids as they are.
std::string WithoutAlias(absl::Span<const MetricInfo> metrics, const std::string& id) {
  for (const MetricInfo& info : metrics) {
    for (const AliasInfo& alias : info.aliases) {
      if (alias.name == id) return absl::StrCat(info.id, ":", alias.convention);
    }
  }
  return id;
}

}  // namespace

absl::StatusOr<ResolvedMetric> ResolveRequest(absl::Span<const MetricInfo> metrics, const MetricRequest& request) {
  const std::string asked = WithoutAlias(metrics, request.id);
  const std::size_t colon = asked.find(':');
  const std::string id = asked.substr(0, colon);
  ResolvedMetric resolved;
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    if (metrics[i].id == id) resolved.index = static_cast<int>(i);
  }
  if (resolved.index < 0) {
    std::vector<std::string> ids;
    for (const MetricInfo& info : metrics) {
      ids.push_back(info.id);
      for (const AliasInfo& alias : info.aliases) ids.push_back(alias.name);
    }
    return absl::NotFoundError(absl::StrCat("there is no metric \"", id, "\"; choose one of: ", Names(ids)));
  }
  const MetricInfo& info = metrics[resolved.index];
  resolved.info = &info;
  if (!info.unavailable.empty()) return absl::FailedPreconditionError(absl::StrCat(id, ": ", info.unavailable));

  if (colon == std::string::npos && info.needs_convention) {
    return absl::InvalidArgumentError(absl::StrCat(id, " is experimental and has no default convention; ask for ", id,
                                                   ":", info.conventions.front().name));
  }
  const ConventionInfo* convention = nullptr;
  resolved.convention = colon == std::string::npos ? info.conventions.front().name : asked.substr(colon + 1);
  for (const ConventionInfo& candidate : info.conventions) {
    if (candidate.name == resolved.convention) convention = &candidate;
  }
  if (convention == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(id, " has no convention \"", resolved.convention,
                                                   "\"; choose one of: ", Names(NamesOf(info.conventions))));
  }
  if (!convention->unavailable.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(id, ":", convention->name, ": ", convention->unavailable));
  }

  for (const ParameterInfo& parameter : info.parameters) {
    resolved.parameters[parameter.name] = parameter.default_value;
  }
  for (const auto& [name, value] : convention->parameters) resolved.parameters[name] = value;
  for (const auto& [name, value] : request.parameters) {
    const ParameterInfo* known = nullptr;
    for (const ParameterInfo& parameter : info.parameters) {
      if (parameter.name == name) known = &parameter;
    }
    if (known == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(id, " has no parameter \"", name,
                       "\"; it has: ", info.parameters.empty() ? "none" : Names(NamesOf(info.parameters))));
    }
    RETURN_IF_ERROR(CheckParameter(info, *known, value));
    resolved.parameters[name] = value;
  }

  if (request.want_map && info.map.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(id, " has no map; ask for its score or gradient"));
  }
  if (request.want_gradient && !info.has_gradient) {
    return absl::InvalidArgumentError(absl::StrCat(id, " has no gradient; ask for its score"));
  }
  resolved.want_map = request.want_map;
  resolved.want_gradient = request.want_gradient;
  return resolved;
}

}  // namespace likeness
