#!/usr/bin/env python3
"""Writes docs/metrics.md and its picture strip from what the command says of its metrics.

    tools/docs/metrics.py build/cpu/likeness            writes
    tools/docs/metrics.py build/cpu/likeness --check    fails when the page does not say what the command says

--check leaves out the scores and the picture: they need the learned metrics' weights, and their last digits depend on the
processor.
"""

import argparse
import difflib
import io
import json
import math
import pathlib
import re
import subprocess
import sys

import jinja2
from PIL import Image, ImageDraw

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
STRIP = ROOT / "docs" / "images" / "metrics-strip.jpg"
PHOTO = ROOT / "tests" / "photos" / "chelsea_301x197.png"
QUALITIES = (95, 70, 40, 15, 5)


def likeness(command, *arguments):
    done = subprocess.run([command, *map(str, arguments), "--local", "--format", "json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"metrics.py: likeness {' '.join(map(str, arguments))} failed with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def better(metric):
    return {"higher_is_better": "higher", "lower_is_better": "lower", "zero_is_best": "zero"}[metric["direction"]]


def bound(value):
    if isinstance(value, str):  # JSON has no infinity
        value = float(value)
    return {math.inf: "inf", -math.inf: "-inf"}.get(value, f"{value:g}")


def value_range(metric):
    low, high = map(bound, metric["range"])
    return f"{'(' if 'inf' in low else '['}{low}, {high}{')' if 'inf' in high else ']'}"


def bounds(parameter):
    if "choices" in parameter:
        return ", ".join(parameter["choices"])
    if "minimum" in parameter:
        return f"{bound(parameter['minimum'])}, {bound(parameter['maximum'])}"
    return "true, false"


def default(parameter):
    value = parameter["default"]
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) and not value.endswith("inf") else bound(value)


def cost(metric):
    counted = metric["cost_1080p"]
    if not counted["operations"]:
        return "-"
    return (
        f"{counted['bytes_moved'] / 1e9:.3g} GB, {counted['operations'] / 1e9:.3g} GFlop,"
        f" {counted['workspace_bytes'] / 2**20:.0f} MiB"
    )


def mask(metric):
    """Whether a mask may weight it, or under which conventions alone."""
    taking = [c["name"] for c in metric["conventions"] if c["takes_weights"]]
    if not metric["takes_weights"] or len(taking) == len(metric["conventions"]):
        return "yes" if metric["takes_weights"] else "-"
    return ", ".join(f"`{name}`" for name in taking)


def score_text(score):
    return f"{float(score):.4g}"


def make_strip(command, metrics):
    """The picture, and each available metric's scores."""
    photo = Image.open(PHOTO).convert("RGB")
    folder = ROOT / "build" / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    crop = (60, 30, 240, 175)
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    strip = Image.new("RGB", (len(QUALITIES) * (width + 4) - 4, height + 14), "white")
    names = [m["id"] for m in metrics if m["available"] and not m["needs_convention"]]
    scores = {name: [] for name in names}
    for i, quality in enumerate(QUALITIES):
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=quality)
        path = folder / f"quality-{quality}.jpg"
        path.write_bytes(file.getvalue())
        left = i * (width + 4)
        strip.paste(Image.open(file).crop(crop), (left, 14))
        ImageDraw.Draw(strip).text((left + 2, 1), f"quality {quality}", fill="black")
        for row in likeness(command, "compare", PHOTO, path, "--metric", ",".join(names))["scores"]:
            scores[row["metric"]].append(score_text(row["score"]))
    return strip, scores


def render(metrics, strip):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent), undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    page = environment.get_template("metrics.md.j2").render(
        metrics=metrics,
        families=list(dict.fromkeys(m["family"] for m in metrics)),
        aliases=sorted((a["name"], f"{m['id']}:{a['convention']}") for m in metrics for a in m["aliases"]),
        photo="tests/photos/" + PHOTO.name,
        qualities=QUALITIES,
        strip=strip,
        better=better,
        range=value_range,
        bounds=bounds,
        bound=bound,
        default=default,
        cost=cost,
        mask=mask,
    )
    page = re.sub(r"\.\.(?=\s)", ".", page)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def facts(page):
    return re.sub(r"<!-- scores -->.*<!-- /scores -->", "", page, flags=re.DOTALL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("likeness", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    metrics = likeness(arguments.likeness, "metrics")["metrics"]
    for metric in metrics:
        # What one machine's weights add.
        metric["summary"] = metric["summary"].split(" Weights of its user:")[0]
        if not metric["available"]:
            metric["cost_1080p"]["operations"] = 0
    if arguments.check:
        written, said = facts(PAGE.read_text()), facts(render(metrics, {}))
        if any(not m["available"] for m in metrics):
            # An unavailable metric has no plan, hence no cost.
            written, said = (re.sub(r"\| [^|]*GFlop[^|]* \|$|\| - \|$", "|", text, flags=re.MULTILINE) for text in (written, said))
        if written != said:
            sys.stderr.writelines(difflib.unified_diff(written.splitlines(True), said.splitlines(True), str(PAGE), "likeness", n=0))
            sys.exit("docs/metrics.md does not say what the command says: run tools/docs/metrics.py")
        return
    strip, scores = make_strip(arguments.likeness, metrics)
    STRIP.parent.mkdir(parents=True, exist_ok=True)
    strip.save(STRIP, "JPEG", quality=92)
    PAGE.write_text(render(metrics, scores))


if __name__ == "__main__":
    main()
