#!/usr/bin/env python3
"""Times every metric on one thread beside its fastest reference, in one run: milliseconds for a 1920x1080 RGB pair.

    make bench                                     builds metric_bench
    build/parity/metrics-venv/bin/python tests/bench/metrics.py build/cpu [--metrics NAMES] [--write docs/speed.md]

The Python is that of tools/parity/metrics.py, whose first lines say how to make it. Ours reads uint8; references get what
they like best, float32 tensors or files, with one thread. A reference's gradient is its own backward pass; `-` where it has
none. `over floor` is our time over the least that any metric needs: both images touched once and the gradient, where one is
asked for, written once. `ratio` is the reference's time over ours.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "parity"))
import references  # noqa: E402

WIDTH, HEIGHT = 1920, 1080
COMPANIES = ("relatives", "mixed")


def pair(folder):
    """The pair of metric_bench, but for the noise: slopes with grain."""
    random = np.random.default_rng(1)
    slope = (np.arange(WIDTH * HEIGHT * 3) % 3000 // 16).reshape(HEIGHT, WIDTH, 3)
    folder.mkdir(parents=True, exist_ok=True)
    files, tensors = [], []
    for name in ("reference", "distorted"):
        pixels = (slope + random.integers(0, 24, slope.shape)).astype(np.uint8)
        files.append(folder / f"{name}.png")
        Image.fromarray(pixels).save(files[-1])
        tensors.append(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    return files, tensors


def best_milliseconds(run, seconds):
    best, spent = float("inf"), 0.0
    while spent < seconds:
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
    return 1e3 * best


def reference_times(name, files, tensors, seconds):
    """Score and, where torch can go back, score and gradient; None where there is no such thing."""
    if name in references.OF_FILES:
        return best_milliseconds(lambda: references.score(name, None, files), seconds), None
    call = references.OF_TENSORS[name][1]
    with torch.no_grad():
        score = best_milliseconds(lambda: float(call(*tensors)), seconds)
    distorted = tensors[1].clone().requires_grad_(True)

    def both():
        distorted.grad = None
        call(tensors[0], distorted).backward()

    try:
        both()
    except (RuntimeError, AttributeError):  # not torch's, or in place
        return score, None
    return score, best_milliseconds(both, seconds)


def ours(build, seconds, pattern):
    text = subprocess.run(
        [build / "metric_bench", f"--benchmark_filter={pattern}", "--benchmark_format=json", f"--benchmark_min_time={seconds / 3}", "--benchmark_repetitions=3"],
        check=True, capture_output=True, text=True).stdout
    best = {}
    for row in json.loads(text)["benchmarks"]:
        if row.get("run_type") != "iteration" or row.get("error_occurred"):
            continue
        name = row["run_name"].removesuffix("/real_time")
        if name not in best or row["real_time"] < best[name][0]:
            best[name] = (row["real_time"], row.get("over_floor"))
    return best


def number(value):
    return "-" if value is None else f"{value:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--metrics", help="references to time; all of them when left out")
    parser.add_argument("--bench", default=".", help="which of metric_bench's benchmarks to run, a pattern; -PATTERN leaves out")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--write", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    wanted = arguments.metrics.split(",") if arguments.metrics else references.NAMES
    files, tensors = pair(ROOT / "build" / "bench")
    best = ours(arguments.build, arguments.seconds, arguments.bench)
    # "ssim" stands for "ssim:wang": the default convention is the first of its metric.
    rows = {}
    for key in best:
        if not key.startswith(COMPANIES):
            metric = key.rsplit("/", 1)[0]
            rows.setdefault(metric.split(":")[0], metric)
    lines = ["| metric | score, ms | over floor | with gradient, ms | over floor | reference | its score, ms | its gradient, ms | ratio | ratio with gradient |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for metric in dict.fromkeys(key.rsplit("/", 1)[0] for key in best if not key.startswith(COMPANIES)):
        score, gradient = best.get(f"{metric}/score"), best.get(f"{metric}/gradient")
        names = [n for n in wanted if rows.get(n, n) == metric]
        theirs = reference_times(names[0], files, tensors, arguments.seconds) if names else (None, None)
        ratios = [None if t is None or m is None else t / m[0] for t, m in zip(theirs, (score, gradient))]
        score, gradient = score or (None, None), gradient or (None, None)
        lines.append(
            f"| `{metric}` | {number(score[0])} | {number(score[1])} | {number(gradient[0])} | {number(gradient[1])} |"
            f" {references.package(names[0]) if names else '-'} | {number(theirs[0])} | {number(theirs[1])} | {number(ratios[0])} | {number(ratios[1])} |")
        print(lines[-1], file=sys.stderr, flush=True)
    company = "\n".join(
        f"- {name}: {best[name + '/together'][0]:.0f} ms together, {best[name + '/apart'][0]:.0f} ms apart, ratio"
        f" {best[name + '/together'][0] / best[name + '/apart'][0]:.2f}" for name in COMPANIES)
    company = "Ten metrics in one request and in a request each, without gradient (tests/bench/metric_bench.cc names them):\n\n" + company
    print("\n".join(lines))
    print(company)
    if arguments.write:
        machine = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
        arguments.write.write_text(
            "# Speed of every metric\n\nWritten by `tests/bench/metrics.py`, whose first lines say how to run it and what the"
            f" columns are. One thread of: {machine}. PyTorch {torch.__version__}.\n\n" + "\n".join(lines) + f"\n\n{company}\n")


if __name__ == "__main__":
    main()
