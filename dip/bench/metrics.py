"""Distance of a restored image from the truth: hole PSNR, SSIM around the hole, texture distance.

One figure is not enough: a smooth smear can have the best PSNR in a large hole and still look
wrong. All figures compare 8-bit samples, so that 8-bit, 16-bit and floating-point results are
comparable.
"""

import math

import numpy as np
import numpy.typing as npt

from dip.samples import PEAK, to_8_bit

SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5  # scikit-image truncates the Gaussian at 3.5 sigma: a window of 11 x 11
PATCH_PX = 7
MAX_PATCHES = 2048
PROJECTIONS = 64
BEST_PSNR_DB = 99.0  # a perfect result: JSON has no infinity


def psnr_db(
    image: npt.ArrayLike, truth: npt.ArrayLike, where: npt.ArrayLike | None = None
) -> float:
    """Measure the peak signal-to-noise ratio, over all pixels or over some of them.

    Parameters
    ----------
    image, truth : (H, W) or (H, W, C) array
        As for `to_8_bit`. All channels count equally.
    where : (H, W) bool array, optional
        The pixels to compare; with the unknown pixels this is the hole PSNR.

    Returns
    -------
    float
        In dB, peak 255; `inf` where the 8-bit samples are the same.

    Raises
    ------
    ValueError
        The shapes differ, or there is no pixel to compare.
    """
    levels, true_levels = _levels(image, truth)
    if where is not None:
        chosen = np.asarray(where, dtype=bool)
        if chosen.shape != levels.shape[:2]:
            raise ValueError(f"where is {chosen.shape}, the image {levels.shape[:2]}")
        levels, true_levels = levels[chosen], true_levels[chosen]
    if levels.size == 0:
        raise ValueError("no pixel to compare")
    difference = levels.astype(np.float32) - true_levels
    error = float(np.mean(difference**2, dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def ssim_around(image: npt.ArrayLike, truth: npt.ArrayLike, unknown: npt.ArrayLike) -> float:
    """Measure structural similarity at and around the unknown pixels.

    The result is the mean of the SSIM map over the pixels whose window (11 x 11, Gaussian with
    sigma 1.5) contains an unknown pixel. Elsewhere a composite equals the truth.

    Parameters
    ----------
    image, truth : (H, W) or (H, W, C) array
        As for `to_8_bit`; at least 11 x 11. The map is the mean over the channels.
    unknown : (H, W) bool array

    Returns
    -------
    float
        In [-1, 1]; 1 where image and truth are the same.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural
    similarity, IEEE TIP 2004. DOI 10.1109/TIP.2003.819861
    """
    from scipy.ndimage import maximum_filter
    from skimage.metrics import structural_similarity

    levels, true_levels = _levels(image, truth)
    unknown = np.asarray(unknown, dtype=bool)
    # Twice the radius: once for the counted pixels, once more for their windows.
    window = _window(unknown, 2 * SSIM_RADIUS_PX + 1, least_px=2 * SSIM_RADIUS_PX + 1)
    _, similarity = structural_similarity(
        levels[window].astype(np.float64),
        true_levels[window].astype(np.float64),
        data_range=PEAK,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=SSIM_SIGMA_PX,
        use_sample_covariance=False,
        full=True,
    )
    counted = maximum_filter(unknown[window], size=2 * SSIM_RADIUS_PX + 1)
    return float(similarity[counted].mean())


def texture_distance(
    image: npt.ArrayLike,
    truth: npt.ArrayLike,
    unknown: npt.ArrayLike,
    *,
    scales: int = 3,
    seed: int = 0,
) -> float:
    """Measure the distance between the texture in the hole and the texture of the truth.

    This is the sliced Wasserstein distance between two sets of 7 x 7 patches around the unknown
    pixels, those of the image and those of the truth. Patches are compared as sets: the right
    texture in the wrong place costs little, and a smear costs as much as the texture that it lacks.
    The patches come from the bands of a Laplacian pyramid, so only structure of 1 to about 16 px
    counts, not brightness and colour.

    Parameters
    ----------
    image, truth : (H, W) or (H, W, C) array
        As for `to_8_bit`.
    unknown : (H, W) bool array
    scales : int
        Number of bands of the pyramid; the distance is their mean.
    seed : int
        Chooses the directions of projection, and the patches where there are more than 2048.

    Returns
    -------
    float
        0 or more, in 8-bit levels; 0 for equal sets. Distances below 1 are hard to see; a smear in
        rich texture has 5 to 10.

    References
    ----------
    Karras, Aila, Laine, Lehtinen, Progressive growing of GANs, ICLR 2018, arXiv:1710.10196: patches
    and pyramid. Unlike there, patches are not normalised: a lack of contrast is an error here.
    Rabin, Peyré, Delon, Bernot, Wasserstein barycenter and its application to texture mixing,
    SSVM 2011. DOI 10.1007/978-3-642-24785-9_37
    """
    levels, true_levels = _levels(image, truth)
    unknown = np.asarray(unknown, dtype=bool)
    window = _window(unknown, PATCH_PX * 2**scales, least_px=PATCH_PX)
    rest, true_rest = levels[window].astype(np.float64), true_levels[window].astype(np.float64)
    unknown = unknown[window]

    random = np.random.default_rng(seed)
    distances = []
    for _ in range(scales):
        band, rest = _split_band(rest)
        true_band, true_rest = _split_band(true_rest)
        rows, columns = _patch_centres(unknown, random)
        directions = random.standard_normal((PATCH_PX**2 * band.shape[2], PROJECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        projected = np.sort(_patches(band, rows, columns) @ directions, axis=0)
        true_projected = np.sort(_patches(true_band, rows, columns) @ directions, axis=0)
        distances.append(np.abs(projected - true_projected).mean())
        unknown = _halve(unknown)
    return float(np.mean(distances))


def _levels(
    image: npt.ArrayLike, truth: npt.ArrayLike
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return both as (H, W, C) arrays of 8-bit samples."""
    first, second = np.asarray(image), np.asarray(truth)
    if first.shape != second.shape:
        raise ValueError(f"the image is {first.shape}, the truth {second.shape}")
    if first.ndim == 2:
        first, second = first[..., None], second[..., None]
    return to_8_bit(first), to_8_bit(second)


def _window(unknown: npt.NDArray[np.bool_], margin_px: int, least_px: int) -> tuple[slice, slice]:
    """Find the part of the image that contains all unknown pixels, with a margin."""
    rows, columns = np.nonzero(unknown.any(axis=1))[0], np.nonzero(unknown.any(axis=0))[0]
    if rows.size == 0:
        raise ValueError("no pixel is unknown")
    if min(unknown.shape) < least_px:
        raise ValueError(f"the image is {unknown.shape}, less than {least_px} px")

    def reach(indices: npt.NDArray[np.intp]) -> slice:
        return slice(max(0, indices[0] - margin_px), indices[-1] + margin_px + 1)

    return reach(rows), reach(columns)


def _split_band(
    rest: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the finest band, and the rest of the image at half the size."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rest, sigma=(1, 1, 0), mode="nearest")
    return rest - smooth, smooth[::2, ::2]


def _halve(unknown: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Halve a mask; a pixel is unknown if one of its four is, so thin lines stay."""
    height, width = unknown.shape
    even = np.pad(unknown, ((0, height % 2), (0, width % 2)))
    return even[::2, ::2] | even[1::2, ::2] | even[::2, 1::2] | even[1::2, 1::2]


def _patch_centres(
    unknown: npt.NDArray[np.bool_], random: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows, columns = np.nonzero(unknown)
    if rows.size > MAX_PATCHES:
        chosen = random.choice(rows.size, MAX_PATCHES, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    return rows, columns


def _patches(
    band: npt.NDArray[np.float64], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Cut the patches around these pixels, flattened to (patches, 7 * 7 * C)."""
    reach = PATCH_PX // 2
    padded = np.pad(band, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH_PX, PATCH_PX), axis=(0, 1))
    return windows[rows, columns].reshape(rows.size, -1)
