"""A likeness server on loopback, and the `likeness` command talking to it."""

import json
import os
import re
import signal
import subprocess
import time

# Loopback, ports that the system picks, no telemetry.
LISTEN_FLAGS = ("--host", "127.0.0.1", "--port", "0", "--telemetry-port", "-1")
LISTENING = r"likeness: serving on (\S+:\d+)"
DRAINED = r"drained: every call in flight was answered"


class DemoError(Exception):
    """Something the demo cannot go on without; the message says what to do."""


class Server:
    """Starts `likeness serve` on a port that the system picks; stop() ends it and checks that it drained."""

    START_SECONDS = 60
    DRAIN_SECONDS = 30

    def __init__(self, command, log_path):
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen([command, "serve", *LISTEN_FLAGS], stdout=log, stderr=subprocess.STDOUT)
        self.address = self._wait_for_address()

    def _wait_for_address(self):
        deadline = time.monotonic() + self.START_SECONDS
        while time.monotonic() < deadline:
            found = re.search(LISTENING, self.log_path.read_text(errors="replace"))
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        state = f"exit code {self.process.poll()}" if self.process.poll() is not None else "still starting"
        self.process.kill()
        raise DemoError(
            f"the server told no address ({state}); its log, {self.log_path}:\n"
            + self.log_path.read_text(errors="replace")
        )

    def stop(self):
        """SIGTERM; returns the seconds that it took to drain and exit."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise DemoError(f"the server did not drain within {self.DRAIN_SECONDS} s of SIGTERM; see {self.log_path}")
        log = self.log_path.read_text(errors="replace")
        if code != 0 or not re.search(DRAINED, log):
            raise DemoError(
                f"the server ended with code {code} and "
                f"{'a' if re.search(DRAINED, log) else 'no'} word of having drained; see {self.log_path}"
            )
        return time.monotonic() - start

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Likeness:
    """The command, pointed at one server."""

    def __init__(self, command, address):
        self.command = command
        self.environment = {name: value for name, value in os.environ.items() if name != "LIKENESS_SERVER"}
        self.address = address

    def _run(self, *arguments):
        return subprocess.run(
            [self.command, *map(str, arguments), "--server", self.address, "--format", "json"],
            capture_output=True,
            text=True,
            env=self.environment,
        )

    def metrics(self):
        done = self._run("metrics")
        if done.returncode != 0:
            raise DemoError(f"likeness metrics failed:\n{done.stderr}")
        return json.loads(done.stdout)["metrics"]

    def compare(self, reference, distorted, metrics, *flags):
        """The command's JSON. A metric that failed is in its "errors"; a call that failed as a whole raises."""
        done = self._run("compare", reference, distorted, "--metric", ",".join(metrics), "--timeout", 300, *flags)
        if not done.stdout:
            raise DemoError(f"likeness compare {reference} {distorted} failed:\n{done.stderr}")
        return json.loads(done.stdout)
