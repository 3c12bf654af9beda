"""Long faint lines: the evidence for damage, summed along the best path through each pixel.

A scratch from border to border may be nowhere certain and yet stand out all along its length. Paths
run down, one to the left or right at most from row to row, and across in the same way; they are
found by dynamic programming. What counts at a pixel is how far it lies above its surroundings; gaps
cost. It resembles path openings (Heijmans, Buckley, Talbot, J. Math. Imaging Vis. 2005,
doi:10.1007/s10851-005-4887-7), but sums instead of counting, as a local alignment does (Smith,
Waterman, J. Mol. Biol. 1981). It is done at half the size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

_LOWEST, _HIGHEST = -7.0, 4.0
"""Logits are clipped to these."""

_NEAR = 33
"""The surroundings, at half the size."""

_BAR = 2.0
"""Standard deviations above the surroundings from which a pixel speaks for a line."""

_LEAST_SPREAD = 0.7
_LEAST_LOGIT = -2.5
_MOST_AGAINST, _MOST_FOR = np.float32(-4), np.float32(4)
_MEMORY = np.float32(50)
"""More than this is not carried on along a path: gaps longer than about 12 steps end it."""

_END = np.float32(5)
"""On both sides of a pixel there is so much, or it lies beyond the end of a line."""

_AS_LIKELY_AS_NOT = 32.0
"""The sum at which a line is as likely damage as not."""

_CLOSE, _CROWDED = 9, 0.45
"""Where lines fill more than this share of a square, they are letters or texture."""


def followed(certainty: Floats) -> Floats:
    """The certainty that a pixel belongs to a line of damage.

    Parameters
    ----------
    certainty : (H, W) float32 array in [0, 1]
        That each pixel by itself is damage of one polarity.

    Returns
    -------
    (H, W) float32 array in [0, 1]
    """
    height, width = certainty.shape
    evidence = _evidence(certainty)
    down = _along_columns(evidence)
    across = _along_columns(np.ascontiguousarray(evidence.T)).T
    total = np.maximum(down, across) / np.float32(_AS_LIKELY_AS_NOT)
    share = ndimage.uniform_filter((total >= 1).astype(np.float32), _CLOSE)
    total[ndimage.maximum_filter(share, _CLOSE) > _CROWDED] = 0
    odds = np.square(total)
    sure: Floats = (odds / (1 + odds)).repeat(2, axis=0).repeat(2, axis=1)
    return sure[:height, :width]


def _evidence(certainty: Floats) -> Floats:
    """How far each pixel, of half the size, stands out from its surroundings."""
    rows, columns = certainty.shape
    even = np.pad(certainty, ((0, rows % 2), (0, columns % 2)), mode="edge")
    height, width = even.shape
    highest = even.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3)).clip(1e-4, 1 - 1e-4)
    logits = np.log(highest / (1 - highest)).clip(_LOWEST, _HIGHEST)
    mean = ndimage.uniform_filter(logits.clip(None, -1), _NEAR)
    deviation = ndimage.uniform_filter(np.square(logits.clip(None, 0) - mean), _NEAR)
    spread = np.sqrt(deviation.clip(_LEAST_SPREAD**2))
    standing = np.minimum((logits - mean) / spread - _BAR, logits - _LEAST_LOGIT)
    evidence: Floats = standing.clip(_MOST_AGAINST, _MOST_FOR).astype(np.float32)
    return evidence


def _along_columns(evidence: Floats) -> Floats:
    """The sum along the best path down through each pixel of a line, else 0."""
    before, after = _sums(evidence), _sums(evidence[::-1])[::-1]
    total = before + after - evidence
    # Within a gap, only the path itself belongs to the line.
    on_path = (evidence > 0) | (total >= ndimage.maximum_filter1d(total, 5, axis=1))
    total[~on_path | (np.minimum(before, after) < _END)] = 0
    return total


def _sums(evidence: Floats) -> Floats:
    """The sum along the best path that ends at each pixel from above."""
    sums = np.empty_like(evidence)
    sums[0] = evidence[0]
    for above, here, own in zip(sums, sums[1:], evidence[1:], strict=False):
        best = above.clip(0, _MEMORY)
        np.add(own, best, out=here)
        np.maximum(here[1:], own[1:] + best[:-1], out=here[1:])
        np.maximum(here[:-1], own[:-1] + best[1:], out=here[:-1])
    return sums
