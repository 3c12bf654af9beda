"""Refine a hole that was filled with copies: each patch in it resembles a patch of the known part.

One size of an image at a time. `search` looks for the nearest known patch of every patch that
touches the hole, by propagation and random search; `vote` lets every pixel take the mean of what
those patches say of it.

Sources: Barnes, Shechtman, Finkelstein, Goldman, *PatchMatch*, ACM TOG 28(3), 2009,
DOI 10.1145/1531326.1531330; Wexler, Shechtman, Irani, *Space-time completion of video*, IEEE
TPAMI 29(3), 2007, DOI 10.1109/TPAMI.2007.60.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional as F

from dip.filling.patches import SAMPLE, patches_at, principal_axes

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]
Index = NDArray[np.int64]

PATCH_PX = 7
_REACH = PATCH_PX // 2
_COMPONENTS = 20
_GUIDE_WEIGHT = 0.3
_GUIDE_BLUR_PX = 1.5
_JUMPS_PX = (4, 1, 2, 1)
_SHRINK = 2.5
_CONFIDENCE_LOSS = 1.3
"""A patch counts by this factor less for each pixel that it is further inside the hole."""


class PatchField:
    """The nearest known patch of every patch that touches the hole.

    Parameters
    ----------
    guide : ndarray
        (H, W, C), float32: the image, with a smooth fill where it is unknown; both sides
        `PATCH_PX` or more.
    unknown : ndarray
        (H, W) bool
    generator : numpy Generator

    Attributes
    ----------
    image : ndarray
        (H, W, C), float32: the image with what was voted for; set it before the first search.
    targets : ndarray
        (T,), indices into the flat plane: centres of the patches that touch the hole.
    """

    def __init__(self, guide: Array, unknown: Plane, generator: np.random.Generator) -> None:
        self.image = guide.copy()
        self._guide, self._unknown, self._generator = guide, unknown, generator
        height, width, _ = guide.shape
        self.shape = height, width
        inside = np.zeros((height, width), dtype=bool)
        inside[_REACH : height - _REACH, _REACH : width - _REACH] = True
        touching = ndimage.maximum_filter(unknown, PATCH_PX)
        self._is_source = (inside & ~touching).ravel()
        self._is_target = (inside & touching).ravel()
        self.sources = np.flatnonzero(self._is_source)
        self.targets = np.flatnonzero(self._is_target)
        self._match = np.full(height * width, -1, dtype=np.int64)

    def matches(self, rows: Index, columns: Index) -> tuple[Index, Index]:
        """Row and column of what was matched to the patches at these places; −1 is none."""
        match = self._match[rows * self.shape[1] + columns]
        return np.where(match < 0, -1, match // self.shape[1]), match % self.shape[1]

    def start(self, rows: Index, columns: Index) -> None:
        """Match every target to the patch at a place, or to a random one where that is no source.

        Parameters
        ----------
        rows, columns : ndarray
            (T,), one for each target; may lie outside.
        """
        height, width = self.shape
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        match = np.where(there, rows * width + columns, 0)
        there &= self._is_source[match]
        match[~there] = self._generator.choice(self.sources, np.count_nonzero(~there))
        self._match[self.targets] = match

    def search(self) -> None:
        """One round: what neighbours found, then random places, ever nearer to what is best."""
        height, width = self.shape
        size = height * width
        known = self._known_features
        wanted = self._features(self.image)[self.targets]
        best = self._match[self.targets]
        cost = _distance(known[best], wanted)

        def offer(place: Index, usable: Plane) -> None:
            nonlocal best, cost
            usable &= (place >= 0) & (place < size)
            usable &= self._is_source[np.where(usable, place, 0)] & (place != best)
            which = np.flatnonzero(usable)
            offered = _distance(known[place[which]], wanted[which])
            better = offered < cost[which]
            best[which[better]] = place[which[better]]
            cost[which[better]] = offered[better]

        for jump, (down, right) in product(_JUMPS_PX, ((0, 1), (1, 0), (0, -1), (-1, 0))):
            step = (down * width + right) * jump
            self._match[self.targets] = best
            neighbour = np.clip(self.targets + step, 0, size - 1)
            offer(self._match[neighbour] - step, self._is_target[neighbour])
        radius = max(height, width) / 2
        while radius >= 1:
            down, right = self._generator.integers(
                -int(radius), int(radius) + 1, (2, len(best)), dtype=np.int64
            )
            column = best % width + right
            offer(best + down * width + right, (column >= 0) & (column < width))
            radius /= _SHRINK
        self._match[self.targets] = best

    def vote(self, *, compare: bool = True) -> None:
        """Give every unknown pixel the mean of what the patches around it are matched to.

        Parameters
        ----------
        compare : bool
            Whether patches that resemble their match count for more; without, nothing as large
            as the features of all patches is kept.
        """
        height, width = self.shape
        channels = self.image.shape[2]
        match = self._match[self.targets]
        weight = np.ones(len(match), dtype=np.float32)
        if compare:
            known = self._known_features
            cost = _distance(known[match], self._features(self.image)[self.targets])
            usual = max(float(np.quantile(cost, 0.75)), 1e-8)
            weight = np.exp(-cost / (2 * usual)) * self._confidence + 1e-8
            weight = weight.astype(np.float32)
        # Weights go along as a last channel. By torch: it takes a fifth of the time.
        ones = np.ones((height * width, 1), dtype=np.float32)
        source = torch.from_numpy(np.hstack((self._guide.reshape(-1, channels), ones)))
        total = torch.zeros_like(source)
        targets, matches = torch.from_numpy(self.targets), torch.from_numpy(match)
        weights = torch.from_numpy(weight)[:, None]
        for down, right in product(range(-_REACH, _REACH + 1), repeat=2):
            step = down * width + right
            votes = source.index_select(0, matches + step).mul_(weights)
            total.index_add_(0, targets + step, votes)
        hole = self._unknown.ravel()
        voted = total.numpy()[hole]
        self.image.reshape(-1, channels)[hole] = voted[:, :channels] / voted[:, channels:]

    @cached_property
    def _filters(self) -> torch.Tensor:
        """The principal components of the known patches, (components, C, side, side)."""
        count = min(SAMPLE, len(self.sources))
        sample = self._generator.choice(self.sources, count, replace=False)
        patches = patches_at(self._guide, *np.divmod(sample, self.shape[1]), PATCH_PX)
        axes = principal_axes(patches, _COMPONENTS)
        return axes.reshape(len(axes), PATCH_PX, PATCH_PX, -1).permute(0, 3, 1, 2)

    @cached_property
    def _weighed_guide(self) -> Array:
        blurred = ndimage.gaussian_filter(self._guide, (_GUIDE_BLUR_PX, _GUIDE_BLUR_PX, 0))
        weighed: Array = blurred * np.float32(PATCH_PX * np.sqrt(_GUIDE_WEIGHT))
        return weighed

    @cached_property
    def _known_features(self) -> Array:
        return self._features(self._guide)

    @cached_property
    def _confidence(self) -> NDArray[np.float64]:
        """(T,): how much a patch counts by its place alone."""
        inside = ndimage.distance_transform_edt(self._unknown).ravel()[self.targets]
        return np.asarray(_CONFIDENCE_LOSS**-inside)

    def _features(self, image: Array) -> Array:
        """(H · W, components and channels): of each patch, and of the guide there."""
        planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
        components = F.conv2d(planes, self._filters, padding=_REACH)[0].permute(1, 2, 0).numpy()
        every = np.concatenate((components, self._weighed_guide), axis=2)
        return every.reshape(len(self._match), -1)


def _distance(features: Array, others: Array) -> Array:
    """Squared, of each to the one in the same place."""
    step = features - others
    squared: Array = np.einsum("ij,ij->i", step, step)
    return squared
