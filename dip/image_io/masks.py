"""Reading masks: gray pictures, white = restore this."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dip.errors import MaskError
from dip.image_io.photo import DEFAULT_LIMITS, Array, Limits, has_alpha
from dip.image_io.reading import read_photo
from dip.samples import full_scale, to_floats

_ROWS = 256  # processed at a time, to copy no image of 100 megapixels


def read_mask(
    mask: Path | str | bytes,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
    page: int | None = None,
) -> Array:
    """Read a mask: white = restore this; parameters as for `read_photo`.

    Returns
    -------
    ndarray
        (H, W): unsigned integers of full scale, or floats in [0, 1]. Transparent pixels are 0.

    Raises
    ------
    MaskError
        The mask has colours.
    InputError, ImageTooLarge
        As for `read_photo`.
    """
    # Floats beside each pixel, see below.
    limits = replace(limits, bytes_beside_each_pixel=4)
    name = name or ("mask" if isinstance(mask, bytes) else str(mask))
    return _gray(read_photo(mask, limits, name, page).pixels, name)


def _gray(pixels: Array, name: str) -> Array:
    if pixels.ndim == 2:
        return pixels
    full = full_scale(pixels.dtype)
    if pixels.shape[2] >= 3 and _has_colours(pixels, full):
        raise MaskError(
            f"{name}: The mask has colours.",
            "Use a gray mask: white where the image is to be restored, black elsewhere.",
        )
    middle = pixels[:, :, 1 if pixels.shape[2] >= 3 else 0]
    alpha = pixels[:, :, -1]
    if not has_alpha(pixels) or alpha.min() == alpha.max() == full:
        return middle.copy()  # a view would keep the other channels in memory
    opaque = np.empty(middle.shape, np.float32)
    for top in range(0, len(pixels), _ROWS):
        rows = slice(top, top + _ROWS)
        opaque[rows] = to_floats(middle[rows]) * to_floats(alpha[rows])
    return opaque


def _has_colours(pixels: Array, full: int) -> bool:
    """Whether the channels of any visible pixel differ."""
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS]
        # Copied first: numpy is twenty times slower on neighbours three bytes apart.
        bands = np.ascontiguousarray(np.moveaxis(rows[:, :, :3], 2, 0))
        spread = bands.max(axis=0) - bands.min(axis=0)
        coloured = spread > 0.04 * full  # a JPEG's gray is not quite neutral
        if has_alpha(pixels):
            coloured &= rows[:, :, -1] > 0
        if coloured.any():
            return True
    return False
