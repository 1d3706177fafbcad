#include "server/config.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "kernels/base/status_macros.h"
#include "server/build_info.h"
#include "server/decode/decode.h"
#include "toml++/toml.h"

namespace likeness::server {
namespace {

constexpr std::int64_t kMessageBytesMax = 0x7fffffff;  // protobuf's own limit
constexpr std::int64_t kBytesMax = std::int64_t{1} << 50;

// One setting: the flag is the key with dashes. Numbers have bounds, both inclusive; names may have choices.
struct Setting {
  const char* key;
  std::variant<std::string*, std::int64_t*, double*> value;
  const char* help;
  double minimum = 0.0;
  double maximum = 0.0;
  std::vector<std::string> choices;
};

std::vector<Setting> SettingsOf(ServerConfig& c) {
  return {
      {"host", &c.host, "Address to serve on; 0.0.0.0 for every network. IPv6 in brackets: [::1]", 0, 0, {}},
      {"port", &c.port, "Port to serve on; 0 picks a free one and prints it", 0, 65535, {}},
      {"telemetry_host", &c.telemetry_host, "IPv4 address to serve Prometheus telemetry on", 0, 0, {}},
      {"telemetry_port",
       &c.telemetry_port,
       "Port of /metrics; 0 picks a free one and prints it, -1 turns it off",
       -1,
       65535,
       {}},
      {"backend", &c.backend, "What computes the scores", 0, 0, {"auto", "cpu", "cuda"}},
      {"instruction_set",
       &c.instruction_set,
       "Instruction set of the CPU backend; empty: the best of this processor",
       0,
       0,
       {"", "sse4", "avx2", "avx3", "oracle"}},
      {"weights_dir",
       &c.weights_dir,
       "Folder of the learned metrics' safetensors files; empty: $LIKENESS_WEIGHTS, build/weights, then "
       "/usr/share/likeness/weights",
       0,
       0,
       {}},
      {"threads", &c.threads, "Threads that score; 0: one a core. Scores do not depend on it", 0, 1024, {}},
      {"decode_threads", &c.decode_threads, "Threads that decode files and build replies; 0: one a core", 0, 1024, {}},
      {"pixel_slots", &c.pixel_slots, "Batches of pixel metrics scored at one time", 1, 64, {}},
      {"learned_slots", &c.learned_slots, "Batches of learned metrics scored at one time", 1, 64, {}},
      {"slot_bytes",
       &c.slot_bytes,
       "Largest workspace of one metric on one pair; beyond it that metric is refused. On a GPU, the memory of one "
       "slot",
       1 << 20,
       kBytesMax,
       {}},
      {"batch_bytes",
       &c.batch_bytes,
       "Images and outputs at which a batch stops growing; one pair always fits",
       1,
       kBytesMax,
       {}},
      {"batch_operations",
       &c.batch_operations,
       "Floating point operations at which a batch stops growing; one pair always fits. Answers of a batch leave "
       "together",
       1,
       kBytesMax,
       {}},
      {"max_message_bytes", &c.max_message_bytes, "Longest request message", 1024, kMessageBytesMax, {}},
      {"max_encoded_bytes", &c.max_encoded_bytes, "Largest encoded file", 1, kMessageBytesMax, {}},
      {"max_side", &c.max_side, "Largest width or height, in pixels", 1, kMaxSide, {}},
      {"max_pixels", &c.max_pixels, "Largest width * height", 1, kMaxPixels, {}},
      {"max_output_bytes",
       &c.max_output_bytes,
       "Most maps and gradients of one response; the metric that would exceed it fails",
       0,
       kMessageBytesMax - (1 << 20),
       {}},
      {"max_in_flight_bytes",
       &c.max_in_flight_bytes,
       "Messages, images and replies held at one time; beyond it requests are refused with SERVER_BUSY",
       1 << 20,
       kBytesMax,
       {}},
      {"max_metrics", &c.max_metrics, "Most metrics in one request", 1, 4096, {}},
      {"reference_bytes",
       &c.reference_bytes,
       "Images of PutReference, and what learned metrics keep of them; the one used longest ago goes. 0: none are kept",
       0,
       kBytesMax,
       {}},
      {"reference_seconds",
       &c.reference_seconds,
       "How long a kept image stays after its last use",
       1,
       86400.0 * 365,
       {}},
      {"max_streams_per_connection",
       &c.max_streams_per_connection,
       "Calls that one connection may have open",
       1,
       65535,
       {}},
      {"retry_delay_ms", &c.retry_delay_ms, "How long a refused caller is told to wait", 0, 3600000, {}},
      {"drain_delay_seconds",
       &c.drain_delay_seconds,
       "After SIGTERM, time to go on accepting while load balancers see NOT_SERVING",
       0,
       3600,
       {}},
      {"drain_seconds", &c.drain_seconds, "After SIGTERM, time that requests in flight have to finish", 0, 3600, {}},
      {"log_level",
       &c.log_level,
       "Least severe message that is logged",
       0,
       0,
       {"debug", "info", "warning", "error", "off"}},
  };
}

std::string ShowDefault(const Setting& setting) {
  if (const auto* text = std::get_if<std::string*>(&setting.value)) {
    return (*text)->empty() ? "\"\"" : **text;
  }
  if (const auto* whole = std::get_if<std::int64_t*>(&setting.value)) return absl::StrCat(**whole);
  return absl::StrCat(*std::get<double*>(setting.value));
}

std::string HelpOf(const Setting& setting) {
  std::string help = absl::StrCat(setting.help, " (", ShowDefault(setting));
  if (!setting.choices.empty()) {
    absl::StrAppend(&help, "; one of ",
                    absl::StrJoin(setting.choices, ", ", [](std::string* out, const std::string& c) {
                      absl::StrAppend(out, c.empty() ? "\"\"" : c);
                    }));
  } else if (!std::holds_alternative<std::string*>(setting.value)) {
    absl::StrAppend(&help, "; ", static_cast<std::int64_t>(setting.minimum), " to ",
                    static_cast<std::int64_t>(setting.maximum));
  }
  return absl::StrCat(help, ")");
}

// `where` begins the message: "--port" or "likeness.toml: port".
absl::Status CheckBounds(const Setting& setting, const std::string& where) {
  if (const auto* text = std::get_if<std::string*>(&setting.value)) {
    if (setting.choices.empty()) return absl::OkStatus();
    for (const std::string& choice : setting.choices) {
      if (**text == choice) return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(where, " is \"", **text, "\"; it must be one of ", absl::StrJoin(setting.choices, ", ")));
  }
  const bool whole = std::holds_alternative<std::int64_t*>(setting.value);
  const double value =
      whole ? static_cast<double>(*std::get<std::int64_t*>(setting.value)) : *std::get<double*>(setting.value);
  if (std::isfinite(value) && value >= setting.minimum && value <= setting.maximum) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, " is ", ShowDefault(setting), "; it must be ",
                                                 static_cast<std::int64_t>(setting.minimum), " to ",
                                                 static_cast<std::int64_t>(setting.maximum)));
}

absl::Status ReadValue(const toml::node& node, const Setting& setting, const std::string& where) {
  const auto wrong_type = [&where](const char* type) {
    return absl::InvalidArgumentError(absl::StrCat(where, " must be ", type));
  };
  if (const auto* text = std::get_if<std::string*>(&setting.value)) {
    if (!node.is_string()) return wrong_type("a string");
    **text = *node.value<std::string>();
  } else if (const auto* whole = std::get_if<std::int64_t*>(&setting.value)) {
    if (!node.is_integer()) return wrong_type("a whole number");
    **whole = *node.value<std::int64_t>();
  } else {
    if (!node.is_number()) return wrong_type("a number");
    *std::get<double*>(setting.value) = *node.value<double>();
  }
  return CheckBounds(setting, where);
}

absl::Status ReadFile(const std::string& path, const std::vector<Setting>& settings) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return absl::NotFoundError(absl::StrCat("--config is \"", path, "\", which is no file",
                                            std::filesystem::is_directory(path, error) ? " but a folder" : "",
                                            "; name a TOML file"));
  }
  toml::table table;
  // toml++ reports by exception unless built without; it must not leave this function.
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& problem) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", problem.source().begin.line, ": ", std::string(problem.description())));
  }
  for (const auto& [key, node] : table) {
    const Setting* found = nullptr;
    for (const Setting& setting : settings) {
      if (key.str() == setting.key) found = &setting;
    }
    const std::string where = absl::StrCat(path, ":", node.source().begin.line, ": ", std::string(key.str()));
    if (found == nullptr) return absl::InvalidArgumentError(absl::StrCat(where, " is not a setting; see --help"));
    RETURN_IF_ERROR(ReadValue(node, *found, where));
  }
  return absl::OkStatus();
}

std::string FlagOf(const Setting& setting) { return "--" + absl::StrReplaceAll(setting.key, {{"_", "-"}}); }

// One pass over the flags. CLI11 writes only those that are given, so the second pass runs on top of the file's values.
absl::Status ParseFlags(int argc, const char* const* argv, const std::string& program,
                        const std::vector<Setting>& settings, std::optional<std::string>* config_path,
                        CommandLine* result) {
  CLI::App app("Scores how alike two images are, over gRPC", program);
  app.set_version_flag("--version", BuildInfo());
  app.add_option("--config", *config_path, "TOML file of the settings below, with underscores; flags override it");
  for (const Setting& setting : settings) {
    std::visit([&](auto* value) { app.add_option(FlagOf(setting), *value, HelpOf(setting)); }, setting.value);
  }
  app.get_formatter()->column_width(36);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    result->print_and_exit = true;
    result->text = app.help();
  } catch (const CLI::CallForVersion&) {
    result->print_and_exit = true;
    result->text = absl::StrCat(BuildInfo(), "\n");
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; see --help"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv, const std::string& program) {
  CommandLine result;
  std::optional<std::string> config_path;
  {
    ServerConfig unused;
    RETURN_IF_ERROR(ParseFlags(argc, argv, program, SettingsOf(unused), &config_path, &result));
    if (result.print_and_exit) return result;
  }
  const std::vector<Setting> settings = SettingsOf(result.config);
  if (config_path.has_value()) RETURN_IF_ERROR(ReadFile(*config_path, settings));
  RETURN_IF_ERROR(ParseFlags(argc, argv, program, settings, &config_path, &result));
  for (const Setting& setting : settings) RETURN_IF_ERROR(CheckBounds(setting, FlagOf(setting)));
  const ServerConfig& config = result.config;
  std::error_code error;
  if (!config.weights_dir.empty() && !std::filesystem::is_directory(config.weights_dir, error)) {
    return absl::NotFoundError(absl::StrCat("--weights-dir is \"", config.weights_dir,
                                            "\", which is no folder; `make weights` fills build/weights"));
  }
  // gRPC would take an empty one for every network.
  if (config.host.empty() || config.telemetry_host.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(config.host.empty() ? "--host" : "--telemetry-host",
                                                   " is empty; name an address, as in 127.0.0.1"));
  }
  return result;
}

}  // namespace likeness::server
