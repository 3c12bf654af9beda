"""How visible repairs are: their detail beside the truth's, and how well they can be told.

Fidelity and visibility are two things: the picture that is nearest to the truth is smooth, and is
seen in a grainy photograph (Blau, Michaeli, *The perception-distortion tradeoff*, CVPR 2018, DOI
10.1109/CVPR.2018.00652).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dip.bench.metrics import BEST_PSNR_DB, psnr_db

Floats = npt.NDArray[np.float64]
Plane = npt.NDArray[np.bool_]

BANDS_PX = (0.8, 1.6, 3.2)
"""Standard deviations of the blurs between the bands of detail, of about 1, 2 and 4 px."""
_LUMA = np.array([0.299, 0.587, 0.114])
_WINDOW_PX = 15
_RING_PX = 2, 10
"""Known pixels between these distances are the surroundings of a fill."""
_PAIRS = 300
"""Pairs of fill and surroundings that a case gives the classifier."""
FEWEST_CASES = 6


def detail(image: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], unknown: Plane) -> Floats:
    """Return the detail inside a fill over the truth's, for each band.

    Parameters
    ----------
    image, truth : (H, W) or (H, W, 3) uint8 array
    unknown : (H, W) bool array

    Returns
    -------
    ndarray
        (3,): mean absolute responses of Laplacian bands of brightness; 1 is as much as the truth
        has.
    """
    inner = ndimage.binary_erosion(unknown)
    where = inner if np.count_nonzero(inner) > 200 else unknown
    pairs = zip(_bands(image), _bands(truth), strict=True)
    ratios = [
        np.abs(own[where]).mean() / max(np.abs(true[where]).mean(), 1e-6) for own, true in pairs
    ]
    return np.array(ratios)


def look(image: npt.NDArray[np.uint8], unknown: Plane) -> tuple[Floats, Floats]:
    """Return what a classifier sees: logarithms of the detail over a fill, and of that around it.

    Returns
    -------
    tuple of ndarray
        (N, 4) each, for N windows of 15 px, chosen at random, the same for all images of one size
        and damage.
    """
    inside = ndimage.distance_transform_edt(unknown) > 1
    near, far = _RING_PX
    ring = ndimage.binary_dilation(unknown, iterations=far)
    ring &= ~ndimage.binary_dilation(unknown, iterations=near)
    maps = [np.abs(band) for band in _bands(image)]
    maps.append(np.hypot(*np.gradient(_brightness(image))))
    shares = [ndimage.uniform_filter(each.astype(float), _WINDOW_PX) for each in (inside, ring)]
    rows, columns = np.nonzero((shares[0] > 0.03) & (shares[1] > 0.1))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_PAIRS]
    at = rows[chosen], columns[chosen]
    means = [
        np.stack(
            [ndimage.uniform_filter(each * where, _WINDOW_PX)[at] / share[at] for each in maps], 1
        )
        for where, share in zip((inside, ring), shares, strict=True)
    ]
    return np.log(means[0] + 0.1), np.log(means[1] + 0.1)


def auc(looks: Sequence[tuple[Floats, Floats]]) -> float | None:
    """Return how well fills can be told from their surroundings, cross-validated by image.

    A classifier sees pairs of (fill, surroundings) and the same pairs swapped.

    Parameters
    ----------
    looks : sequence
        What `look` returns, one for each image.

    Returns
    -------
    float or None
        Area under the ROC curve: 0.5 cannot be told, 1 is always told. None for fewer than six
        images, and without scikit-learn.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GroupKFold
    except ImportError:
        return None
    if len(looks) < FEWEST_CASES:
        return None
    features, labels, groups = [], [], []
    for number, (inside, around) in enumerate(looks):
        features += [np.hstack((inside, around)), np.hstack((around, inside))]
        labels += [np.ones(len(inside)), np.zeros(len(inside))]
        groups += [np.full(2 * len(inside), number)]
    data, label, group = (np.concatenate(each) for each in (features, labels, groups))
    told: Any = np.zeros(len(label))
    for train, test in GroupKFold(FEWEST_CASES).split(data, label, group):
        model = HistGradientBoostingClassifier(max_iter=80, max_depth=3)
        told[test] = model.fit(data[train], label[train]).predict_proba(data[test])[:, 1]
    return float(roc_auc_score(label, told))


@dataclass
class Visibility:
    """The visibility of the results of several methods, over several cases.

    Attributes
    ----------
    scores : dict
        For each method, the hole PSNR and the detail of each case.
    looks : dict
        For each method, see `look`.
    """

    scores: dict[str, list[tuple[float, Floats]]] = field(default_factory=dict)
    looks: dict[str, list[tuple[Floats, Floats]]] = field(default_factory=dict)

    def add(self, method: str, image: Any, truth: Any, unknown: Plane) -> None:
        """Take the result of a method on a case, arrays of uint8 as for `detail`."""
        db = min(BEST_PSNR_DB, psnr_db(image, truth, unknown))
        score = db, detail(image, truth, unknown)
        self.scores.setdefault(method, []).append(score)
        self.looks.setdefault(method, []).append(look(image, unknown))

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return, for each method, its number of cases, mean hole PSNR, median detail, and AUC."""
        return {
            method: {
                "cases": len(scores),
                "hole_psnr_db": float(np.mean([db for db, _ in scores])),
                "detail": [float(each) for each in np.median([each for _, each in scores], axis=0)],
                "auc": auc(self.looks[method]),
            }
            for method, scores in self.scores.items()
        }


def _brightness(image: npt.NDArray[np.uint8]) -> Floats:
    return image.astype(np.float64) if image.ndim == 2 else image[:, :, :3] @ _LUMA


def _bands(image: npt.NDArray[np.uint8]) -> list[Floats]:
    plane, found = _brightness(image), []
    for sigma_px in BANDS_PX:
        coarse = ndimage.gaussian_filter(plane, sigma_px)
        found.append(plane - coarse)
        plane = coarse
    return found
