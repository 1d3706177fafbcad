#!/usr/bin/env python3
"""Runs the CUDA bench and prints a page of Markdown: every metric's time beside the floor, and peers in the same run.

    tests/bench/cuda/run.py BENCH [--small] [--seconds S] [--metrics ID,ID...] [--images N]

BENCH is what tests/gpu/run builds as build/gpu/bench (bench.cc tells what it times). Exit 77: no GPU, nothing was run.
The floor is the time that the memory needs for the bytes that a program's steps read and write (of a fused walk: both images
and the gradient), at the measured speed of a copy within the GPU; or, of a learned metric in float32, the time of its
multiply-adds at their measured speed, if that is longer. Learned metrics run on weights from a formula. Peers are timed where
PyTorch sees a GPU: torchmetrics, kornia, fused-ssim, whichever can be imported, and SSIM written in PyTorch. They get float32 batches that are on the GPU already; ours reads uint8.
"""

import argparse
import importlib
import json
import pathlib
import subprocess
import sys

SKIPPED = 77
WIDTH, HEIGHT, BATCH = 1920, 1080, 8


def bench(arguments):
    command = [arguments.bench.resolve(), "--seconds", str(arguments.seconds)]
    command += ["--small"] * arguments.small + (["--metrics", arguments.metrics] if arguments.metrics else [])
    command += ["--images", str(arguments.images)] if arguments.images else []
    run = subprocess.run(command, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    if run.returncode not in (0, SKIPPED):
        print(f"{arguments.bench} failed with {run.returncode}; the rest was timed:\n")
        print("".join(f"    {line}\n" for line in lines + run.stderr.splitlines() if not line.startswith("{")))
    return run.returncode, [json.loads(line) for line in lines if line.startswith("{")]


def of_kind(rows, kind):
    return [row for row in rows if row["kind"] == kind]


def print_rates(rates):
    print(f"Measured first: upload {rates['upload_bytes_per_s'] / 1e9:.4g} GB/s, download "
          f"{rates['download_bytes_per_s'] / 1e9:.4g} GB/s, copy within the GPU {rates['copy_bytes_per_s'] / 1e9:.4g} GB/s (read plus "
          f"written), {rates['fma_per_s'] / 1e12:.4g} T float32 fused multiply-adds a second.")


def print_metrics(rows, title):
    print(f"\n{title}\n")
    print("| metric | | pairs | launches | us a pair | floor, us | over floor | GB/s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        what = "score and gradient" if row["gradient"] else "score"
        print(f"| `{row['metric']}` | {what}{', fused' * row['fused']} | {row['batch']} | {row['launches']} | {row['us']:.4g} | {row['floor_us']:.4g} | "
              f"{row['us'] / row['floor_us']:.3g} | {row['bytes_per_s'] / 1e9:.4g} |")


def print_single(rows):
    print("\nOne pair of 256x256 at a time, microseconds: from call to result by the wall clock, and of the launches by the GPU's "
          "clock, launch by launch and replayed as a CUDA graph.\n")
    print("| metric | | launches | wall | wall, graph | launches | launches, graph |")
    print("|---|---|---:|---:|---:|---:|---:|")
    direct = [row for row in rows if not row["graphs"]]
    replayed = {(row["metric"], row["gradient"]): row for row in rows if row["graphs"]}
    for row in direct:
        graph = replayed.get((row["metric"], row["gradient"]))
        if graph is None:  # failed
            continue
        what = "score and gradient" if row["gradient"] else "score"
        print(f"| `{row['metric']}` | {what} | {row['launches']} | {row['wall_us']:.4g} | {graph['wall_us']:.4g} | {row['us']:.4g} | "
              f"{graph['us']:.4g} |")


def print_overlap(rows):
    print("\nPairs a second by the wall clock, with upload, download and the host's work, launch by launch and with CUDA graphs; "
          "`best` is what the slowest of the three stages would allow, as one slot alone takes them.\n")
    print("| metric | slots | graphs | pairs in a batch | pairs/s | upload, ms | compute, ms | download, ms | best |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    alone = {row["metric"]: row for row in rows if row["slots"] == 1 and row["graphs"]}
    for row in rows:
        if row["metric"] not in alone:  # failed
            continue
        slowest = max(alone[row["metric"]][stage] for stage in ("upload_ms", "compute_ms", "download_ms"))
        print(f"| `{row['metric']}` | {row['slots']} | {'yes' if row['graphs'] else 'no'} | {row['batch']} | {row['pairs_per_s']:.4g} | {row['upload_ms']:.4g} | "
              f"{row['compute_ms']:.4g} | {row['download_ms']:.4g} | {1e3 * row['batch'] / slowest:.4g} |")


def torch_ssim(torch):
    """The score of Wang et al. by grouped convolutions, as SSIM packages for PyTorch do it."""
    distance = torch.arange(11, device="cuda") - 5.0
    taps = torch.exp(-(distance**2) / 4.5)
    taps = taps / taps.sum()
    down, across = taps.view(1, 1, 11, 1).repeat(3, 1, 1, 1), taps.view(1, 1, 1, 11).repeat(3, 1, 1, 1)

    def blur(x):
        return torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, across, groups=3), down, groups=3)

    def ssim(r, d):
        mu_r, mu_d = blur(r), blur(d)
        rr, dd, rd = blur(r * r) - mu_r**2, blur(d * d) - mu_d**2, blur(r * d) - mu_r * mu_d
        return ((2 * mu_r * mu_d + 1e-4) * (2 * rd + 9e-4) / ((mu_r**2 + mu_d**2 + 1e-4) * (rr + dd + 9e-4))).mean()

    return ssim


def peers(torch):
    """(our metric, the peer's name, its function of a reference and a distorted batch)"""
    found = [("mae", "PyTorch l1_loss", torch.nn.functional.l1_loss), ("mse", "PyTorch mse_loss", torch.nn.functional.mse_loss),
             ("ssim", "PyTorch, written here", torch_ssim(torch))]

    def add(module, make):
        try:
            found.extend(make(importlib.import_module(module)))
        except ImportError as error:
            print(f"Peer left out: {module}: {error}.")

    add("torchmetrics.functional.image", lambda m: [
        ("ssim", "torchmetrics", lambda r, d: m.structural_similarity_index_measure(d, r, data_range=1.0)),
        ("ms_ssim", "torchmetrics", lambda r, d: m.multiscale_structural_similarity_index_measure(d, r, data_range=1.0)),
        ("psnr", "torchmetrics", lambda r, d: m.peak_signal_noise_ratio(d, r, data_range=1.0))])
    add("kornia.metrics", lambda m: [("ssim", "kornia", lambda r, d: m.ssim(r, d, 11).mean())])
    add("fused_ssim", lambda m: [("ssim", "fused-ssim", lambda r, d: m.fused_ssim(d, r, padding="valid"))])
    return found


def peer_us(torch, call, gradient):
    """Best time a pair of several runs, by CUDA events."""
    generator = torch.Generator(device="cuda").manual_seed(1)
    shape = (BATCH, 3, HEIGHT, WIDTH)
    reference = torch.rand(shape, device="cuda", generator=generator)
    distorted = (reference + 0.05 * torch.rand(shape, device="cuda", generator=generator)).clamp(0, 1)
    distorted.requires_grad_(gradient)

    def run():
        if not gradient:
            with torch.no_grad():
                return call(reference, distorted)
        distorted.grad = None
        return call(reference, distorted).backward()

    best = float("inf")
    for _ in range(6):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end))
    return 1e3 * best / BATCH


def print_peers(rows):
    try:
        import torch
    except ImportError as error:
        print(f"\nNo peers: {error}.")
        return
    if not torch.cuda.is_available():
        print(f"\nNo peers: PyTorch {torch.__version__} sees no GPU.")
        return
    # The fused walk, which comes after the program, where there is one.
    ours = {(row["metric"].split(":")[0], row["gradient"]): row["us"] for row in rows}
    print(f"\nPeers on batches of {BATCH} float32 RGB pairs of {WIDTH}x{HEIGHT}, PyTorch {torch.__version__}; `ratio` is the peer's "
          "time over ours, of the launches alone.\n")
    lines = ["| metric | | peer | its us a pair | ours | ratio |", "|---|---|---|---:|---:|---:|"]
    for metric, name, call in peers(torch):
        for gradient in (False, True):
            if (metric, gradient) not in ours:
                continue
            what = "score and gradient" if gradient else "score"
            mine = ours[metric, gradient]
            try:
                took = peer_us(torch, call, gradient)
            except RuntimeError as error:  # a peer without a gradient, or out of memory
                print(f"Peer left out: {name}, {metric}, {what}: {str(error).splitlines()[0]}.")
                continue
            lines.append(f"| `{metric}` | {what} | {name} | {took:.4g} | {mine:.4g} | {took / mine:.3g} |")
    print("\n" + "\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=pathlib.Path)
    parser.add_argument("--small", action="store_true", help="a few tiny pairs, for the emulator")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure")
    parser.add_argument("--metrics", help="these alone, with commas between")
    parser.add_argument("--images", type=int, help="that one call of cuDNN takes at most")
    arguments = parser.parse_args()
    status, rows = bench(arguments)
    print(of_kind(rows, "device")[0]["description"] + ".\n")
    if status == SKIPPED:
        return SKIPPED
    if not of_kind(rows, "rates"):
        return 1
    if arguments.small:
        print("**Small pairs, to see that the bench works: the times below mean nothing.**\n")
    print_rates(of_kind(rows, "rates")[0])
    large = of_kind(rows, "large")
    print_metrics(large, "Batches of tiny pairs." if arguments.small else f"Batches of {WIDTH}x{HEIGHT} RGB pairs.")
    print_metrics(of_kind(rows, "ragged"), "Batches of pairs of many sizes" + ("." if arguments.small else " around 256x256."))
    for row in of_kind(rows, "left out"):
        print(f"\nLeft out: `{row['metric']}` of the {row['of']} batch: {row['why']}.")
    if single := of_kind(rows, "single"):
        print_single(single)
    if overlap := of_kind(rows, "overlap"):
        print_overlap(overlap)
    if not arguments.small:
        print_peers(large)
    # A bench that timed nothing has failed.
    return status if large else 1


if __name__ == "__main__":
    sys.exit(main())
