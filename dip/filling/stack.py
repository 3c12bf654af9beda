"""Fill a stack of small patches at once, without a network: membranes, and simple kriging.

The model is that of `dip.filling.kriging`. In a small patch the unknown pixels are few, so the
linear system P_uu x_u = −P_uk r_k is solved directly. The patch is taken as periodic: damage lies
in its middle, and the precision P falls to zero within the margin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dip.filling.kriging import measure_covariance
from dip.filling.membrane import membrane
from dip.machine.threads import side_by_side

Array = NDArray[np.float32]

_AT_ONCE = 64
"""Most patches whose systems are solved together; a result depends on no other patch."""

_SYSTEMS = 1_000_000
"""Sum of the squared numbers of needed pixels that are solved together at most, for memory."""

_NEAR_PX = 2
"""Known pixels up to this distance from needed ones are used; more cost time, and gain nothing."""

_RANGE_PX, _NUGGET = 8, 0.003
"""Of an image less its membrane; see `dip.filling.kriging.krige`."""

_RESIDUAL_RANGE_PX, _RESIDUAL_NUGGET = 12, 0.01
"""Of the residual of a network."""


def fill_stack(targets: Array, known: NDArray[np.bool_], needed: NDArray[np.bool_]) -> Array:
    """Fill patches without a network: a membrane, plus its kriged residual.

    Parameters
    ----------
    targets : ndarray
        (N, S, S, C), float32 in [0, 1]; ignored where unknown.
    known : ndarray
        (N, S, S) bool
    needed : ndarray
        (N, S, S) bool, the unknown pixels to krige; others keep the membrane.

    Returns
    -------
    ndarray
        (N, S, S, C), float32 in [0, 1]; the targets themselves at known pixels.
    """
    smooth = membrane(targets, known)
    residuals = targets - smooth
    kriged = krige_stack(residuals, known, needed, range_px=_RANGE_PX, nugget=_NUGGET)
    return np.where(known[..., None], targets, np.clip(smooth + kriged, 0, 1)).astype(np.float32)


def krige_stack(
    residuals: Array,
    known: NDArray[np.bool_],
    needed: NDArray[np.bool_],
    *,
    range_px: int = _RESIDUAL_RANGE_PX,
    nugget: float = _RESIDUAL_NUGGET,
) -> Array:
    """Fill residuals by simple kriging, each with the covariance of its own patch.

    Parameters
    ----------
    residuals : ndarray
        (N, S, S, C), float32, with means near zero; ignored where unknown.
    known : ndarray
        (N, S, S) bool
    needed : ndarray
        (N, S, S) bool, the unknown pixels to fill.
    range_px, nugget
        See `dip.filling.kriging.krige`.

    Returns
    -------
    ndarray
        (N, S, S, C), float32; 0 where not needed.
    """
    values = np.where(known[..., None], residuals, np.float32(0))
    kriged = np.zeros_like(values)
    parts = list(_parts(np.count_nonzero(needed, axis=(1, 2))))

    def solve(part: NDArray[np.intp]) -> None:
        planes = torch.from_numpy(values[part]).permute(0, 3, 1, 2).contiguous()
        masks = torch.from_numpy(known[part]), torch.from_numpy(needed[part])
        solved = _solve(planes, *masks, range_px, nugget)
        kriged[part] = solved.permute(0, 2, 3, 1).numpy()

    with side_by_side(torch.get_num_threads()) as pool:
        list(pool.map(solve, parts))
    return kriged


def _parts(counts: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Divide patches into parts with similar numbers of needed pixels: systems of one size."""
    order = np.argsort(counts, kind="stable")
    start = 0
    while start < len(order):
        largest = int(counts[order[start : start + _AT_ONCE]].max())
        end = start + min(_AT_ONCE, max(1, _SYSTEMS // max(1, largest) ** 2))
        yield order[start:end]
        start = end


def _solve(values: Tensor, known: Tensor, needed: Tensor, range_px: int, nugget: float) -> Tensor:
    """Krige (N, C, S, S), zero where unknown, for known and needed (N, S, S)."""
    count, channels, side, _ = values.shape
    covariance = measure_covariance(values, known.float(), range_px)
    variance = covariance[:, range_px - 1, range_px - 1].clamp_min(1e-12)
    covariance = F.pad(covariance, (side - range_px,) * 4)  # (N, 2S - 1, 2S - 1)
    near = F.max_pool2d(needed.float()[:, None], 2 * _NEAR_PX + 1, 1, _NEAR_PX)[:, 0] > 0
    near &= known
    filled, fills = _places(needed)
    used, uses = _places(near)
    among = _covariances(covariance, used, used, side)
    both = uses[:, :, None] & uses[:, None]
    among = torch.where(both, among, 0)
    among.diagonal(dim1=1, dim2=2).add_((nugget * variance)[:, None] + (~uses).float())
    between = _covariances(covariance, filled, used, side)
    between = torch.where(fills[:, :, None] & uses[:, None], between, 0)
    right = values.flatten(2).gather(2, used[:, None].expand(-1, channels, -1))
    right = torch.where(uses[:, None], right, 0).mT
    factor, failed = torch.linalg.cholesky_ex(among)
    solved = between @ torch.cholesky_solve(right, factor)
    solved = torch.where((failed == 0)[:, None, None] & solved.isfinite(), solved, 0)
    # Beside the border of a print, the covariance of the patch says little about the plain margin.
    limit = right.abs().amax(1, keepdim=True)
    solved = solved.clamp(-limit, limit)
    result = torch.zeros(count, channels, side * side)
    result.scatter_add_(2, filled[:, None].expand(-1, channels, -1), solved.mT)
    return result.view(count, channels, side, side)


def _places(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the chosen pixels in each flattened plane, (N, most), and which are valid."""
    most = int(chosen.sum((1, 2)).max())
    flat = chosen.flatten(1)
    places = flat.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return places, flat.gather(1, places)


def _covariances(covariance: Tensor, ones: Tensor, others: Tensor, side: int) -> Tensor:
    """Covariances between places, (N, ones, others), by lags up to side - 1 px."""
    stride = 2 * side - 1
    one, other = (places // side * stride + places % side for places in (ones, others))
    lags = (one + (side - 1) * (stride + 1))[:, :, None] - other[:, None]
    return covariance.flatten(1).gather(1, lags.flatten(1)).view(lags.shape)
