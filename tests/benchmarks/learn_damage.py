"""Learns the weights of `dip.detection.network`: `learn_damage.py OUT.npz --photos FOLDER`.

Damage is drawn onto free photos, those of scikit-image and those that `free_photos.py FOLDER` puts
into FOLDER/learn, and onto made pictures: enlarged to the softness of a scan, with grain, with thin
things that belong to a picture (wires, text, stars, stitches), and stored as a JPEG. OUT.npz is
written every 100 steps, the mean of the last 150 or so; a step takes about 0.5 s of one core.
`--resume` starts from weights, also of a network with fewer measures or layers.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from drawn_damage import SPECK, draw_damage
from made_pictures import add_structures, dead_leaves
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from dip.detection.features import characterise, measure
from dip.detection.network import DamageNetwork
from dip.fitting.optimizers import Adam, Muon

Floats = NDArray[np.float32]
SIDE_PX, CROP_PX, CROPS = 400, 160, 6
KEPT, NEW_EVERY = 96, 4
"""Examples in use at a time, and the number of steps after which one of them is replaced."""

LEAST_PX = 420
"""The longer side of a photo that is reduced the most."""

RATE = 0.02
FALLING = 0.6
"""The share of the time at the end in which the rate falls to nothing."""

STRANGE, STEEPEST = 5, 3.0
"""Steps whose loss is so many times the usual one are left out; longer gradients are shortened."""

AVERAGED_STEPS = 150
"""The weights that are written are the mean of about so many steps."""

MADE = 0.2
"""The share of made pictures among the examples."""

FREE = {
    "astronaut": 3, "coffee": 3, "moon": 1, "coins": 1, "brick": 0.6, "grass": 0.6, "gravel": 0.6,
    "page": 0.7, "text": 0.4, "clock": 0.5, "retina": 0.7, "hubble_deep_field": 1,
}  # fmt: skip
"""Pictures of scikit-image, and how often each is chosen. `bench_detection.py` has the others."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A damaged scan.

    Parameters
    ----------
    measures : (F, H, W) float16 array
    kind : (H, W) uint8 array
        Of bright damage, see `Drawn`.
    weight : (H, W) float32 array
        How much each pixel counts.
    """

    measures: NDArray[np.float16]
    kind: NDArray[np.uint8]
    weight: Floats


def photos(folder: Path | None) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """The photos as RGB, and the probability of each."""
    found = [(getattr(skimage.data, name)(), weight) for name, weight in FREE.items()]
    found.append((skimage.data.stereo_motorcycle()[0], 4))
    paths = sorted(folder.iterdir()) if folder is not None else []
    found += [(np.asarray(Image.open(path).convert("RGB")), 1) for path in paths]
    pictures = [each if each.ndim == 3 else np.stack([each] * 3, axis=2) for each, _ in found]
    weights = np.array([weight for _, weight in found], float)
    return pictures, weights / weights.sum()


def reduced(random: np.random.Generator, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo at a size at which its pixels are sharp, and show much of its scene or little."""
    longest = max(photo.shape[:2])
    size = np.exp(random.uniform(np.log(min(LEAST_PX, longest)), np.log(longest)))
    picture = Image.fromarray(photo)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2)
    return np.asarray(picture)


def scan(random: np.random.Generator, pictures: list[Any], chances: NDArray[np.float64]) -> Floats:
    """A part of a photo as a scanner shows it: enlarged, soft, of its own contrast."""
    zoom = random.choice(
        [random.uniform(1.6, 3.4), random.uniform(1, 1.6), random.uniform(0.6, 1)],
        p=[0.7, 0.2, 0.1],
    )
    side = int(np.ceil(SIDE_PX / zoom))
    if random.random() < MADE:
        part = dead_leaves(random, side)
    else:
        photo = reduced(random, pictures[random.choice(len(pictures), p=chances)])
        side = min(side, *photo.shape[:2])
        top, left = (random.integers(0, length - side + 1) for length in photo.shape[:2])
        part = photo[top : top + side, left : left + side]
    picture = Image.fromarray(part)
    if random.random() < 0.35:
        add_structures(random, picture)
    if random.random() < 0.3:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    if random.random() < 0.15:
        picture = picture.convert("L").convert("RGB")
    kernel = random.choice([Image.Resampling.BICUBIC] * 3 + [Image.Resampling.BILINEAR])
    picture = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling(int(kernel)))
    pixels = np.asarray(picture, np.float32) / 255
    if random.random() < 0.5:
        sigma = random.uniform(0.3, 1.3)
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    gray = pixels.mean(axis=2, keepdims=True)
    pixels = gray + (pixels - gray) * np.float32(random.uniform(0.4, 1.6))
    if random.random() < 0.4:  # lights and shadows without drawing
        pixels = 0.5 + (pixels - random.uniform(0.35, 0.65)) * np.float32(random.uniform(1, 1.8))
    pixels = np.clip(pixels, 0, 1) ** np.float32(random.uniform(0.7, 1.4))
    low, high = random.uniform(0, 0.12), random.uniform(0.85, 1)
    scanned: Floats = (low + pixels * (high - low)).astype(np.float32)
    return scanned


def grain(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Grain that is partly common to the colours."""
    deviation = random.choice([0.002, 0.006, 0.015, 0.03]) * random.uniform(0.7, 1.3)
    share, sigma = random.uniform(0, 1), random.uniform(0.3, 1.1)
    noise = share * random.normal(size=(*shape[:2], 1)) + (1 - share) * random.normal(size=shape)
    noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    return (deviation * noise / noise.std()).astype(np.float32)


def stored(random: np.random.Generator, pixels: Floats) -> Floats:
    """The photo as a file gives it back: of 8 bits, often sharpened, often a JPEG."""
    if random.random() < 0.12:
        sigma = random.uniform(0.7, 1.5)
        pixels = pixels + np.float32(random.uniform(0.3, 1)) * (
            pixels - ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
        )
    levels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    if random.random() < 0.7:
        file = io.BytesIO()
        quality, subsampling = int(random.integers(75, 98)), int(random.choice([0, 2]))
        Image.fromarray(levels).save(file, "jpeg", quality=quality, subsampling=subsampling)
        levels = np.asarray(Image.open(file))
    return levels / np.float32(255)


def example(seed: int, pictures: list[Any], chances: NDArray[np.float64]) -> Example:
    """Make an example, in half of all cases of the negative."""
    random = np.random.default_rng(seed)
    pixels = scan(random, pictures, chances)
    noise = grain(random, pixels.shape)
    negative = random.random() < 0.5
    pixels = 1 - pixels if negative else pixels
    grain_on_top = random.random() < 0.5
    if not grain_on_top:
        pixels = np.clip(pixels + noise, 0, 1)
    drawn = draw_damage(pixels, random, random.choice([0, 0.7, 1.5, 3]))
    change = np.abs(drawn.photo - pixels).max(axis=2)
    surroundings = pixels + noise if grain_on_top else pixels
    pixels = np.clip(drawn.photo + noise, 0, 1) if grain_on_top else drawn.photo
    if random.random() < 0.5:  # dark damage, which is not to be marked
        pixels = 1 - draw_damage(1 - pixels, random, 0.7).photo
    pixels = 1 - stored(random, 1 - pixels) if negative else stored(random, pixels)
    return Example(
        measures=measure(pixels, characterise(pixels)).astype(np.float16),
        kind=drawn.kind,
        weight=weigh(drawn.kind, change, surroundings.mean(axis=2)),
    )


def weigh(kind: NDArray[np.uint8], change: Floats, surroundings: Floats) -> Floats:
    """How much pixels count: specks more than flakes, and damage in the noise hardly."""
    damage = kind > 0
    labels, count = ndimage.label(damage, np.ones((3, 3)))
    rim = ndimage.binary_dilation(damage, np.ones((3, 3))) & ~damage
    weight = np.where(rim, np.float32(0.2), np.float32(1))
    if count:
        numbers = np.arange(1, count + 1)
        areas = np.bincount(labels.ravel())[1:]
        detail = np.square(surroundings - ndimage.gaussian_filter(surroundings, 2))
        noise = np.sqrt(ndimage.uniform_filter(detail, 25).clip(1e-6))
        sigmas = ndimage.mean(change, labels, numbers) / ndimage.mean(noise, labels, numbers)
        least = np.where(ndimage.maximum(kind, labels, numbers) > SPECK, 1, 0.6)
        each = np.clip(sigmas / 3, 0.1, 1) * np.clip(np.sqrt(80 / areas), least, 2)
        weight[damage] = each[labels[damage] - 1]
    return weight.astype(np.float32)


def crop(random: np.random.Generator, whole: Example) -> tuple[Floats, Floats, Floats]:
    """Measures, damage and weights of a part, often around damage, turned and mirrored."""
    last = SIDE_PX - CROP_PX
    top, left = random.integers(0, last + 1, 2)
    if random.random() < 0.5 and whole.kind.any():
        lines = whole.kind > SPECK
        wanted = lines if lines.any() and random.random() < 0.7 else whole.kind > 0
        at = random.choice(np.argwhere(wanted)) - random.integers(16, CROP_PX - 16, 2)
        top, left = np.clip(at, 0, last)
    box = np.s_[..., top : top + CROP_PX, left : left + CROP_PX]
    wholes = whole.measures, whole.kind > 0, whole.weight
    planes = [each[box].astype(np.float32) for each in wholes]
    for axis in (-1, -2):
        if random.random() < 0.5:
            planes = [np.flip(each, axis) for each in planes]
    if random.random() < 0.5:
        planes = [each.swapaxes(-1, -2) for each in planes]
    measures, damage, weight = planes
    return measures, damage, weight


def loss_of(logits: Tensor, damage: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy and Dice."""
    found = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, damage, weight)
    both = (found * weight).sum() + (damage * weight).sum()
    dice: Tensor = 1 - (2 * (found * damage * weight).sum() + 1) / (both + 1)
    return 4 * entropy + 0.5 * dice


def learn(pictures: list[Any], chances: NDArray[np.float64], args: argparse.Namespace) -> None:
    """Fit the network, and write its weights now and then."""
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)
    first = 1_000_000 * args.seed
    examples = [example(first + number, pictures, chances) for number in range(KEPT)]
    print(f"{KEPT} examples are made", file=sys.stderr, flush=True)
    network = DamageNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = np.concatenate(
        [each.measures[:, ::40, ::40].reshape(len(each.measures), -1) for each in examples], axis=1
    ).astype(np.float32)
    network.mean.copy_(torch.from_numpy(some.mean(axis=1))[:, None, None])
    network.spread.copy_(torch.from_numpy(some.std(axis=1))[:, None, None])
    if args.resume:
        resume(network, args.resume)
    kernels = [each for each in network.parameters() if each.ndim == 4 and len(each) > 1]
    rest = [each for each in network.parameters() if each.ndim != 4 or len(each) == 1]
    optimizers = Muon(kernels, args.rate, 0.95), Adam(rest, args.rate / 5)
    averaged = {name: each.detach().clone() for name, each in network.state_dict().items()}
    running = float("nan")
    began = time.monotonic()
    for step in range(args.steps):
        done = max(step / args.steps, (time.monotonic() - began) / 60 / args.minutes)
        if done >= 1:
            break
        if step % NEW_EVERY == 0 and step:
            number = step // NEW_EVERY
            examples[number % KEPT] = example(first + KEPT + number, pictures, chances)
        chosen = [crop(random, examples[random.integers(KEPT)]) for _ in range(CROPS)]
        measures, damage, weight = (
            torch.from_numpy(np.stack(each)) for each in zip(*chosen, strict=True)
        )
        measures = measures.to(memory_format=torch.channels_last)
        network.zero_grad()
        loss = loss_of(network(measures)[:, 0], damage, weight)
        if loss.item() > STRANGE * running:
            print(f"step {step + 1} is left out: loss {loss.item():.1f}", file=sys.stderr)
            continue
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
        factor = min(1, (step + 1) / 50, (1 - done) / FALLING)
        for optimizer in optimizers:
            gradients = [each.grad for each in optimizer.parameters if each.grad is not None]
            optimizer.step(gradients, optimizer.scalars(factor, step + 1))  # type: ignore[arg-type]
        for name, each in network.state_dict().items():
            averaged[name].lerp_(each, max(1 / AVERAGED_STEPS, 1 / (step + 1)))
        running = loss.item() if step == 0 else 0.99 * running + 0.01 * loss.item()
        if step % 100 == 99:
            seconds = f"{time.process_time():.0f} s"
            told = f"{step + 1}/{args.steps} loss {running:.4f}, {seconds}"
            print(told, file=sys.stderr, flush=True)
            write(averaged, args.output)
    write(averaged, args.output)


def write(averaged: dict[str, Tensor], path: Path) -> None:
    """Write weights, those of kernels in half precision."""
    weights: dict[str, Any] = {
        name: (each.half() if each.ndim == 4 else each).contiguous().numpy()
        for name, each in averaged.items()
    }
    np.savez_compressed(path, **weights)


def resume(network: DamageNetwork, weights: Path) -> None:
    """Start from weights, also of a network without the newest measures or layers."""
    stored = np.load(weights, allow_pickle=False)
    state = network.state_dict()
    for name in stored.files:
        target = state[name]
        old = torch.from_numpy(stored[name])
        if name in ("mean", "spread"):
            target[: len(old)] = old
        elif target.shape != old.shape:  # measures that it does not know count nothing at first
            target.zero_()
            target[:, : old.shape[1]] = old
        else:
            target.copy_(old)
    network.load_state_dict(state)


def main() -> None:
    """Make examples and learn from them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="further photos")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end, with a falling rate, after these"
    )
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, metavar="NPZ", help="weights to start from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures, chances = photos(args.photos)
    learn(pictures, chances, args)


if __name__ == "__main__":
    main()
