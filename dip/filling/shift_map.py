"""Fill a hole with pieces of its surroundings, shifted by the dominant offsets of the photograph.

Shelves, rails, bricks and folds repeat at a few offsets. The offsets at which most patches find
their nearest neighbour are the labels of a Markov random field over the hole. A graph cut for each
label assigns an offset to each pixel, so that seams between pieces are least visible and the copies
agree in colour with a smooth fill.

Sources: He, Sun, *Statistics of patch offsets for image completion*, ECCV 2012,
DOI 10.1007/978-3-642-33709-3_2 (theirs has no guide); Pritch, Kav-Venaki, Peleg, *Shift-map image
editing*, ICCV 2009, DOI 10.1109/ICCV.2009.5459159; alpha-expansion: Boykov, Veksler, Zabih,
IEEE TPAMI 23(11), 2001, DOI 10.1109/34.969114.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from torch.nn import functional as F

from dip.filling.local_contrast import local_contrast
from dip.filling.patch_components import SAMPLE, patches_at, principal_axes

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]
Offsets = NDArray[np.int64]
"""(N, 2): rows and columns from a pixel to the pixel that is copied."""

_PATCH_PX = 8
_COMPONENTS = 24
_MAX_QUERIES = 3000
_QUERIES_AT_ONCE = 32
_PEAK_PX = 9
_FEWEST_PATCHES = 200

_RIM_PX = 2
_BLUR_PX = 2.0
_RIM_WEIGHT = 3.0
"""Weight of a seam at the rim, where the truth is known, relative to a seam inside the hole."""
_CONTRAST_WEIGHT = 1.0
"""Weight of a difference in contrast (see `dip.filling.local_contrast`) relative to colour."""
_DISTANCE_COST = 0.03
"""Cost of an offset as long as the image is wide: of two equal copies the nearer one is better."""
_FORBIDDEN_COST = 20.0
_STEPS_PER_UNIT = 10_000
_SWEEPS = 2


def dominant_offsets(
    image: Array, known: Plane, near: Plane, *, most: int, generator: np.random.Generator
) -> Offsets:
    """Find the offsets at which patches most often find their nearest neighbour.

    Parameters
    ----------
    image : ndarray
        (H, W, C), float32
    known : ndarray
        (H, W) bool; patches with an unknown pixel are ignored.
    near : ndarray
        (H, W) bool, centres of the patches whose offsets are counted.
    most : int
        Largest number of offsets to return.
    generator : numpy Generator
        Chooses among patches where there are too many.

    Returns
    -------
    ndarray
        (N, 2), the most frequent first; N = 0 where the known pixels are too few.
    """
    height, width = known.shape
    whole = ndimage.minimum_filter(known, _PATCH_PX, mode="constant", cval=False)
    rows, columns = np.nonzero(whole)
    queries = np.flatnonzero(near[rows, columns])
    if len(rows) < _FEWEST_PATCHES or not len(queries):
        return np.empty((0, 2), dtype=np.int64)
    if len(queries) > _MAX_QUERIES:
        queries = generator.choice(queries, _MAX_QUERIES, replace=False)
    features = _features(image, rows, columns, generator)
    least = max(height, width) / 15  # at shorter offsets all patches resemble themselves
    matches = _nearest(features, rows, columns, queries, least)
    votes = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.float32)
    offsets = rows[matches] - rows[queries] + height, columns[matches] - columns[queries] + width
    np.add.at(votes, offsets, 1)
    votes = ndimage.gaussian_filter(votes, math.sqrt(2))
    peaks = np.argwhere((votes == ndimage.maximum_filter(votes, _PEAK_PX)) & (votes > 0))
    order = np.argsort(-votes[peaks[:, 0], peaks[:, 1]], kind="stable")[:most]
    found: Offsets = peaks[order] - (height, width)
    return found


def _features(
    image: Array, rows: Offsets, columns: Offsets, generator: np.random.Generator
) -> torch.Tensor:
    """Principal components of the patches around pixels: (patches, components)."""

    chosen = generator.choice(len(rows), min(SAMPLE, len(rows)), replace=False)
    sample = patches_at(image, rows[chosen], columns[chosen], _PATCH_PX)
    axes = principal_axes(sample, _COMPONENTS)
    # (components, C, side, side)
    filters = axes.reshape(len(axes), _PATCH_PX, _PATCH_PX, -1).permute(0, 3, 1, 2).contiguous()
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).contiguous()
    components = F.conv2d(planes, filters)[0]  # of the patches that begin at each pixel
    top, left = rows - _PATCH_PX // 2, columns - _PATCH_PX // 2
    of_each = components.flatten(1)[:, torch.from_numpy(top * components.shape[2] + left)]
    return (of_each.T - axes @ sample.mean(0)).contiguous()


def _nearest(
    features: torch.Tensor, rows: Offsets, columns: Offsets, queries: Offsets, least: float
) -> Offsets:
    """Index of each query's nearest neighbour that is `least` or more rows or columns away."""
    norms = (features**2).sum(1) / 2
    matches = np.empty_like(queries)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        batch = queries[start : start + _QUERIES_AT_ONCE]
        # The squared distance, halved, without the query's own norm.
        distance = torch.addmm(norms, features[batch], features.T, alpha=-1).numpy()
        # The patches are sorted by rows, so those that are too near are contiguous.
        starts = np.searchsorted(rows, rows[batch] - least, side="right")
        ends = np.searchsorted(rows, rows[batch] + least)
        for each, query, first, end in zip(distance, batch, starts, ends, strict=True):
            each[first:end][np.abs(columns[first:end] - columns[query]) < least] = math.inf
        # torch takes eight times as long here.
        matches[start : start + _QUERIES_AT_ONCE] = distance.argmin(1)
    return matches


def shift_map(guide: Array, unknown: Plane, offsets: Offsets) -> NDArray[np.int64]:
    """Assign the best offset to each unknown pixel.

    Parameters
    ----------
    guide : ndarray
        (H, W, C), float32: the image, with a smooth fill where unknown.
    unknown : ndarray
        (H, W) bool
    offsets : ndarray
        (N, 2)

    Returns
    -------
    ndarray
        (H, W), the index of an offset; −1 at known pixels, and where no offset leads to one.
    """
    labels = np.full(unknown.shape, -1, dtype=np.int64)
    if not len(offsets):
        return labels
    nodes = ndimage.binary_dilation(unknown, iterations=_RIM_PX)
    colours, costs = _candidates(guide, unknown, nodes, offsets)
    chosen = _Expansion(nodes, colours, costs).run()
    labels[nodes] = np.where(costs.min(0) < _FORBIDDEN_COST, chosen, -1)
    labels[~unknown] = -1
    return labels


def _candidates(
    guide: Array, unknown: Plane, nodes: Plane, offsets: Offsets
) -> tuple[Array, Array]:
    """The colour that each offset copies to each node, (N, nodes, C), and its unary cost."""
    height, width, channels = guide.shape
    scale = np.float32(1 / math.sqrt(channels))
    smooth = ndimage.gaussian_filter(guide, (_BLUR_PX, _BLUR_PX, 0))
    weight = ndimage.gaussian_filter((~unknown).astype(np.float32), _BLUR_PX)[:, :, None]
    blurred = ndimage.gaussian_filter(
        guide * ~unknown[:, :, None], (_BLUR_PX, _BLUR_PX, 0)
    ) / np.maximum(weight, 1e-6)
    contrast = np.float32(_CONTRAST_WEIGHT) * local_contrast(guide, unknown)
    rows, columns = np.nonzero(nodes)
    inside = unknown[rows, columns]
    own, expected = guide[rows, columns], smooth[rows, columns]
    colours = np.empty((len(offsets), len(rows), channels), dtype=np.float32)
    costs = np.empty((len(offsets), len(rows)), dtype=np.float32)
    for number, (down, right) in enumerate(offsets):
        row, column = rows + down, columns + right
        usable = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
        usable &= ~unknown[row, column]
        colours[number] = guide[row, column]
        mismatch = scale * np.linalg.norm(blurred[row, column] - expected, axis=1)
        mismatch += np.abs(contrast[row, column] - contrast[rows, columns])
        seam = _RIM_WEIGHT * scale * np.linalg.norm(colours[number] - own, axis=1)
        distance = _DISTANCE_COST * math.hypot(down, right) / max(height, width)
        cost = np.where(inside, mismatch + distance, seam)
        costs[number] = np.where(usable, cost, _FORBIDDEN_COST)
    return colours, costs


class _Expansion:
    """Alpha-expansion over the nodes of a plane; all costs are in units of full scale.

    Two neighbours with different labels cost the colour difference of these labels, at both nodes.
    """

    def __init__(self, nodes: Plane, colours: Array, costs: Array) -> None:
        self._colours, self._costs = colours, costs
        count = colours.shape[1]
        number = np.full(nodes.shape, -1, dtype=np.int32)
        number[nodes] = np.arange(count, dtype=np.int32)
        pairs = [
            (a[both], b[both])
            for a, b in ((number[:-1], number[1:]), (number[:, :-1], number[:, 1:]))
            for both in [(a >= 0) & (b >= 0)]
        ]
        self._first = np.concatenate([a for a, _ in pairs])
        self._second = np.concatenate([b for _, b in pairs])
        self._labels = costs.argmin(0)
        # All cuts share these edges, in both directions as the solver needs; capacities change.
        numbers = np.arange(count, dtype=np.int32)
        source, sink = np.full(count, count, np.int32), np.full(count, count + 1, np.int32)
        tails = (self._first, self._second, source, numbers, numbers, sink)
        heads = (self._second, self._first, numbers, source, sink, numbers)
        rows, columns = np.concatenate(tails), np.concatenate(heads)
        shape = (count + 2, count + 2)
        order = np.lexsort((columns, rows))
        self._position = np.empty_like(order)  # of each edge in the sparse matrix
        self._position[order] = np.arange(len(order))
        starts = np.searchsorted(rows[order], np.arange(count + 3))
        self._graph = sparse.csr_array(
            (np.zeros(len(order), np.int32), columns[order], starts.astype(np.int32)), shape=shape
        )

    def run(self) -> NDArray[np.int64]:
        """The label of each node."""
        for _ in range(_SWEEPS):
            changed = [self._expand(label) for label in range(len(self._costs))]
            if not any(changed):
                break
        return self._labels

    def _between(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Array:
        """Cost of each edge, for these labels at its two ends."""
        _, count, channels = self._colours.shape
        colours = self._colours.reshape(-1, channels)
        cost = np.zeros(len(self._first), dtype=np.float32)
        for end in (self._first, self._second):
            # take() of whole rows is twice as fast as two indices.
            step = colours.take(first * count + end, 0) - colours.take(second * count + end, 0)
            cost += np.sqrt(np.einsum("ij,ij->i", step, step) / channels)
        return cost

    def _expand(self, label: int) -> bool:
        """Move nodes to a label by one minimum cut; return whether a node changed."""
        labels, first, second = self._labels, self._first, self._second
        alpha = np.full(len(first), label)
        stay = self._between(labels[first], labels[second])
        joins_second = self._between(labels[first], alpha)
        joins_first = self._between(alpha, labels[second])
        # A pairwise term as edges of a graph: Kolmogorov, Zabih, IEEE TPAMI 26(2), 2004.
        count = len(labels)
        gain = self._costs[label] - self._costs[labels, np.arange(count)]
        gain += np.bincount(first, joins_first - stay, count)
        gain -= np.bincount(second, joins_first, count)
        edge = np.maximum(joins_first + joins_second - stay, 0)
        none = np.zeros(count)
        capacities = np.concatenate(
            (edge, np.zeros(len(edge)), np.maximum(gain, 0), none, np.maximum(-gain, 0), none)
        )
        self._graph.data[self._position] = np.minimum(capacities, _FORBIDDEN_COST) * _STEPS_PER_UNIT
        keeps = _source_side(self._graph)
        self._labels = np.where(keeps, labels, label)
        return bool((self._labels != labels).any())


def _source_side(graph: sparse.csr_array) -> Plane:
    """Whether each node is on the source's side of a minimum cut; the last two are source, sink."""
    count = graph.shape[0] - 2
    flow = csgraph.maximum_flow(graph, count, count + 1).flow
    left = sparse.csr_array(graph - flow)
    left.eliminate_zeros()
    reached = csgraph.breadth_first_order(left, count, return_predecessors=False)
    side = np.zeros(count + 2, dtype=bool)
    side[reached] = True
    return side[:count]
