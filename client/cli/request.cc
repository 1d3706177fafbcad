#include "client/cli/request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/numbers.h"
#include "kernels/resolve.h"

namespace likeness::cli {
namespace {

absl::string_view BareId(absl::string_view name) { return name.substr(0, name.find(':')); }

absl::StatusOr<v1::ParameterValue> ParseParameter(const v1::ParameterInfo& info, absl::string_view name,
                                                  absl::string_view text) {
  v1::ParameterValue value;
  switch (info.default_value().value_case()) {
    case v1::ParameterValue::kBoolValue:
      if (text != "true" && text != "false") {
        return absl::InvalidArgumentError(absl::StrCat(name, " is \"", text, "\"; must be true or false"));
      }
      value.set_bool_value(text == "true");
      return value;
    case v1::ParameterValue::kNumberValue: {
      absl::StatusOr<double> number = ParseNumber(text, name);
      if (!number.ok()) return number.status();
      value.set_number_value(*number);
      return value;
    }
    default:
      value.set_string_value(std::string(text));
      return value;
  }
}

// A metric, or a loss's term, that parameters can be set on.
struct Parametrised {
  std::string metric;
  google::protobuf::Map<std::string, v1::ParameterValue>* parameters;
};
std::vector<Parametrised> AllParametrised(std::vector<Asked>& asked) {
  std::vector<Parametrised> all;
  for (Asked& one : asked) {
    if (one.request.terms().empty()) all.push_back({one.request.metric(), one.request.mutable_parameters()});
    for (v1::Term& term : *one.request.mutable_terms()) all.push_back({term.metric(), term.mutable_parameters()});
  }
  return all;
}

}  // namespace

std::string Gate::Flag() const {
  return absl::StrCat(kind == Kind::kFailUnder ? "--fail-under " : "--fail-over ", metric, "=", FormatNumber(limit));
}

// Written so that a NaN, should one ever arrive, passes nothing.
bool Gate::Passes(double score) const { return kind == Kind::kFailUnder ? score >= limit : score <= limit; }

absl::StatusOr<Gate> ParseGate(Gate::Kind kind, absl::string_view text) {
  Gate gate;
  gate.kind = kind;
  const std::string flag = kind == Gate::Kind::kFailUnder ? "--fail-under" : "--fail-over";
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.first.empty() || parts.second.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " is \"", text, "\"; must be METRIC=NUMBER, as in ssim=0.98"));
  }
  absl::StatusOr<double> limit = ParseNumber(parts.second, absl::StrCat("the limit of ", flag, " ", parts.first));
  if (!limit.ok()) return limit.status();
  gate.metric = std::string(parts.first);
  gate.limit = *limit;
  return gate;
}

bool NameMeans(absl::string_view name, absl::string_view asked, const std::vector<std::string>& asked_names) {
  if (name == asked) return true;
  if (name != BareId(asked)) return false;
  return std::find(asked_names.begin(), asked_names.end(), name) == asked_names.end();
}

absl::StatusOr<std::vector<std::string>> SplitMetricNames(const std::vector<std::string>& flags) {
  std::vector<std::string> names;
  for (const std::string& flag : flags) {
    for (absl::string_view part : absl::StrSplit(flag, ',')) {
      const std::string name(absl::StripAsciiWhitespace(part));
      if (name.empty()) {
        return absl::InvalidArgumentError(absl::StrCat("--metric is \"", flag, "\"; names are separated by one comma"));
      }
      if (std::find(names.begin(), names.end(), name) != names.end()) {
        return absl::InvalidArgumentError(absl::StrCat("--metric names ", name, " twice; name it once"));
      }
      names.push_back(name);
    }
  }
  return names;
}

absl::Status SetParameter(absl::string_view text, const v1::ListMetricsResponse& listed, std::vector<Asked>& asked) {
  const std::pair<absl::string_view, absl::string_view> sides = absl::StrSplit(text, absl::MaxSplits('=', 1));
  const std::pair<absl::string_view, absl::string_view> path = absl::StrSplit(sides.first, absl::MaxSplits('.', 1));
  if (path.first.empty() || path.second.empty() || sides.second.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--parameter is \"", text, "\"; must be METRIC.PARAMETER=VALUE, as in huber.delta=0.05"));
  }
  const std::vector<Parametrised> all = AllParametrised(asked);
  std::vector<std::string> names;
  for (const Parametrised& one : all) names.push_back(one.metric);
  bool found = false;
  for (const Parametrised& one : all) {
    if (!NameMeans(path.first, one.metric, names)) continue;
    found = true;
    const v1::MetricInfo* metric = FindMetric(listed, one.metric);
    // An unknown metric fails by itself in a moment, with a better message than this place has.
    if (metric == nullptr) continue;
    const auto& parameters = metric->parameters();
    const auto info = std::find_if(parameters.begin(), parameters.end(),
                                   [&](const v1::ParameterInfo& p) { return p.name() == path.second; });
    if (info == parameters.end()) {
      const std::string known = absl::StrJoin(
          parameters, ", ", [](std::string* out, const v1::ParameterInfo& p) { absl::StrAppend(out, p.name()); });
      return absl::InvalidArgumentError(absl::StrCat("--parameter ", text, ": ", metric->id(), " has no parameter \"",
                                                     path.second, "\"; it has ", known.empty() ? "none" : known));
    }
    absl::StatusOr<v1::ParameterValue> value =
        ParseParameter(*info, absl::StrCat("--parameter ", sides.first), sides.second);
    if (!value.ok()) return value.status();
    if (!one.parameters->insert({std::string(path.second), *std::move(value)}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--parameter ", text, " sets ", path.second, " of ", one.metric, " a second time; set it once"));
    }
  }
  if (!found) {
    return absl::InvalidArgumentError(absl::StrCat("--parameter ", text, " is for ", path.first,
                                                   ", which was not asked for; add it to --metric or --loss"));
  }
  return absl::OkStatus();
}

const v1::MetricInfo* FindMetric(const v1::ListMetricsResponse& listed, absl::string_view name) {
  for (const v1::MetricInfo& metric : listed.metrics()) {
    if (metric.id() == BareId(name)) return &metric;
    for (const v1::AliasInfo& alias : metric.aliases()) {
      if (alias.name() == name) return &metric;
    }
  }
  return nullptr;
}

absl::Status NoSuchMetric(const v1::ListMetricsResponse& listed, absl::string_view name) {
  std::vector<std::string> known;
  for (const v1::MetricInfo& metric : listed.metrics()) {
    known.push_back(metric.id());
    for (const v1::AliasInfo& alias : metric.aliases()) known.push_back(alias.name());
  }
  return likeness::NoSuchMetric(std::string(BareId(name)), known);
}

}  // namespace likeness::cli
