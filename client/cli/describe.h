// `likeness metrics` and `likeness explain`: the facts of metrics, as MetricInfo has them.
#pragma once

#include <string>

#include "client/cli/engine.h"
#include "client/cli/report.h"

namespace likeness::cli {

// All metrics: a table, or the JSON object that docs/cli.md describes. Returns an ExitCode.
int RunMetrics(Engine& engine, Format format);

// One metric: what it is, how to read its scores, conventions, parameters. Returns an ExitCode.
int RunExplain(Engine& engine, const std::string& metric, Format format);

}  // namespace likeness::cli
