"""Scores the search for damage: `bench_detection.py CASES [--quick]`.

CASES holds NAME.jpg, the clean NAME.clean.jpg, NAME.labels.png (components by number) and
NAME.json (their kind and contrast in units of the local noise, `sigmas`). A component is found
where half of its pixels lie within 2 px of a mark; pixels are compared with the same tolerance.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from dip.detection import detect
from dip.image_io import read_photo

STRONG_SIGMAS = 10
NEAR = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 2)


def main() -> None:
    """Print recall by kind, precision, F1, the share of clean photos marked, and the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sensitivity", type=float, default=0.5)
    args = parser.parse_args()
    hits: dict[str, list[bool]] = defaultdict(list)
    clean: list[float] = []
    cpu_s: list[float] = []
    marked_near = marked = found = damaged = 0
    for description in sorted(args.cases.glob("*.json")):
        name = args.cases / description.stem
        began = time.process_time()
        photo = read_photo(name.with_suffix(".jpg")).pixels
        mask = detect(photo, quick=args.quick).mask(args.sensitivity)
        cpu_s.append((time.process_time() - began) / (mask.size / 1e6))
        undamaged = read_photo(name.with_suffix(".clean.jpg")).pixels
        clean.append(float(detect(undamaged, quick=args.quick).mask(args.sensitivity).mean()))
        labels = np.asarray(Image.open(name.with_suffix(".labels.png")))
        near_mask = ndimage.binary_dilation(mask, NEAR)
        near_damage = ndimage.binary_dilation(labels > 0, NEAR)
        for number, each in enumerate(json.loads(description.read_text())["components"], start=1):
            if (labels == number).any():
                hit = bool(near_mask[labels == number].mean() >= 0.5)
                hits[each["kind"]].append(hit)
                if each["sigmas"] >= STRONG_SIGMAS:
                    hits[f"{STRONG_SIGMAS} sigma and more"].append(hit)
        marked_near += int((mask & near_damage).sum())
        marked += int(mask.sum())
        found += int((near_mask & (labels > 0)).sum())
        damaged += int((labels > 0).sum())
    for kind, each in sorted(hits.items()):
        print(f"{kind}: {np.mean(each):.2f} of {len(each)} found")
    precision, recall = marked_near / max(marked, 1), found / max(damaged, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(f"pixels: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}")
    print(f"clean photos: median {np.median(clean):.2%} marked, worst {max(clean):.2%}")
    print(f"CPU seconds for a megapixel: median {np.median(cpu_s):.1f}")


if __name__ == "__main__":
    main()
