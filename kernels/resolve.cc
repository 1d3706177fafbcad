#include "kernels/resolve.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

// In lower case and without what people put between words: "msssim" for "MS-SSIM".
std::string Plain(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (absl::ascii_isalnum(c)) plain.push_back(absl::ascii_tolower(c));
  }
  return plain;
}

// Characters to insert, delete, replace or swap with their neighbour (optimal string alignment).
std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> of(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t k = 0; k <= b.size(); ++k) {
      of[i][k] = std::max(i, k);
      if (i == 0 || k == 0) continue;
      const std::size_t replaced = a[i - 1] == b[k - 1] ? 0 : 1;
      of[i][k] = std::min({of[i - 1][k] + 1, of[i][k - 1] + 1, of[i - 1][k - 1] + replaced});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) {
        of[i][k] = std::min(of[i][k], of[i - 2][k - 2] + 1);
      }
    }
  }
  return of[a.size()][b.size()];
}

}  // namespace

absl::Status NoSuchMetric(const std::string& name, const std::vector<std::string>& known) {
  constexpr std::size_t kSuggestions = 3;
  constexpr std::size_t kTellingPrefix = 3;
  const std::string plain = Plain(name);
  const std::size_t allowed = plain.size() / 3;
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& candidate : known) {
    const std::string other = Plain(candidate);
    // Also the least distance that the two can have, so that nothing is computed for a name of a million characters.
    std::size_t distance = std::max(plain.size(), other.size()) - std::min(plain.size(), other.size());
    if (plain.size() >= kTellingPrefix && absl::StartsWith(other, plain)) {
      distance = std::min<std::size_t>(distance, 1);  // "lpips" begins three names, all as near
    } else if (distance <= allowed) {
      distance = EditDistance(plain, other);
    }
    if (distance <= allowed) near.emplace_back(distance, candidate);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (!near.empty()) near.resize(near.front().first == 0 ? 1 : std::min(near.size(), kSuggestions));
  const std::string what = absl::StrCat("there is no metric \"", name, "\"; ");
  if (near.empty()) return absl::NotFoundError(absl::StrCat(what, "known metrics are ", Names(known)));
  const auto append = [](std::string* out, const auto& one) { absl::StrAppend(out, one.second); };
  return absl::NotFoundError(absl::StrCat(what, "did you mean ", absl::StrJoin(near, " or ", append), "?"));
}

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
    return NoSuchMetric(id, ids);
  }
  const MetricInfo& info = metrics[resolved.index];
  resolved.info = &info;
  if (!info.unavailable.empty()) return absl::FailedPreconditionError(info.unavailable);

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
    return absl::FailedPreconditionError(convention->unavailable);
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
