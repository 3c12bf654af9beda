"""Learns the weights of `dip.detection.network`: `learn_damage.py OUT.npz [--photos FOLDER]`.

Damage is drawn onto the free photos of scikit-image (and those of a folder), enlarged to the
softness of a scan, with grain, and with thin things that belong to a picture: wires, text, stars,
stitches. 466 pictures and 1 500 steps take twenty minutes on one core. The weights in the
repository were learned with two further photos, china.jpg and flower.jpg of scikit-learn (CC BY).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from drawn_damage import draw_damage
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from torch.nn import functional

from dip.detection.features import measure
from dip.detection.network import DamageNetwork

Floats = NDArray[np.float32]
SIDE_PX, CROP_PX, CROPS = 400, 128, 6
RATE = 4e-3
FREE = {
    "astronaut": 3, "chelsea": 3, "coffee": 3, "rocket": 2, "camera": 3, "moon": 1, "coins": 1,
    "brick": 0.6, "grass": 0.6, "gravel": 0.6, "page": 0.7, "retina": 1, "hubble_deep_field": 1,
}  # fmt: skip
"""Pictures of scikit-image, and how often each is chosen."""


def photos(folder: Path | None) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """The photos as RGB, and the probability of each."""
    found = [(getattr(skimage.data, name)(), weight) for name, weight in FREE.items()]
    found.append((skimage.data.stereo_motorcycle()[0], 4))
    paths = sorted(folder.iterdir()) if folder is not None else []
    found += [(np.asarray(Image.open(path).convert("RGB")), 4) for path in paths]
    pictures = [each if each.ndim == 3 else np.stack([each] * 3, axis=2) for each, _ in found]
    weights = np.array([weight for _, weight in found], float)
    return pictures, weights / weights.sum()


def add_structures(random: np.random.Generator, picture: Image.Image) -> None:
    """Draw bars, text, stars, stitches or frames: thin things that belong to a picture."""
    pen = ImageDraw.Draw(picture)
    for _ in range(random.integers(1, 5)):
        gray = (int(random.integers(0, 256)),) * 3
        colour = tuple(map(int, random.integers(0, 256, 3))) if random.random() < 0.6 else gray
        x, y = (int(random.integers(0, side)) for side in picture.size)
        along = np.array([np.cos(angle := random.uniform(0, np.pi)), np.sin(angle)])
        kind = random.integers(0, 5)
        if kind == 0:
            length, width = random.uniform(20, picture.width), int(random.integers(1, 4))
            for offset in np.cumsum(random.uniform(4, 20, random.integers(1, 6))):
                ends = np.array([x + offset, y]), np.array([x + offset, y]) + length * along
                pen.line([tuple(map(float, end)) for end in ends], fill=colour, width=width)
        elif kind == 1:
            text = "".join(map(chr, random.integers(65, 122, random.integers(4, 30))))
            pen.text((x, y), text, fill=colour, font_size=int(random.integers(8, 28)))
        elif kind == 2:
            for a, b in random.normal((x, y), 60, (random.integers(5, 40), 2)):
                radius = int(random.integers(0, 3))
                pen.ellipse((a - radius, b - radius, a + radius, b + radius), fill=colour)
        elif kind == 3:
            for stitch in range(random.integers(5, 25)):
                ends = tuple(np.array([x, y]) + (8 * stitch + part) * along for part in (0, 4))
                pen.line([tuple(map(float, end)) for end in ends], fill=colour, width=2)
        else:
            far = x + int(random.integers(4, 80)), y + int(random.integers(4, 80))
            pen.rectangle((x, y, *far), outline=colour, width=int(random.integers(1, 4)))


def scan(random: np.random.Generator, photo: NDArray[np.uint8]) -> Floats:
    """A part of a photo as a scanner shows it: enlarged, soft, of its own contrast."""
    zoom = random.uniform(1.0, 3.0) if random.random() < 0.85 else random.uniform(0.6, 1)
    side = min(int(np.ceil(SIDE_PX / zoom)), *photo.shape[:2])
    top, left = (random.integers(0, length - side + 1) for length in photo.shape[:2])
    picture = Image.fromarray(photo[top : top + side, left : left + side])
    if random.random() < 0.35:
        add_structures(random, picture)
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.3:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    if random.random() < 0.15:
        picture = picture.convert("L").convert("RGB")
    picture = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, np.float32) / 255
    if random.random() < 0.6:
        sigma = random.uniform(0.3, 1.3)
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    pixels = np.clip(pixels, 0, 1) ** random.uniform(0.7, 1.4)
    low, high = random.uniform(0, 0.12), random.uniform(0.85, 1)
    return (low + pixels * (high - low)).astype(np.float32)


def grain(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Grain that is partly common to the colours."""
    deviation = random.choice([0.002, 0.006, 0.015, 0.03]) * random.uniform(0.7, 1.3)
    share, sigma = random.uniform(0, 1), random.uniform(0.3, 1.1)
    noise = share * random.normal(size=(*shape[:2], 1)) + (1 - share) * random.normal(size=shape)
    noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    return (deviation * noise / noise.std()).astype(np.float32)


def example(seed: int, pictures: list[Any], chances: NDArray[np.float64]) -> tuple[Any, Any]:
    """Measures of a damaged scan, (F, H, W), and its bright damage, (H, W) bool."""
    random = np.random.default_rng(seed)
    pixels = scan(random, pictures[random.choice(len(pictures), p=chances)])
    noise = grain(random, pixels.shape)
    pixels = 1 - pixels if random.random() < 0.5 else pixels
    grain_on_top = random.random() < 0.5
    if not grain_on_top:
        pixels = np.clip(pixels + noise, 0, 1)
    drawn = draw_damage(pixels, random, random.choice([0, 0.7, 1.5, 3]))
    pixels = np.clip(drawn.photo + noise, 0, 1) if grain_on_top else drawn.photo
    if random.random() < 0.5:  # dark damage, which is not to be marked
        pixels = 1 - draw_damage(1 - pixels, random, 0.7).photo
    return measure(np.rint(pixels * 255) / np.float32(255)).astype(np.float16), drawn.kind > 0


def crop(random: np.random.Generator, measures: Any, damage: Any) -> tuple[Any, Any]:
    """A part of an example, often around damage, turned and mirrored."""
    last = SIDE_PX - CROP_PX
    top, left = random.integers(0, last + 1, 2)
    if random.random() < 0.5 and damage.any():
        at = random.choice(np.argwhere(damage)) - random.integers(16, 112, 2)
        top, left = np.clip(at, 0, last)
    box = np.s_[..., top : top + CROP_PX, left : left + CROP_PX]
    part, truth = measures[box].astype(np.float32), damage[box]
    for axis in (-1, -2):
        if random.random() < 0.5:
            part, truth = np.flip(part, axis), np.flip(truth, axis)
    if random.random() < 0.5:
        part, truth = part.swapaxes(1, 2), truth.T
    return part, truth


def learn(examples: list[tuple[Any, Any]], steps: int) -> DamageNetwork:
    """Fit the network: cross-entropy and Dice, in which the outer rim of damage counts little."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = DamageNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = np.concatenate([each[:, ::40, ::40].reshape(len(each), -1) for each, _ in examples], 1)
    network.mean.copy_(torch.from_numpy(some.astype(np.float32).mean(axis=1))[:, None, None])
    network.spread.copy_(torch.from_numpy(some.astype(np.float32).std(axis=1))[:, None, None])
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimizer.param_groups:
            cosine = 0.5 + 0.5 * np.cos(np.pi * step / steps)
            group["lr"] = RATE * min(1, (step + 1) / 50) * cosine + 1e-5
        chosen = [examples[random.integers(len(examples))] for _ in range(CROPS)]
        parts, truths = zip(*(crop(random, *each) for each in chosen), strict=True)
        truth = torch.from_numpy(np.stack(truths).astype(np.float32))
        logits = network(torch.from_numpy(np.stack(parts)))[:, 0]
        rim = (functional.max_pool2d(truth[:, None], 3, 1, 1)[:, 0]) * (1 - truth)
        weight = 1 - 0.8 * rim
        found = logits.sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, weight)
        both = (found * weight).sum() + truth.sum()
        loss = 4 * entropy + 0.5 * (1 - (2 * (found * truth).sum() + 1) / (both + 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"{step + 1}/{steps} loss {loss.item():.3f}", file=sys.stderr)
    return network


def main() -> None:
    """Make the examples, learn, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="further photos")
    parser.add_argument("--examples", type=int, default=466)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    pictures, chances = photos(args.photos)
    network = learn([example(n, pictures, chances) for n in range(args.examples)], args.steps)
    weights = {name: value.contiguous().numpy() for name, value in network.state_dict().items()}
    np.savez_compressed(args.output, **weights)


if __name__ == "__main__":
    main()
