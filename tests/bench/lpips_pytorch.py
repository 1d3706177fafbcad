#!/usr/bin/env python3
"""Times the PyTorch package `lpips` on the CPU beside lpips_bench: float32, our weights, noise of 256x256.

    lpips_pytorch.py [--weights build/weights] [--threads N]

Needs tools/parity/requirements.txt. Prints pairs a second, the best of some runs, in the rows of lpips_bench.
"""

import argparse
import pathlib
import sys
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "parity"))
import lpips_reference  # noqa: E402


def best_seconds(run, seconds=4.0):
    run()
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "build" / "weights")
    parser.add_argument("--threads", type=int, default=0, help="0: what PyTorch takes by itself")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    for metric in ("lpips_alex", "lpips_vgg"):
        _, network = lpips_reference.load_network(arguments.weights / f"{metric}.safetensors", torch.float32)

        def score(pairs):
            images = torch.rand(2, pairs, 3, 256, 256)

            def run():
                with torch.no_grad():
                    network(images[0], images[1], normalize=True)

            return run

        def gradient():
            images = torch.rand(2, 1, 3, 256, 256)
            distorted = images[1].clone().requires_grad_(True)
            network(images[0], distorted, normalize=True).sum().backward()

        for name, pairs, run in (("one pair", 1, score(1)), ("batch of 4", 4, score(4)), ("gradient", 1, gradient)):
            print(f"{metric}/256x256/{name}: {pairs / best_seconds(run):.2f} pairs/s (PyTorch {torch.__version__})")


if __name__ == "__main__":
    main()
