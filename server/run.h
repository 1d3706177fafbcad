// The server as a program: `likeness-server`, and `likeness serve`.
#pragma once

namespace likeness {

// Parses the flags, serves until SIGTERM or SIGINT, drains. Returns the exit code: 0 after a clean drain, 1 when calls
// had to be cancelled, 2 when it could not start. argv[0] is "serve" when called by `likeness serve`. Call it before
// the process has other threads: it blocks the signals that it waits for.
//
// Prints to stdout, one line each, when it serves (telemetry only when on):
//   likeness: telemetry on 127.0.0.1:9464
//   likeness: serving on 127.0.0.1:50051
int RunServer(int argc, const char* const* argv);

}  // namespace likeness
