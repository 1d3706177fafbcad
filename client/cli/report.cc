#include "client/cli/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/json.h"
#include "client/cli/numbers.h"

namespace likeness::cli {
namespace {

std::string DirectionWords(v1::Direction direction) {
  return absl::StrReplaceAll(DirectionName(direction), {{"_", " "}});
}

std::string FormatText(const Report& report) {
  std::size_t name_width = 0;
  std::size_t score_width = 0;
  for (const Outcome& outcome : report.outcomes) {
    if (!outcome.status.ok()) continue;
    name_width = std::max(name_width, outcome.asked.size());
    score_width = std::max(score_width, FormatNumber(outcome.result.score()).size());
  }
  std::string text;
  for (const Outcome& outcome : report.outcomes) {
    if (!outcome.status.ok()) continue;  // told on stderr: a score that is not there prints nothing
    absl::StrAppendFormat(&text, "%-*s  %-*s  %s", name_width, outcome.asked, score_width,
                          FormatNumber(outcome.result.score()), DirectionWords(outcome.result.direction()));
    if (outcome.passed().has_value()) {
      const std::string gates = absl::StrJoin(
          outcome.gates, " ", [](std::string* out, const Gate& gate) { absl::StrAppend(out, gate.Flag()); });
      absl::StrAppend(&text, *outcome.passed() ? "  pass  " : "  FAIL  ", gates);
    }
    text.push_back('\n');
    for (const v1::TermResult& term : outcome.result.terms()) {
      absl::StrAppend(&text, "    ", FormatNumber(term.weight()), " * ", FormatNumber(term.score()), "  ",
                      term.metric(), ":", term.resolved().convention(), "\n");
    }
  }
  return text;
}

Json TermJson(const v1::TermResult& term) {
  Json json;
  json["weight"] = JsonNumber(term.weight());
  json["metric"] = term.metric();
  json["convention"] = term.resolved().convention();
  json["score"] = JsonNumber(term.score());
  json["direction"] = DirectionName(term.direction());
  json["version"] = term.version();
  json["parameters"] = ParametersJson(term.resolved().parameters());
  return json;
}

Json ScoreJson(const Outcome& outcome) {
  const v1::MetricResult& result = outcome.result;
  Json json;
  json["name"] = outcome.asked;
  json["metric"] = result.metric();
  if (result.has_resolved()) {
    json["convention"] = result.resolved().convention();
    json["precision"] = result.resolved().precision();
  }
  json["score"] = JsonNumber(result.score());
  json["direction"] = DirectionName(result.direction());
  if (result.has_resolved()) {
    json["version"] = result.version();
    json["parameters"] = ParametersJson(result.resolved().parameters());
  }
  for (const v1::TermResult& term : result.terms()) json["terms"].push_back(TermJson(term));
  if (outcome.passed().has_value()) json["passed"] = *outcome.passed();
  if (outcome.map.has_value()) {
    Json& map = json["map"];
    map["file"] = outcome.map->path;
    if (outcome.map->scale.has_value()) {
      map["low"] = JsonNumber(outcome.map->scale->low);
      map["high"] = JsonNumber(outcome.map->scale->high);
    }
    map["width"] = result.map().width();
    map["height"] = result.map().height();
    map["offset_x"] = result.map().offset_x();
    map["offset_y"] = result.map().offset_y();
  }
  if (outcome.gradient_path.has_value()) json["gradient"]["file"] = *outcome.gradient_path;
  return json;
}

std::string FormatJson(const Report& report) {
  Json json;
  json["version"] = 1;
  json["reference"] = report.reference_path;
  json["distorted"] = report.distorted_path;
  json["scores"] = Json::array();
  Json errors = Json::array();
  bool gated = false;
  bool passed = true;
  for (const Outcome& outcome : report.outcomes) {
    gated |= !outcome.gates.empty();
    passed &= outcome.passed().value_or(outcome.gates.empty());
    if (outcome.status.ok()) {
      json["scores"].push_back(ScoreJson(outcome));
    } else {
      errors.push_back({{"metric", outcome.asked},
                        {"code", absl::StatusCodeToString(outcome.status.code())},
                        {"message", std::string(outcome.status.message())}});
    }
  }
  if (!errors.empty()) json["errors"] = std::move(errors);
  if (gated) json["passed"] = passed;
  json["provenance"] = {{"backend", report.provenance.backend()},
                        {"instruction_set", report.provenance.instruction_set()},
                        {"build", report.provenance.build()}};
  return DumpJson(json);
}

// RFC 4180: quoted where it must be, quotes doubled.
std::string CsvField(absl::string_view field) {
  if (field.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(field);
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

std::string FormatCsv(const Report& report) {
  std::string text = "reference,distorted,metric,convention,score,direction,version,passed,error\n";
  for (const Outcome& outcome : report.outcomes) {
    const v1::MetricResult& result = outcome.result;
    std::vector<std::string> row = {report.reference_path, report.distorted_path};
    if (outcome.status.ok()) {
      const std::string passed = !outcome.passed().has_value() ? "" : *outcome.passed() ? "true" : "false";
      const bool composed = !result.has_resolved();
      row.insert(row.end(),
                 {composed ? outcome.asked : result.metric(),
                  composed ? result.metric() : result.resolved().convention(), FormatNumber(result.score()),
                  DirectionName(result.direction()), composed ? "" : absl::StrCat(result.version()), passed, ""});
    } else {
      row.insert(row.end(), {outcome.asked, "", "", "", "", "", outcome.status.ToString()});
    }
    absl::StrAppend(
        &text,
        absl::StrJoin(row, ",",
                      [](std::string* out, const std::string& field) { absl::StrAppend(out, CsvField(field)); }),
        "\n");
  }
  return text;
}

}  // namespace

std::optional<bool> Outcome::passed() const {
  if (gates.empty() || !status.ok()) return std::nullopt;
  return std::all_of(gates.begin(), gates.end(), [&](const Gate& gate) { return gate.Passes(result.score()); });
}

std::string FormatReport(const Report& report, Format format) {
  switch (format) {
    case Format::kJson:
      return FormatJson(report);
    case Format::kCsv:
      return FormatCsv(report);
    case Format::kText:
      break;
  }
  return FormatText(report);
}

std::string DirectionName(v1::Direction direction) {
  switch (direction) {
    case v1::DIRECTION_LOWER_IS_BETTER:
      return "lower_is_better";
    case v1::DIRECTION_HIGHER_IS_BETTER:
      return "higher_is_better";
    case v1::DIRECTION_ZERO_IS_BEST:
      return "zero_is_best";
    default:
      return "unspecified";
  }
}

}  // namespace likeness::cli
