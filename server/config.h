// Every setting of the server, from a TOML file and from flags; flags win.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace likeness::server {

// Names, help and bounds are in config.cc's table, which --help prints.
struct ServerConfig {
  std::string host = "127.0.0.1";
  std::int64_t port = 50051;
  std::string telemetry_host = "127.0.0.1";
  std::int64_t telemetry_port = 9464;

  std::string backend = "auto";
  std::string instruction_set;
  std::string weights_dir;
  std::int64_t threads = 0;
  std::int64_t decode_threads = 0;
  std::int64_t pixel_slots = 1;
  std::int64_t learned_slots = 1;
  std::int64_t slot_bytes = std::int64_t{2} << 30;
  std::int64_t batch_bytes = std::int64_t{256} << 20;
  std::int64_t batch_operations = 10'000'000'000;

  std::int64_t max_message_bytes = std::int64_t{256} << 20;
  std::int64_t max_encoded_bytes = std::int64_t{64} << 20;
  std::int64_t max_side = 16384;
  std::int64_t max_pixels = std::int64_t{1} << 26;
  std::int64_t max_output_bytes = std::int64_t{512} << 20;
  std::int64_t max_in_flight_bytes = std::int64_t{2} << 30;
  std::int64_t max_metrics = 64;
  std::int64_t reference_bytes = std::int64_t{1} << 30;
  double reference_seconds = 600.0;
  std::int64_t max_streams_per_connection = 256;
  std::int64_t retry_delay_ms = 200;

  double drain_delay_seconds = 0.0;
  double drain_seconds = 30.0;
  std::string log_level = "info";
};

struct CommandLine {
  ServerConfig config;
  // --help or --version: print `text` and exit with 0.
  bool print_and_exit = false;
  std::string text;
};

// `program` is how the help calls it. INVALID_ARGUMENT: an unknown flag or key, or a value out of bounds or of another
// type, each named with the remedy. NOT_FOUND: no such file.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv, const std::string& program);

}  // namespace likeness::server
