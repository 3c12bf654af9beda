"""Carry what a reconstruction missed into the unknown pixels, by the residual's own statistics.

What is left at the known pixels, target − reconstruction, is taken for a stationary Gaussian field
within a window. Its autocovariance is measured there, and the unknown pixels take the conditional
mean. White residuals (noise, grain) thus add nothing, smooth ones run on, and stripes run on as
stripes; no strength has to be chosen.

Source: simple kriging: Matheron, *Principles of geostatistics*, Economic Geology 58, 1963,
DOI 10.2113/gsecongeo.58.8.1246. The conditional mean is found in the Fourier domain as in
Galerne, Leclaire, *Texture inpainting using efficient Gaussian conditional simulation*, SIAM J.
Imaging Sciences 10(3), 2017, DOI 10.1137/16M1109047; unlike theirs, nothing is sampled here, and
every window has a covariance of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from dip.filling.membrane import membrane
from dip.machine.threads import side_by_side
from dip.regions.region import Box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_FEWEST_PAIRS = 50
"""A distance at which fewer pairs of known pixels lie has no covariance that can be measured."""

_MOST_ITERATIONS = 60


@dataclass(frozen=True, kw_only=True)
class KrigingWindow:
    """How closely it is solved, and in which windows, as statistics differ across a photograph.

    Parameters
    ----------
    core_px : int
        Side of the square that a window answers for.
    margin_px : int
        What it sees around that.
    tolerance : float
        Part of the conjugate gradients' first remainder that may be left.
    overlap_px : int
        How far a window's answer reaches beyond its core, to be cross-faded with its neighbours':
        each has a covariance of its own, and where much is unknown that shows.
    """

    core_px: int
    margin_px: int
    tolerance: float
    overlap_px: int = 0


FINE = KrigingWindow(core_px=64, margin_px=48, tolerance=1e-3)
ROUGH = KrigingWindow(core_px=128, margin_px=32, tolerance=1e-2)
"""A third of the time; around thin damage the PSNR moves by less than 0.02 dB."""

SHORT = KrigingWindow(core_px=64, margin_px=24, tolerance=3e-3)
"""For a short range: two thirds of the time, and no worse in an image that is missing half."""


def krige(
    residual: Array,
    known: Plane,
    *,
    range_px: int = 12,
    nugget: float = 0.01,
    wanted: Plane | None = None,
    detail: KrigingWindow = FINE,
) -> Array:
    """Fill a residual by simple kriging with a covariance measured in windows.

    Parameters
    ----------
    residual : ndarray
        (H, W, C), float32, about zero on average; not looked at where unknown.
    known : ndarray
        (H, W) bool
    range_px : int
        Covariance is cut off smoothly at this distance.
    nugget : float
        White noise that is always assumed, as a part of the variance; it keeps the solution from
        swinging where few pixels are known.
    wanted : ndarray, optional
        (H, W) bool, unknown pixels that matter: far from them zero is returned.
    detail : KrigingWindow

    Returns
    -------
    ndarray
        (H, W, C), float32; the residual itself at known pixels.
    """
    clean = np.where(known[:, :, None], residual, np.float32(0))
    filled = clean.copy()
    total = np.zeros((*known.shape, 1), dtype=np.float32)
    overlap_px = detail.overlap_px

    def solve(core: Box) -> tuple[Box, Array]:
        window = core.expanded(detail.margin_px, Box.of(known))
        solved = _krige_window(
            clean[window.slices], known[window.slices], range_px, nugget, detail.tolerance
        )
        answer = core.expanded(overlap_px, Box.of(known))
        return answer, solved[answer.within(window)]

    # A window for each core is done sooner than one after the other by all of them.
    with side_by_side(torch.get_num_threads()) as pool:
        cores = list(_cores(~known if wanted is None else wanted, detail))
        for core, (answer, solved) in zip(cores, pool.map(solve, cores), strict=True):
            weight = _weight(answer, core, overlap_px)
            # Zero at the known pixels, as what is there already is at the unknown ones.
            filled[answer.slices] += weight * solved
            total[answer.slices] += weight
    return np.divide(filled, total, out=filled, where=(total > 0) & ~known[:, :, None])


def krige_image(target: Array, known: Plane, *, range_px: int = 8) -> Array:
    """Fill an image without any network: a smooth membrane, and its residual kriged.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32 in [0, 1]; not looked at where unknown.
    known : ndarray
        (H, W) bool
    range_px : int
        See `krige`.

    Returns
    -------
    ndarray
        (H, W, C), float32 in [0, 1]; the target itself at known pixels.
    """
    smooth = membrane(target, known)
    filled = smooth + krige(target - smooth, known, range_px=range_px, nugget=0.003, detail=SHORT)
    return np.where(known[:, :, None], target, np.clip(filled, 0, 1)).astype(np.float32)


def _cores(wanted: Plane, detail: KrigingWindow) -> Iterator[Box]:
    """The squares whose windows have something to fill."""
    frame, side_px = Box.of(wanted), detail.core_px
    for top in range(0, frame.height, side_px):
        for left in range(0, frame.width, side_px):
            core = Box(top, left, side_px, side_px).intersection(frame)
            if wanted[core.expanded(detail.overlap_px, frame).slices].any():
                yield core


def _weight(answer: Box, core: Box, overlap_px: int) -> Array:
    """(h, w, 1): what a window's answer counts, falling from 1 to 0 across the core's edges."""

    def along(first: int, last: int, start: int, end: int) -> NDArray[np.float64]:
        place = np.arange(first, last) + 0.5
        inside = np.minimum(place - start, end - place)
        return (0.5 + inside / max(2 * overlap_px, 1)).clip(0, 1)

    rows = along(answer.top, answer.bottom, core.top, core.bottom)
    columns = along(answer.left, answer.right, core.left, core.right)
    return np.multiply.outer(rows, columns).astype(np.float32)[:, :, None]


def _krige_window(
    residual: Array, known: Plane, range_px: int, nugget: float, tolerance: float
) -> Array:
    """Solve for the unknown pixels of a window: P_uu x_u = −P_uk r_k, with the precision P.

    The residual is zero where it is unknown, and what is returned is zero where it is known. The
    window is padded so that its periodic continuation is unknown as well. P is diagonal in
    the Fourier domain, and the covariance is the preconditioner of the conjugate gradients.
    """
    height, width = known.shape
    shape = tuple(fft.next_fast_len(side + 2 * range_px, real=True) for side in known.shape)
    values = torch.zeros(residual.shape[2], *shape)  # (C, height, width), padded
    values[:, :height, :width] = torch.from_numpy(residual).permute(2, 0, 1)
    free = torch.ones(shape)
    free[:height, :width] = torch.from_numpy(~known)
    spectrum = _spectrum(values, 1 - free, range_px, nugget)
    if spectrum is None:
        return np.zeros_like(residual)

    def filtered(planes: Tensor, response: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(planes).mul_(response), shape)

    precision = spectrum.reciprocal()
    x = torch.zeros_like(values)
    remainder = filtered(values, precision).neg_().mul_(free)
    goal = tolerance**2 * _product(remainder, remainder)
    conditioned = filtered(remainder, spectrum).mul_(free)
    direction = conditioned
    product = _product(remainder, conditioned)
    for _ in range(_MOST_ITERATIONS):
        if product <= 0 or _product(remainder, remainder) <= goal:
            break
        image = filtered(direction, precision).mul_(free)
        length = product / _product(direction, image)
        x.add_(direction, alpha=length)
        remainder.sub_(image, alpha=length)
        conditioned = filtered(remainder, spectrum).mul_(free)
        product, before = _product(remainder, conditioned), product
        direction = conditioned.add_(direction, alpha=product / before)
    solved: Array = x[:, :height, :width].permute(1, 2, 0).numpy()
    return solved


def _product(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one.flatten(), other.flatten()))


def _spectrum(values: Tensor, weight: Tensor, range_px: int, nugget: float) -> Tensor | None:
    """The power spectrum of the residual, from its known pixels; None where it is zero.

    values (C, H, W), zero where unknown; weight (H, W), 1 where known.
    """
    shape = weight.shape
    pairs = torch.fft.irfft2(torch.fft.rfft2(weight).abs().square(), shape)
    products = torch.fft.irfft2(torch.fft.rfft2(values).abs().square().mean(0), shape)
    covariance = torch.where(pairs > _FEWEST_PAIRS, products / pairs.clamp_min(1), 0)
    variance = float(covariance[0, 0])
    if variance <= 1e-12:
        return None
    rows, columns = (torch.arange(side).minimum(side - torch.arange(side)) for side in shape)
    distance = torch.hypot(rows[:, None].float(), columns[None].float())
    taper = torch.where(distance < range_px, 0.5 + 0.5 * (np.pi * distance / range_px).cos(), 0)
    power = torch.fft.rfft2(covariance * taper).real
    return power.clamp_min(0).add_(nugget * variance)
