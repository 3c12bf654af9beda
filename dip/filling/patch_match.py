"""Refine copies in a hole, so that each patch in it resembles a known patch (PatchMatch).

A `PatchField` holds one scale of an image. `search` finds the nearest known patch of each patch
that touches the hole, by propagation and random search. `vote` gives each pixel the mean of the
colours that these patches suggest, `copies` the colour at the offset that most of them agree on.

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

from dip.filling.local_contrast import local_contrast
from dip.filling.patch_components import SAMPLE, patches_at, principal_axes

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]
Index = NDArray[np.int64]

PATCH_PX = 7
_REACH = PATCH_PX // 2
_COMPONENTS = 20
_GUIDE_WEIGHT = 0.3
_GUIDE_BLUR_PX = 1.5
_CONTRAST_WEIGHT = 1.0
"""Weight of a contrast (see `dip.filling.local_contrast`) relative to the colours of the guide."""
_JUMPS_PX = (4, 1, 2, 1)
_SHRINK = 2.5
"""The radius of the random search is divided by this after each step."""
_VOTES_AT_ONCE = 8_192
"""Pixels whose votes are counted at once, for memory."""
_CONFIDENCE_LOSS = 1.3
"""The weight of a patch is divided by this for each pixel of its distance to the rim."""


class PatchField:
    """The nearest known patch of each patch that touches the hole.

    Parameters
    ----------
    guide : ndarray
        (H, W, C), float32: the image, with a smooth fill where unknown; both sides `PATCH_PX` or
        more.
    unknown : ndarray
        (H, W) bool
    generator : numpy Generator

    Attributes
    ----------
    image : ndarray
        (H, W, C), float32: the image with the result of the last vote; set it before the first
        search.
    targets : ndarray
        (T,), centres of the patches that touch the hole, as indices into the flattened plane.
    sources : ndarray
        (S,), centres of the known patches, likewise.
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
        rows, columns = np.divmod(self.targets, width)
        self._seen = np.s_[  # all patches of the targets
            max(0, rows.min(initial=height) - _REACH) : rows.max(initial=0) + _REACH + 1,
            max(0, columns.min(initial=width) - _REACH) : columns.max(initial=0) + _REACH + 1,
        ]

    def matches(self, rows: Index, columns: Index) -> tuple[Index, Index]:
        """Rows and columns of the matches of patches at these positions; row −1 without match."""
        match = self._match[rows * self.shape[1] + columns]
        return np.where(match < 0, -1, match // self.shape[1]), match % self.shape[1]

    def start(self, rows: Index, columns: Index) -> None:
        """Match each target to the patch at a position, or to a random source.

        Parameters
        ----------
        rows, columns : ndarray
            (T,), one position for each target; a random source replaces a position outside the
            image, or one that is not a source.
        """
        height, width = self.shape
        usable = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        match = np.where(usable, rows * width + columns, 0)
        usable &= self._is_source[match]
        match[~usable] = self._generator.choice(self.sources, np.count_nonzero(~usable))
        self._match[self.targets] = match

    def search(self) -> None:
        """One round: try the neighbours' matches, then random positions around the best match."""
        height, width = self.shape
        size = height * width
        known = self._known_features
        current = self._current_features()
        best = self._match[self.targets]
        cost = _distance(known[best], current)

        def offer(candidate: Index, usable: Plane) -> None:
            nonlocal best, cost
            usable &= (candidate >= 0) & (candidate < size)
            usable &= self._is_source[np.where(usable, candidate, 0)] & (candidate != best)
            index = np.flatnonzero(usable)
            offered = _distance(known[candidate[index]], current[index])
            better = offered < cost[index]
            best[index[better]] = candidate[index[better]]
            cost[index[better]] = offered[better]

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
        """Give each unknown pixel the mean colour that the matches of the patches around suggest.

        Parameters
        ----------
        compare : bool
            Whether patches that resemble their match get a higher weight; this needs memory for
            the features of all patches.
        """
        height, width = self.shape
        channels = self.image.shape[2]
        match = self._match[self.targets]
        weight = self._weights(compare)
        # Weights are summed as a last channel. torch takes a fifth of the time here.
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

    def copies(self, *, compare: bool = True) -> Array:
        """The image with a copy of one place at each unknown pixel.

        A mean of several copies is smooth. So each pixel is copied from the offset for which most
        of the patches around vote: pieces stay whole, and end where others have the majority.

        Parameters
        ----------
        compare : bool
            See `vote`.
        """
        width, channels = self.shape[1], self.image.shape[2]
        size = len(self._match)
        weight = np.zeros(size, dtype=np.float32)
        weight[self.targets] = self._weights(compare)
        reach = np.arange(-_REACH, _REACH + 1)
        steps = (reach[:, None] * width + reach).ravel()
        copied = self.image.copy()
        pixels, guide = copied.reshape(-1, channels), self._guide.reshape(-1, channels)
        hole = np.flatnonzero(self._unknown)
        for start in range(0, len(hole), _VOTES_AT_ONCE):
            some = hole[start : start + _VOTES_AT_ONCE]
            voters = (some[:, None] + steps).clip(0, size - 1)
            offset = _majority(self._match[voters] - voters, weight[voters])
            pixels[some] = guide[some + offset]
        return copied

    def _weights(self, compare: bool) -> Array:
        """Weight of each target's votes, (T,)."""
        if not compare:
            return np.ones(len(self.targets), dtype=np.float32)
        known = self._known_features
        cost = _distance(known[self._match[self.targets]], self._current_features())
        usual = max(float(np.quantile(cost, 0.75)), 1e-8)
        weight = np.exp(-cost / (2 * usual)) * self._confidence + 1e-8
        return weight.astype(np.float32)

    @cached_property
    def _filters(self) -> torch.Tensor:
        """The principal components of the known patches, (components, C, side, side)."""
        count = min(SAMPLE, len(self.sources))
        sample = self._generator.choice(self.sources, count, replace=False)
        patches = patches_at(self._guide, *np.divmod(sample, self.shape[1]), PATCH_PX)
        axes = principal_axes(patches, _COMPONENTS)
        return axes.reshape(len(axes), PATCH_PX, PATCH_PX, -1).permute(0, 3, 1, 2)

    @cached_property
    def _weighted_guide(self) -> Array:
        """The channels of the guide that count in a comparison, (H, W, C + 1)."""
        blurred = ndimage.gaussian_filter(self._guide, (_GUIDE_BLUR_PX, _GUIDE_BLUR_PX, 0))
        contrast = np.float32(_CONTRAST_WEIGHT) * local_contrast(self._guide, self._unknown)
        weight = np.float32(PATCH_PX * np.sqrt(_GUIDE_WEIGHT))
        return weight * np.concatenate((blurred, contrast[:, :, None]), axis=2)

    @cached_property
    def _known_features(self) -> Array:
        return self._features(self._guide, np.s_[:, :]).reshape(len(self._match), -1)

    def _current_features(self) -> Array:
        """The features of the targets in the present image, (T, components + C + 1)."""
        height, width = self._unknown[self._seen].shape
        features = self._features(self.image, self._seen).reshape(height * width, -1)
        rows, columns = np.divmod(self.targets, self.shape[1])
        down, right = (each.start for each in self._seen)
        return features[(rows - down) * width + columns - right]

    @cached_property
    def _confidence(self) -> NDArray[np.float64]:
        """Weights of the target patches by their distance to the rim, (T,)."""
        inside = ndimage.distance_transform_edt(self._unknown).ravel()[self.targets]
        return np.asarray(_CONFIDENCE_LOSS**-inside)

    def _features(self, image: Array, seen: tuple[slice, slice]) -> Array:
        """Components of each patch and channels of the guide: (h, w, components + C + 1)."""
        planes = torch.from_numpy(image[seen]).permute(2, 0, 1).unsqueeze(0)
        components = F.conv2d(planes, self._filters, padding=_REACH)[0].permute(1, 2, 0).numpy()
        return np.concatenate((components, self._weighted_guide[seen]), axis=2)


def _distance(features: Array, others: Array) -> Array:
    """Squared distance of each row of features to the same row of the others."""
    step = features - others
    squared: Array = np.einsum("ij,ij->i", step, step)
    return squared


def _majority(choices: Index, weights: Array) -> Index:
    """The choice with the greatest sum of weights in each row: (N, K), (N, K) → (N,)."""
    order = np.argsort(choices, 1)
    choices = np.take_along_axis(choices, order, 1)
    sums = np.take_along_axis(weights, order, 1).cumsum(1, dtype=np.float64)
    is_last = np.ones(choices.shape, dtype=bool)  # of a group of equal choices
    is_last[:, :-1] = choices[:, 1:] != choices[:, :-1]
    before = np.zeros_like(sums)  # the sum of all groups before
    before[:, 1:] = np.maximum.accumulate(np.where(is_last, sums, 0), 1)[:, :-1]
    best = np.where(is_last, sums - before, 0).argmax(1)
    majority: Index = np.take_along_axis(choices, best[:, None], 1)[:, 0]
    return majority
