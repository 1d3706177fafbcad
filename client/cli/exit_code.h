#pragma once

namespace likeness::cli {

// What a CI job may rely on. "Could not measure" wins over "over the line": half an answer is no verdict.
enum ExitCode : int {
  kPassed = 0,       // every metric was measured and every gate passed
  kOverTheLine = 1,  // every metric was measured and a gate failed
  kNotMeasured = 2,  // a metric, an image, a file, the server or the command line was not as needed
};

}  // namespace likeness::cli
