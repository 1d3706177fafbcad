#!/usr/bin/env python3
"""Writes the README's picture from what `make demo` made: the distorted pictures, and below them their heat maps.

    tools/docs/strip.py [build/demo]
"""

import pathlib
import sys

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
STRIP = ROOT / "docs" / "images" / "demo.jpg"
# In the order of the demo's table.
COLUMNS = ("contrast.png", "mean_shift.png", "pixel_shift.png", "noise.png", "blur.png", "jpeg.jpg")
MAPS = ("ssim", "lpips_alex")
SIDE, GAP = 160, 4


def main():
    demo = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "demo"
    strip = Image.new("RGB", (len(COLUMNS) * (SIDE + GAP) - GAP, 3 * (SIDE + GAP) - GAP), "white")
    for column, name in enumerate(COLUMNS):
        path = demo / "pictures" / name
        cells = [path] + [demo / "maps" / f"{path.stem}-{metric}.png" for metric in MAPS]
        for row, cell in enumerate(cells):
            tile = Image.open(cell).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            strip.paste(tile, (column * (SIDE + GAP), row * (SIDE + GAP)))
    strip.save(STRIP, quality=85)
    print(STRIP)


if __name__ == "__main__":
    main()
