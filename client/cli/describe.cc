#include "client/cli/describe.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/diagnostics.h"
#include "client/cli/exit_code.h"
#include "client/cli/json.h"
#include "client/cli/numbers.h"
#include "client/cli/request.h"

namespace likeness::cli {
namespace {

constexpr std::size_t kTextWidth = 100;

std::string RangeText(const v1::MetricInfo& metric) {
  return absl::StrCat(std::isinf(metric.range_low()) ? "(" : "[", FormatNumber(metric.range_low()), ", ",
                      FormatNumber(metric.range_high()), std::isinf(metric.range_high()) ? ")" : "]");
}

std::string ValueText(const v1::ParameterValue& value) {
  const Json json = ParameterJson(value);
  return json.is_string() ? json.get<std::string>() : json.dump();
}

Json MetricJson(const v1::MetricInfo& metric) {
  Json json;
  json["id"] = metric.id();
  json["version"] = metric.version();
  json["family"] = metric.family();
  json["summary"] = metric.summary();
  json["direction"] = DirectionName(metric.direction());
  json["range"] = {JsonNumber(metric.range_low()), JsonNumber(metric.range_high())};
  json["identity"] = JsonNumber(metric.identity());
  json["conventions"] = Json::array();
  for (const v1::ConventionInfo& convention : metric.conventions()) {
    Json entry = {{"name", convention.name()},
                  {"description", convention.description()},
                  {"takes_weights", convention.takes_weights()}};
    if (!convention.unavailable().empty()) entry["unavailable"] = convention.unavailable();
    json["conventions"].push_back(std::move(entry));
  }
  json["aliases"] = Json::array();
  for (const v1::AliasInfo& alias : metric.aliases()) {
    json["aliases"].push_back({{"name", alias.name()}, {"convention", alias.convention()}});
  }
  json["parameters"] = Json::array();
  for (const v1::ParameterInfo& parameter : metric.parameters()) {
    Json entry;
    entry["name"] = parameter.name();
    entry["description"] = parameter.description();
    entry["default"] = ParameterJson(parameter.default_value());
    if (parameter.default_value().has_number_value()) {
      entry["minimum"] = JsonNumber(parameter.minimum());
      entry["maximum"] = JsonNumber(parameter.maximum());
      entry["whole"] = parameter.whole();
    }
    if (!parameter.choices().empty()) entry["choices"] = parameter.choices();
    json["parameters"].push_back(std::move(entry));
  }
  json["min_width"] = metric.min_width();
  json["min_height"] = metric.min_height();
  json["symmetric"] = metric.symmetric();
  json["has_map"] = metric.has_map();
  json["has_gradient"] = metric.has_gradient();
  json["takes_weights"] = metric.takes_weights();
  json["needs_convention"] = metric.needs_convention();
  json["map"] = metric.map();
  json["color"] = metric.color();
  json["good_values"] = metric.good_values();
  json["reference"] = metric.reference();
  json["learned"] = metric.learned();
  json["available"] = metric.unavailable().empty();
  if (!metric.unavailable().empty()) json["unavailable"] = metric.unavailable();
  json["cost_1080p"] = {{"workspace_bytes", metric.cost_1080p().workspace_bytes()},
                        {"bytes_moved", metric.cost_1080p().bytes_moved()},
                        {"operations", metric.cost_1080p().operations()}};
  return json;
}

// `text` in lines of at most kTextWidth, each after `indent` blanks.
std::string Wrap(absl::string_view text, std::size_t indent) {
  const std::string blanks(indent, ' ');
  std::string out;
  std::size_t column = 0;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column != 0 && column + 1 + word.size() > kTextWidth) {
      out.push_back('\n');
      column = 0;
    }
    absl::StrAppend(&out, column == 0 ? blanks : " ", word);
    column += (column == 0 ? indent : 1) + word.size();
  }
  out.push_back('\n');
  return out;
}

void AppendFact(std::string& out, absl::string_view name, absl::string_view value) {
  if (value.empty()) return;
  const std::string lines = Wrap(value, 14);
  absl::StrAppendFormat(&out, "%-14s%s", name, lines.substr(14));
}

std::string BoundsText(const v1::ParameterInfo& parameter) {
  if (!parameter.choices().empty()) return absl::StrCat("one of ", absl::StrJoin(parameter.choices(), ", "));
  if (parameter.default_value().has_bool_value()) return "true or false";
  if (!parameter.default_value().has_number_value()) return "a name";
  const bool low = std::isfinite(parameter.minimum());
  const bool high = std::isfinite(parameter.maximum());
  const std::string kind = parameter.whole() ? "whole number" : "number";
  if (low && high) {
    return absl::StrCat(kind, ", ", FormatNumber(parameter.minimum()), " to ", FormatNumber(parameter.maximum()));
  }
  if (low) return absl::StrCat(kind, ", at least ", FormatNumber(parameter.minimum()));
  if (high) return absl::StrCat(kind, ", at most ", FormatNumber(parameter.maximum()));
  return kind;
}

std::vector<std::string> ConventionsWithoutWeights(const v1::MetricInfo& metric) {
  std::vector<std::string> without;
  for (const v1::ConventionInfo& convention : metric.conventions()) {
    if (!convention.takes_weights()) without.push_back(convention.name());
  }
  return without;
}

// Whether a mask may weight it; the conventions that differ from the rest by name.
std::string WeightsText(const v1::MetricInfo& metric) {
  if (!metric.takes_weights()) return "takes none: the score is not the mean of a per-pixel map";
  const std::vector<std::string> without = ConventionsWithoutWeights(metric);
  return without.empty() ? "yes" : absl::StrCat("yes, but not under ", absl::StrJoin(without, ", "));
}

std::string ExplainText(const v1::MetricInfo& metric) {
  std::string out = absl::StrCat(metric.id(), ": ", metric.summary(), "\n\n");
  if (!metric.unavailable().empty()) AppendFact(out, "UNAVAILABLE", metric.unavailable());
  AppendFact(out, "direction", absl::StrReplaceAll(DirectionName(metric.direction()), {{"_", " "}}));
  AppendFact(out, "range", RangeText(metric));
  AppendFact(out, "equal images", FormatNumber(metric.identity()));
  AppendFact(out, "reading", metric.good_values());
  AppendFact(out, "colour", metric.color());
  AppendFact(out, "map", metric.has_map() ? metric.map() : "none");
  AppendFact(out, "gradient", metric.has_gradient() ? "yes" : "none");
  AppendFact(out, "mask", WeightsText(metric));
  AppendFact(out, "smallest", absl::StrCat(metric.min_width(), "x", metric.min_height(), " pixels"));
  AppendFact(out, "symmetric",
             metric.symmetric() ? "yes: swapping the images does not change the score"
                                : "no: reference and distorted play different parts");
  AppendFact(out, "family", metric.family());
  AppendFact(out, "version", absl::StrCat(metric.version()));
  AppendFact(out, "after", metric.reference());
  for (const v1::AliasInfo& alias : metric.aliases()) {
    AppendFact(out, "alias", absl::StrCat(alias.name(), " is ", metric.id(), ":", alias.convention()));
  }
  if (!metric.conventions().empty())
    absl::StrAppend(&out, "\nconventions (", metric.id(), ":NAME; the first is the default)\n");
  for (const v1::ConventionInfo& convention : metric.conventions()) {
    absl::StrAppend(&out, "  ", convention.name(), "\n", Wrap(convention.description(), 6));
    if (!convention.unavailable().empty()) out += Wrap("UNAVAILABLE: " + convention.unavailable(), 6);
  }
  if (!metric.parameters().empty()) absl::StrAppend(&out, "\nparameters (--parameter ", metric.id(), ".NAME=VALUE)\n");
  for (const v1::ParameterInfo& parameter : metric.parameters()) {
    absl::StrAppend(&out, "  ", parameter.name(), " = ", ValueText(parameter.default_value()), "  (",
                    BoundsText(parameter), ")\n", Wrap(parameter.description(), 6));
  }
  return out;
}

std::string MetricsText(const v1::ListMetricsResponse& listed) {
  std::size_t id_width = 6;
  std::size_t range_width = 5;
  for (const v1::MetricInfo& metric : listed.metrics()) {
    id_width = std::max(id_width, metric.id().size());
    range_width = std::max(range_width, RangeText(metric).size());
  }
  std::string out = absl::StrFormat("%-*s  %-6s  %-*s  %-4s  %-8s  %-4s  %s\n", id_width, "metric", "better",
                                    range_width, "range", "map", "gradient", "mask", "summary");
  for (const v1::MetricInfo& metric : listed.metrics()) {
    const char* mask = !metric.takes_weights() ? "-" : ConventionsWithoutWeights(metric).empty() ? "yes" : "some";
    const char* better = metric.direction() == v1::DIRECTION_HIGHER_IS_BETTER ? "higher"
                         : metric.direction() == v1::DIRECTION_ZERO_IS_BEST   ? "zero"
                                                                              : "lower";
    std::string summary = metric.unavailable().empty() ? metric.summary() : "UNAVAILABLE: " + metric.unavailable();
    if (!metric.aliases().empty()) {
      absl::StrAppend(&summary,
                      " Alias: ", absl::StrJoin(metric.aliases(), ", ", [](std::string* text, const v1::AliasInfo& a) {
                        absl::StrAppend(text, a.name());
                      }));
    }
    absl::StrAppendFormat(&out, "%-*s  %-6s  %-*s  %-4s  %-8s  %-4s  %s\n", id_width, metric.id(), better, range_width,
                          RangeText(metric), metric.has_map() ? "yes" : "-", metric.has_gradient() ? "yes" : "-", mask,
                          summary);
  }
  return out;
}

}  // namespace

int RunMetrics(Engine& engine, Format format) {
  const absl::StatusOr<v1::ListMetricsResponse> listed = engine.ListMetrics();
  if (!listed.ok()) return Fail(listed.status());
  if (format == Format::kText) return Print(MetricsText(*listed), kPassed);
  Json json;
  json["version"] = 1;
  json["metrics"] = Json::array();
  for (const v1::MetricInfo& metric : listed->metrics()) json["metrics"].push_back(MetricJson(metric));
  return Print(DumpJson(json), kPassed);
}

int RunExplain(Engine& engine, const std::string& name, Format format) {
  const absl::StatusOr<v1::ListMetricsResponse> listed = engine.ListMetrics();
  if (!listed.ok()) return Fail(listed.status());
  const v1::MetricInfo* metric = FindMetric(*listed, name);
  if (metric == nullptr) return Fail(NoSuchMetric(*listed, name));
  if (format == Format::kText) return Print(ExplainText(*metric), kPassed);
  return Print(DumpJson({{"version", 1}, {"metric", MetricJson(*metric)}}), kPassed);
}

}  // namespace likeness::cli
