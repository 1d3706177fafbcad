#include "client/cli/report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
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

// Of one pair.
Json PairJson(const Report& report) {
  Json json;
  if (!report.name.empty()) json["name"] = report.name;
  json["reference"] = report.reference_path;
  json["distorted"] = report.distorted_path;
  json["scores"] = Json::array();
  Json errors = Json::array();
  for (const Outcome& outcome : report.outcomes) {
    if (outcome.status.ok()) {
      json["scores"].push_back(ScoreJson(outcome));
    } else {
      errors.push_back({{"metric", outcome.asked},
                        {"code", absl::StatusCodeToString(outcome.status.code())},
                        {"message", std::string(outcome.status.message())}});
    }
  }
  if (!errors.empty()) json["errors"] = std::move(errors);
  if (report.gated()) json["passed"] = report.passed();
  return json;
}

Json ProvenanceJson(const v1::Provenance& provenance) {
  return {{"backend", provenance.backend()},
          {"instruction_set", provenance.instruction_set()},
          {"build", provenance.build()}};
}

std::string FormatJson(const Report& report) {
  Json json;
  json["version"] = 1;
  json.update(PairJson(report));
  json["provenance"] = ProvenanceJson(report.provenance);
  return DumpJson(json);
}

// What one metric comes to over the pairs of two folders.
struct Summary {
  std::string asked;
  int measured = 0;
  double mean = 0;
  // Of a metric with a direction.
  std::optional<double> worst;
  std::string worst_pair;
};

// How bad a score is; nullopt where it is not known which way is better.
std::optional<double> Badness(const v1::MetricResult& result) {
  switch (result.direction()) {
    case v1::DIRECTION_LOWER_IS_BETTER:
      return result.score();
    case v1::DIRECTION_HIGHER_IS_BETTER:
      return -result.score();
    case v1::DIRECTION_ZERO_IS_BEST:
      return std::fabs(result.score());
    default:
      return std::nullopt;
  }
}

std::vector<Summary> Summarize(const FolderReport& report) {
  std::vector<Summary> summaries;
  for (std::size_t i = 0; i < report.pairs.front().outcomes.size(); ++i) {
    Summary& summary = summaries.emplace_back();
    summary.asked = report.pairs.front().outcomes[i].asked;
    std::optional<double> most;
    for (const Report& pair : report.pairs) {
      const Outcome& outcome = pair.outcomes[i];
      if (!outcome.status.ok()) continue;
      ++summary.measured;
      summary.mean += outcome.result.score();
      const std::optional<double> badness = Badness(outcome.result);
      if (!badness.has_value() || (most.has_value() && *badness <= *most)) continue;
      most = badness;
      summary.worst = outcome.result.score();
      summary.worst_pair = pair.name;
    }
    summary.mean /= std::max(1, summary.measured);
  }
  return summaries;
}

std::string FormatJson(const FolderReport& report) {
  Json json;
  json["version"] = 1;
  json["reference"] = report.reference_path;
  json["distorted"] = report.distorted_path;
  json["pairs"] = Json::array();
  for (const Report& pair : report.pairs) json["pairs"].push_back(PairJson(pair));
  json["summary"] = Json::array();
  for (const Summary& summary : Summarize(report)) {
    Json one = {{"name", summary.asked}, {"measured", summary.measured}};
    if (summary.measured > 0) one["mean"] = JsonNumber(summary.mean);
    if (summary.worst.has_value()) {
      one["worst"] = JsonNumber(*summary.worst);
      one["worst_pair"] = summary.worst_pair;
    }
    json["summary"].push_back(std::move(one));
  }
  if (report.pairs.front().gated()) {
    json["passed"] =
        std::all_of(report.pairs.begin(), report.pairs.end(), [](const Report& pair) { return pair.passed(); });
  }
  json["provenance"] = ProvenanceJson(report.provenance);
  return DumpJson(json);
}

// Names and scores in columns, below them what they come to. A score over the line of a gate has a FAIL behind it, a
// dash stands for one that is not there.
std::string FormatText(const FolderReport& report) {
  using Row = std::vector<std::string>;
  const std::vector<Summary> summaries = Summarize(report);
  Row head = {""}, mean = {"mean"}, worst = {"worst"}, worst_pair = {""};
  for (const Summary& summary : summaries) {
    head.push_back(summary.asked);
    mean.push_back(summary.measured > 0 ? absl::StrFormat("%.6g", summary.mean) : "-");
    worst.push_back(summary.worst.has_value() ? absl::StrFormat("%.6g", *summary.worst) : "-");
    worst_pair.push_back(summary.worst_pair);
  }
  std::vector<Row> rows = {std::move(head)};
  for (const Report& pair : report.pairs) {
    Row& row = rows.emplace_back(Row{pair.name});
    for (const Outcome& outcome : pair.outcomes) {
      row.push_back(outcome.status.ok() ? absl::StrFormat("%.6g", outcome.result.score()) : "-");
      if (!outcome.passed().value_or(true)) absl::StrAppend(&row.back(), " FAIL");
    }
  }
  rows.insert(rows.end(), {Row(), std::move(mean), std::move(worst), std::move(worst_pair)});
  std::vector<std::size_t> widths(summaries.size() + 1);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) absl::StrAppendFormat(&line, "%-*s  ", widths[i], row[i]);
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

// RFC 4180: quoted where it must be, quotes doubled.
std::string CsvField(absl::string_view field) {
  if (field.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(field);
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

constexpr char kCsvHeader[] = "reference,distorted,metric,convention,score,direction,version,passed,error\n";

std::string CsvLines(const Report& report) {
  std::string text;
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

bool Report::gated() const {
  return std::any_of(outcomes.begin(), outcomes.end(), [](const Outcome& outcome) { return !outcome.gates.empty(); });
}

bool Report::passed() const {
  return std::all_of(outcomes.begin(), outcomes.end(),
                     [](const Outcome& outcome) { return outcome.passed().value_or(outcome.gates.empty()); });
}

std::string FormatReport(const Report& report, Format format) {
  switch (format) {
    case Format::kJson:
      return FormatJson(report);
    case Format::kCsv:
      return absl::StrCat(kCsvHeader, CsvLines(report));
    case Format::kText:
      break;
  }
  return FormatText(report);
}

std::string FormatReport(const FolderReport& report, Format format) {
  if (format == Format::kText) return FormatText(report);
  if (format == Format::kJson) return FormatJson(report);
  std::string text = kCsvHeader;
  for (const Report& pair : report.pairs) absl::StrAppend(&text, CsvLines(pair));
  return text;
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
