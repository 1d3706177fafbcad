"""The demo's table and page: ranks, colours, heat map scales, and the template filled in."""

import base64
import io
import math
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

ARROWS = {"lower_is_better": "\u2193", "higher_is_better": "\u2191", "zero_is_best": "\u21920"}
COUNT_WORDS = {4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight"}
# Metrics whose best and worst the page's first paragraph names, where this server has them.
SPOKEN_FOR = ("ssim", "gmsd", "lpips_alex")


def number(score):
    """JSON has no infinity: the command writes it as a string."""
    return float(score)


def text(score):
    value = number(score)
    if math.isinf(value):
        return "\u221e" if value > 0 else "-\u221e"
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
    return f"{value:.2e}"


def badness(score, direction):
    value = number(score)
    return {"lower_is_better": value, "higher_is_better": -value, "zero_is_best": abs(value)}[direction]


def ranks(scores, direction):
    """1 for the best; equal scores share a rank. None stays None."""
    known = sorted(badness(s, direction) for s in scores if s is not None)
    return [None if s is None else 1 + known.index(badness(s, direction)) for s in scores]


def holds_equal(scores, identity):
    """Whether the damage that the metric sees is the same in all pictures, but for a tenth of the most. Damage is the
    distance from the score of equal images; where that is infinite (PSNR), the size of the score stands for it."""
    known = [number(s) for s in scores if s is not None]
    zero = 0.0 if identity is None or math.isinf(number(identity)) else number(identity)
    damage = [abs(value - zero) for value in known]
    if not damage or math.isinf(max(damage)):
        return False
    return max(damage) - min(damage) < 0.1 * max(damage)


def build_rows(metrics, identity, results, distortions):
    """One row a metric, one cell a distortion. `identity` and the values of `results` are {metric: score or error}."""
    rows = []
    for metric in metrics:
        name = metric["id"]
        row = {
            "id": name,
            "family": metric["family"],
            "summary": metric["summary"],
            "arrow": ARROWS[metric["direction"]],
            "unavailable": metric.get("unavailable", ""),
        }
        rows.append(row)
        if row["unavailable"]:
            continue
        entries = [results[d.id][name] for d in distortions]
        scores = [None if "error" in e else e["score"] for e in entries]
        row["identity"] = text(identity[name]["score"]) if "score" in identity[name] else "failed"
        row["ranks"] = ranks(scores, metric["direction"])
        worst = max((r for r in row["ranks"] if r), default=1)
        row["level"] = holds_equal(scores, identity[name].get("score"))
        row["cells"] = []
        for entry, rank in zip(entries, row["ranks"]):
            if rank is None:
                row["cells"].append({"error": entry["error"]})
                continue
            place = 0.5 if worst == 1 or row["level"] else (rank - 1) / (worst - 1)
            row["cells"].append(
                {
                    "text": text(entry["score"]),
                    "rank": "=" if row["level"] else rank,
                    "side": "best" if place < 0.5 else "worst",
                    "wash": f"{0.42 * abs(2 * place - 1):.2f}",
                    "extreme": place in (0.0, 1.0),
                }
            )
    return rows


def in_sentence(name):
    return name if name.isupper() else name.lower()


def findings(rows, distortions):
    said = []
    for row in rows:
        if row["id"] not in SPOKEN_FOR or row["unavailable"] or None in row["ranks"] or row["level"]:
            continue
        said.append(
            {
                "metric": row["id"],
                "best": in_sentence(distortions[row["ranks"].index(1)].name),
                "worst": in_sentence(distortions[row["ranks"].index(max(row["ranks"]))].name),
            }
        )
    return said


def print_table(rows, distortions):
    """On stdout: one line a metric, the rank of each score beside it."""
    head = ["metric", "original"] + [d.name for d in distortions]
    lines = [["MSE (8 bit)", "0.0"] + [f"{d.mse:.1f}" for d in distortions]]
    notes = []
    for row in rows:
        if row["unavailable"]:
            notes.append(f"{row['id']} is not available: {row['unavailable']}")
            continue
        cells = ["failed" if "error" in c else f"{c['text']} ({c['rank']})" for c in row["cells"]]
        notes += [
            f"{row['id']} failed on {d.name}: {c['error']}" for d, c in zip(distortions, row["cells"]) if "error" in c
        ]
        lines.append([f"{row['id']} {row['arrow']}", row["identity"]] + cells)
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        print(line[0].ljust(widths[0]) + "  " + "  ".join(c.rjust(w) for c, w in zip(line[1:], widths[1:])))
    for note in notes:
        print(note)


def common_scale(identity_map, maps):
    """(dark, bright) for one metric: dark is the map of equal images; bright is where all but the 1% of samples that
    differ most of all pictures lie, so that a few hot pixels do not darken the rest."""
    dark = float(np.median(identity_map))
    deviation = np.concatenate([(m - dark).ravel() for m in maps])
    side = 1.0 if np.abs(deviation.max()) >= np.abs(deviation.min()) else -1.0
    return dark, dark + side * max(float(np.quantile(side * deviation, 0.99)), 1e-6)


def data_uri(path):
    kind = {".png": "image/png", ".jpg": "image/jpeg"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def thumbnail_uri(path, side=168):
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write(path, **values):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    path.write_text(environment.get_template("page.html.j2").render(**values), encoding="utf-8")
