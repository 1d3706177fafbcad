// The `likeness` command: docs/cli.md. START HERE: one subcommand, one function.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/compare.h"
#include "client/cli/describe.h"
#include "client/cli/diagnostics.h"
#include "client/cli/engine.h"
#include "client/cli/exit_code.h"
#include "client/cli/sharing.h"
#include "server/build_info.h"
#include "server/run.h"

namespace likeness::cli {
namespace {

constexpr char kMeasureGroup[] = "What to measure";
constexpr char kGateGroup[] = "Gates: exit code 1 when one fails";
constexpr char kWeightsGroup[] = "How much each pixel counts";
constexpr char kFileGroup[] = "Files";
constexpr char kSharingGroup[] = "Several metrics, planned in this process";
constexpr char kEngineGroup[] = "Where to score";
constexpr double kTimeoutSeconds = 60;

struct EngineFlags {
  std::string server;
  bool local = false;
  std::optional<double> timeout_seconds;
  LocalOptions local_options;
};

void AddEngineFlags(CLI::App& command, EngineFlags& flags) {
  auto* server =
      command.add_option("--server", flags.server, "Score on this server")->type_name("HOST:PORT")->group(kEngineGroup);
  auto* local = command
                    .add_flag("--local", flags.local,
                              "Score in this process, without a server. The default, unless the environment variable "
                              "LIKENESS_SERVER names a server")
                    ->group(kEngineGroup);
  server->excludes(local);
  auto* timeout = command
                      .add_option("--timeout", flags.timeout_seconds,
                                  absl::StrCat("How long to wait for a server's answer. Default: ", kTimeoutSeconds))
                      ->type_name("SECONDS")
                      ->group(kEngineGroup);
  auto* threads = command
                      .add_option("--threads", flags.local_options.threads,
                                  "Threads of local scoring; 0: one per core. Scores do not depend on it")
                      ->type_name("COUNT")
                      ->capture_default_str()
                      ->check(CLI::Range(0, 4096))
                      ->group(kEngineGroup);
  auto* weights = command
                      .add_option("--weights", flags.local_options.weights_dir,
                                  "Where the learned metrics' weights lie, for local scoring")
                      ->type_name("FOLDER")
                      ->group(kEngineGroup);
  auto* memory = command
                     .add_option("--memory", flags.local_options.memory_bytes,
                                 "Most memory that a metric's workspace may take in local scoring, and that images and "
                                 "outputs may, as in 16G. Default: half of the machine's, each")
                     ->transform(CLI::AsSizeValue(false))
                     ->check(CLI::Range(std::int64_t{1} << 20, std::int64_t{1} << 50).description(""))
                     ->type_name("BYTES")
                     ->group(kEngineGroup);
  timeout->excludes(local);
  for (CLI::Option* option : {threads, weights, memory}) option->excludes(server);
}

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(const EngineFlags& flags) {
  std::string server = flags.server;
  if (server.empty() && !flags.local) {
    if (const char* environment = std::getenv("LIKENESS_SERVER")) server = environment;
    const LocalOptions& local = flags.local_options;
    if (!server.empty() && (local.threads != 0 || !local.weights_dir.empty() || local.memory_bytes != 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--threads, --weights and --memory are for local scoring, but LIKENESS_SERVER is ", server,
                       "; add --local or unset it"));
    }
  }
  if (server.empty()) {
    if (!flags.timeout_seconds) return MakeLocalEngine(flags.local_options);
    return absl::InvalidArgumentError("--timeout is for a server's answer; name the server by --server");
  }
  // Without a port gRPC would try that of https, and it takes the whole of "::1:50051" for a host.
  const std::string host = server.substr(0, server.rfind(':'));
  const bool bare_ipv6 =
      host.find(':') != std::string::npos && host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos;
  if (host == server || server.back() == ']' || bare_ipv6) {
    return absl::InvalidArgumentError(absl::StrCat("the server's address is \"", server,
                                                   "\"; must be HOST:PORT, as in localhost:50051 or [::1]:50051"));
  }
  const double timeout_seconds = flags.timeout_seconds.value_or(kTimeoutSeconds);
  if (!(timeout_seconds > 0 && std::isfinite(timeout_seconds))) {
    return absl::InvalidArgumentError(absl::StrCat("--timeout is ", timeout_seconds, "; must be above 0 seconds"));
  }
  return MakeServerEngine(server, absl::Seconds(timeout_seconds));
}

// What an unset variable of a shell script leaves of a flag. To take it for no flag at all would score without a mask.
void RefuseEmptyValues(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    option->check([](const std::string& value) {
      return value.empty() ? "its value is empty; give one, or leave the flag out" : "";
    });
  }
}

// "text" is the default of every command.
void AddFormat(CLI::App& command, std::string& format, std::vector<std::string> choices) {
  command.add_option("--format", format, "What stdout gets")
      ->capture_default_str()
      ->check(CLI::IsMember(std::move(choices)))
      ->type_name("FORMAT");
}

Format FormatOf(const std::string& name) {
  if (name == "json") return Format::kJson;
  return name == "csv" ? Format::kCsv : Format::kText;
}

CLI::App* AddCompare(CLI::App& app, CompareOptions& options, std::string& format, EngineFlags& flags) {
  CLI::App* command =
      app.add_subcommand("compare", "Score how alike two images, or those of two folders, are; gate on the scores");
  command
      ->add_option("REFERENCE", options.reference_path,
                   "The image held to be right, PNG, JPEG or WebP; or a folder of such images")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("DISTORTED", options.distorted_path,
                   "The image to judge; or a folder whose images have the paths of REFERENCE's but for the extension")
      ->type_name("FILE")
      ->required();

  const auto once = [&](const char* group, const char* name, auto& value, const char* type, const char* help) {
    command->add_option(name, value, help)->type_name(type)->group(group);
  };
  // One value a flag, or CLI11 would take a following file name for one more value.
  const auto repeatable = [&](const char* group, const char* name, std::vector<std::string>& values, const char* type,
                              const char* help) {
    command->add_option(name, values, help)
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all()
        ->type_name(type)
        ->group(group);
  };
  repeatable(
      kMeasureGroup, "-m,--metric", options.metrics, "NAMES",
      "Metrics, separated by commas, each with a convention if need be (ssim:torchmetrics), or all. Default: those "
      "of the gates, else psnr,ssim");
  repeatable(kMeasureGroup, "-l,--loss", options.losses, "NAME=SUM",
             "A weighted sum of metrics under a name of yours, as in face=1*dssim+0.5*mae");
  repeatable(kMeasureGroup, "-p,--parameter", options.parameters, "METRIC.NAME=VALUE",
             "A metric's parameter, as in huber.delta=0.05; of losses' terms too");
  once(kMeasureGroup, "--alpha-background", options.alpha_background, "GRAY",
       "Level, 0 to 1, under images with alpha. Default: 1, white");
  command
      ->add_flag("--fast", options.fast,
                 "Learned metrics in 16 bits where the processor is faster so; see each score's precision")
      ->group(kMeasureGroup);
  once(kWeightsGroup, "--mask", options.weights.mask_path, "FILE",
       "A gray picture of the images' size: white pixels count, black ones do not");
  repeatable(kWeightsGroup, "--region", options.weights.regions, "FILE:MULTIPLIER",
             "A gray picture of a part that counts more, and what it adds to a pixel's weight, as in eyes.png:3");
  once(kWeightsGroup, "--averaging", options.weights.averaging, "WHAT",
       "Divide by the number of pixels (pixels, the default) or by the sum of the weights (weights)");
  command->get_option("--averaging")->check(CLI::IsMember({"pixels", "weights"}));
  repeatable(kGateGroup, "--fail-under", options.fail_under, "METRIC=NUMBER", "Fail when the score is below NUMBER");
  repeatable(kGateGroup, "--fail-over", options.fail_over, "METRIC=NUMBER", "Fail when the score is above NUMBER");
  once(kFileGroup, "--map", options.map_path, "FILE",
       "Write the per-pixel map to this .png (heat map) or .npy (float32). Of several maps, each goes to FILE-METRIC. "
       "Of folders: a folder for heat maps");
  repeatable(kFileGroup, "--map-scale", options.map_scales, "[METRIC=]LOW,HIGH",
             "Map values that are drawn darkest and brightest; LOW may be above HIGH. Default: the map's own range");
  once(kFileGroup, "--gradient", options.gradient_path, "FILE",
       "Write d score / d distorted to this .npy, float32 (height, width, channels). Of folders: a folder for them");
  AddFormat(*command, format, {"text", "json", "csv"});
  AddEngineFlags(*command, flags);
  command->footer("Exit code: 0 measured and every gate passed, 1 measured and a gate failed, 2 could not measure.");
  return command;
}

CLI::App* AddExplain(CLI::App& app, std::string& metric, SharingOptions& sharing, std::string& format,
                     EngineFlags& flags) {
  CLI::App* command =
      app.add_subcommand("explain", "Tell what a metric is and how to read its scores, or what several metrics share");
  auto* one = command->add_option("METRIC", metric, "A metric of `likeness metrics`");
  auto* several = command
                      ->add_option("-m,--metrics", sharing.metrics,
                                   "Metrics, separated by commas: tell what one request for all of them computes once")
                      ->expected(1)
                      ->allow_extra_args(false)
                      ->take_all()
                      ->type_name("NAMES")
                      ->group(kSharingGroup);
  several->excludes(one);
  const auto with_several = [&](CLI::Option* option) { option->needs(several)->group(kSharingGroup); };
  with_several(command->add_option("--size", sharing.size, "Of the images")->type_name("WxH")->capture_default_str());
  with_several(command->add_flag("--map", sharing.want_map, "With the maps of those that have one"));
  with_several(command->add_flag("--gradient", sharing.want_gradient, "With the gradients of those that have one"));
  with_several(command->add_flag("--weighted", sharing.weighted, "As under a mask"));
  AddFormat(*command, format, {"text", "json"});
  AddEngineFlags(*command, flags);
  several->excludes(command->get_option("--server"))->excludes(command->get_option("--timeout"));
  return command;
}

int Main(int argc, char** argv) {
  // The server has its own flags, with its own --help.
  if (argc > 1 && std::string(argv[1]) == "serve") return RunServer(argc - 1, argv + 1);

  CLI::App app("Scores how alike two images are.", "likeness");
  app.set_version_flag("--version", server::BuildInfo());
  app.require_subcommand(0, 1);  // none is refused below, where a word that is no command was named already
  EngineFlags flags;
  std::string format = "text";
  CompareOptions compare_options;
  const CLI::App* compare = AddCompare(app, compare_options, format, flags);

  CLI::App* metrics = app.add_subcommand("metrics", "List the metrics");
  AddFormat(*metrics, format, {"text", "json"});
  AddEngineFlags(*metrics, flags);

  std::string metric;
  SharingOptions sharing;
  const CLI::App* explain = AddExplain(app, metric, sharing, format, flags);

  app.add_subcommand("serve", "Run the server; `likeness serve --help` lists its flags");
  for (CLI::App* command : app.get_subcommands({})) RefuseEmptyValues(*command);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return Fail(absl::InvalidArgumentError(absl::StrCat(error.what(), "; see --help")));
  }
  if (app.get_subcommands().empty()) {
    return Fail(absl::InvalidArgumentError("which command? compare, metrics, explain or serve; see --help"));
  }
  if (explain->parsed()) {
    if (metric.empty() && sharing.metrics.empty()) {
      return Fail(absl::InvalidArgumentError("explain needs a METRIC, or several by --metrics"));
    }
    if (!sharing.metrics.empty()) {
      sharing.local = flags.local_options;
      sharing.format = FormatOf(format);
      return RunSharing(sharing);
    }
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine = MakeEngine(flags);
  if (!engine.ok()) return Fail(engine.status());
  compare_options.format = FormatOf(format);
  if (compare->parsed()) return RunCompare(**engine, compare_options);
  if (metrics->parsed()) return RunMetrics(**engine, FormatOf(format));
  return RunExplain(**engine, metric, FormatOf(format));
}

}  // namespace
}  // namespace likeness::cli

int main(int argc, char** argv) { return likeness::cli::Main(argc, argv); }
