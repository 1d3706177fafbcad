#include "client/cli/sharing.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/diagnostics.h"
#include "client/cli/exit_code.h"
#include "client/cli/json.h"
#include "client/cli/request.h"
#include "kernels/base/status_macros.h"
#include "kernels/scorer.h"

namespace likeness::cli {
namespace {

constexpr int kMaxSide = 65536;

// What was planned, with the metrics' names in the place of their numbers.
struct Sharing {
  std::vector<std::string> names;
  ImageView shape;
  std::string instruction_set;
  Explanation explanation;
  std::vector<int> programs;  // those that no fused walk computes
};

absl::StatusOr<ImageView> ParseSize(const std::string& text) {
  const std::pair<std::string, std::string> sides = absl::StrSplit(text, absl::MaxSplits('x', 1));
  ImageView view;
  if (!absl::SimpleAtoi(sides.first, &view.width) || !absl::SimpleAtoi(sides.second, &view.height) || view.width < 1 ||
      view.height < 1 || view.width > kMaxSide || view.height > kMaxSide) {
    return absl::InvalidArgumentError(
        absl::StrCat("--size is \"", text, "\"; must be WIDTHxHEIGHT, each 1 to ", kMaxSide, ", as in 1920x1080"));
  }
  view.channels = 3;
  view.row_bytes = std::ptrdiff_t{view.width} * view.channels;
  return view;
}

absl::StatusOr<Sharing> MakeSharing(const SharingOptions& options) {
  Sharing sharing;
  ASSIGN_OR_RETURN(sharing.names, SplitMetricNames(options.metrics));
  ASSIGN_OR_RETURN(sharing.shape, ParseSize(options.size));
  ASSIGN_OR_RETURN(const std::unique_ptr<Scorer> scorer, MakeScorer(options.local));
  sharing.instruction_set = scorer->instruction_set();
  std::vector<ResolvedMetric> resolved;
  for (const std::string& name : sharing.names) {
    ASSIGN_OR_RETURN(ResolvedMetric metric, scorer->Resolve({name, {}, false, false}));
    metric.want_map = options.want_map && !metric.info->map.empty();
    metric.want_gradient = options.want_gradient && metric.info->has_gradient;
    resolved.push_back(std::move(metric));
  }
  ASSIGN_OR_RETURN(sharing.explanation, scorer->Explain(resolved, sharing.shape, sharing.shape, options.weighted));
  sharing.programs.resize(sharing.names.size());
  std::iota(sharing.programs.begin(), sharing.programs.end(), 0);
  for (const int metric : sharing.explanation.walks) std::erase(sharing.programs, metric);
  return sharing;
}

std::vector<std::string> NamesOf(const Sharing& sharing, const std::vector<int>& metrics) {
  std::vector<std::string> names;
  for (const int metric : metrics) names.push_back(sharing.names[metric]);
  return names;
}

Json PlanJson(const Plan& plan) {
  return {
      {"workspace_bytes", plan.workspace_bytes}, {"bytes_moved", plan.bytes_moved}, {"operations", plan.operations}};
}

std::string SharingJson(const Sharing& sharing) {
  const Explanation& explanation = sharing.explanation;
  Json json;
  json["version"] = 1;
  json["width"] = sharing.shape.width;
  json["height"] = sharing.shape.height;
  json["instruction_set"] = sharing.instruction_set;
  json["metrics"] = sharing.names;
  json["walks"] = NamesOf(sharing, explanation.walks);
  json["programs"] = NamesOf(sharing, sharing.programs);
  json["shared_steps"] = Json::array();
  for (const Explanation::Step& step : explanation.shared) {
    json["shared_steps"].push_back({{"op", step.op},
                                    {"width", step.width},
                                    {"height", step.height},
                                    {"channels", step.channels},
                                    {"metrics", NamesOf(sharing, step.metrics)}});
  }
  json["shares"] = explanation.shares;
  json["apart"] = PlanJson(explanation.apart);
  json["together"] = PlanJson(explanation.together);
  return DumpJson(json);
}

// Steps that differ in parameters only are one line with a count.
struct Line {
  std::string op;
  std::string size;
  std::string metrics;
  int count = 0;
};

std::vector<Line> LinesOf(const Sharing& sharing) {
  std::vector<Line> lines;
  for (const Explanation::Step& step : sharing.explanation.shared) {
    Line line{step.op, absl::StrCat(step.width, "x", step.height, "x", step.channels),
              absl::StrJoin(NamesOf(sharing, step.metrics), ", ")};
    const auto same = std::find_if(lines.begin(), lines.end(), [&](const Line& other) {
      return other.op == line.op && other.size == line.size && other.metrics == line.metrics;
    });
    Line& one = same != lines.end() ? *same : lines.emplace_back(std::move(line));
    ++one.count;
  }
  return lines;
}

std::string CostLine(const char* name, double apart, double together, double unit) {
  return absl::StrFormat("  %-24s %12.1f %12.1f %8.2f\n", name, apart / unit, together / unit,
                         together > 0.0 ? apart / together : 1.0);
}

std::string SharingText(const Sharing& sharing) {
  const Explanation& explanation = sharing.explanation;
  std::string text = absl::StrFormat("%d metrics of one pair of %dx%d RGB images on %s\n\n", sharing.names.size(),
                                     sharing.shape.width, sharing.shape.height, sharing.instruction_set);
  const auto list = [&](const char* what, const std::vector<int>& metrics) {
    if (metrics.empty()) return;
    absl::StrAppendFormat(&text, "%-16s%s\n", what, absl::StrJoin(NamesOf(sharing, metrics), ", "));
  };
  list("fused walks", explanation.walks);
  list("programs", sharing.programs);
  if (explanation.walks.size() > 1) {
    absl::StrAppend(
        &text,
        "\nFused walks share one reading of both images; those of SSIM that reach over a border share another, "
        "and ms_ssim and ms_dssim read by themselves.\n");
  }
  if (sharing.programs.size() < 2) return text;

  const std::vector<Line> lines = LinesOf(sharing);
  if (lines.empty()) {
    absl::StrAppend(&text, "\nThe programs have no step in common.\n");
    return text;
  }
  std::size_t op_width = 0;
  std::size_t size_width = 0;
  for (const Line& line : lines) {
    op_width = std::max(op_width, line.op.size());
    size_width = std::max(size_width, line.size.size());
  }
  absl::StrAppend(&text, "\nsteps that programs share, and how many of each:\n");
  for (const Line& line : lines) {
    absl::StrAppendFormat(&text, "  %-*s  %-*s  %3d  %s\n", op_width, line.op, size_width, line.size, line.count,
                          line.metrics);
  }
  absl::StrAppendFormat(&text, "\n  %-24s %12s %12s %8s\n", "the programs", "apart", "together", "ratio");
  const Plan& apart = explanation.apart;
  const Plan& together = explanation.together;
  constexpr double kMebi = 1 << 20;
  absl::StrAppend(&text, CostLine("workspace, MiB", apart.workspace_bytes, together.workspace_bytes, kMebi),
                  CostLine("bytes moved, MiB", apart.bytes_moved, together.bytes_moved, kMebi),
                  CostLine("operations, millions", apart.operations, together.operations, 1e6));
  if (!explanation.shares) {
    absl::StrAppend(&text, "\nTheir joint workspace exceeds a slot: each runs by itself.\n");
  }
  return text;
}

}  // namespace

int RunSharing(const SharingOptions& options) {
  const absl::StatusOr<Sharing> sharing = MakeSharing(options);
  if (!sharing.ok()) return Fail(sharing.status());
  return Print(options.format == Format::kJson ? SharingJson(*sharing) : SharingText(*sharing), kPassed);
}

}  // namespace likeness::cli
