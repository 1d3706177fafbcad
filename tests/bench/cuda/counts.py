#!/usr/bin/env python3
"""Prints a table of the bytes that every metric moves under CUDA, as bench.cc counts them without a GPU.

    tests/bench/cuda/counts.py BENCH [--metrics ID,ID...]

Fails where a count cannot be true: less than both images and the gradient, a gradient for nothing, or a walk that moves more than its
program.
"""

import argparse
import json
import subprocess
import sys

SAMPLES = 1920 * 1080 * 3
PAIR, GRADIENT = 2 * SAMPLES, 4 * SAMPLES  # uint8 and float32


def problems(bytes_of):
    for (metric, fused, gradient), count in bytes_of.items():
        what = f"{metric}, {'walk' if fused else 'program'}{', with gradient' * gradient}: {count} bytes"
        if count < PAIR + gradient * GRADIENT:
            yield f"{what}: less than both images{' and the gradient' * gradient} have"
        if gradient and count < bytes_of[metric, fused, False] + GRADIENT:
            yield f"{what}: less than the score's and the gradient's own"
        if fused and count > bytes_of[metric, False, gradient]:
            yield f"{what}: more than the program moves"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--metrics", default="")
    arguments = parser.parse_args()
    command = [arguments.bench, "--counts"] + (["--metrics", arguments.metrics] if arguments.metrics else [])
    rows = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    bytes_of = {(row["metric"], row["fused"], row["gradient"]): row["bytes"] for row in rows}
    found = list(problems(bytes_of))
    print("\n".join(found), end="\n" * bool(found), file=sys.stderr)
    if not rows or len(rows) != len(bytes_of):
        sys.exit(f"{len(rows)} lines of {len(bytes_of)} counts")

    shares = {row["metric"] for row in rows if row["shares_reading"]}
    print("| metric | walk: score, MB | with gradient, MB | program: score, MB | with gradient, MB |")
    print("|---|---:|---:|---:|---:|")
    for metric in dict.fromkeys(row["metric"] for row in rows):
        cells = [f"{bytes_of[key] / 1e6:.4g}" if (key := (metric, fused, gradient)) in bytes_of else ""
                 for fused in (True, False) for gradient in (False, True)]
        print(f"| `{metric}`{' *' * (metric in shares)} | {' | '.join(cells)} |")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
