"""The classical methods that restorations are compared with.

OpenCV has two methods (fast marching and Navier-Stokes), scikit-image the biharmonic method. OpenCV
is no dependency of `dip restore`: the extra `bench` installs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dip.errors import DipError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OPENCV_RADIUS_PX = 3
# A square hole of this area takes 10 s and 1.5 GB; both grow faster than the area.
LARGEST_BIHARMONIC_HOLE_PX = 250_000


class ReferenceUnavailable(DipError):
    """A method is not installed, or not suitable for holes of this size."""

    code = "reference_unavailable"


def telea(image: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Fill the unknown pixels by fast marching, radius 3.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8 array
        Its unknown pixels are ignored.
    unknown : (H, W) bool array

    Returns
    -------
    uint8 array of the image's shape; known pixels are unchanged.

    Raises
    ------
    ReferenceUnavailable
        OpenCV is not installed.

    References
    ----------
    Telea, An image inpainting technique based on the fast marching method, J. Graphics Tools 2004.
    DOI 10.1080/10867651.2004.10487596
    """
    return _opencv(image, unknown, "INPAINT_TELEA")


def navier_stokes(
    image: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Fill the unknown pixels by continuing isophotes, radius 3. Otherwise like `telea`.

    References
    ----------
    Bertalmío, Bertozzi, Sapiro, Navier-Stokes, fluid dynamics, and image and video inpainting,
    CVPR 2001. DOI 10.1109/CVPR.2001.990497
    """
    return _opencv(image, unknown, "INPAINT_NS")


def biharmonic(
    image: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Fill the unknown pixels with the smoothest surface that matches their rim.

    Parameters and result as for `telea`. The channels are filled separately.

    Raises
    ------
    ReferenceUnavailable
        A single hole covers more than `LARGEST_BIHARMONIC_HOLE_PX` pixels: it would take minutes
        and many gigabytes.

    References
    ----------
    Damelin, Hoang, On surface completion and image inpainting by biharmonic functions, Int. J.
    Mathematics and Mathematical Sciences 2018. DOI 10.1155/2018/3950312
    """
    import numpy as np
    from scipy.ndimage import label
    from skimage.restoration import inpaint_biharmonic

    holes, _ = label(unknown, structure=np.ones((3, 3)))
    largest_px = int(np.bincount(holes[unknown]).max(initial=0))
    if largest_px > LARGEST_BIHARMONIC_HOLE_PX:
        raise ReferenceUnavailable(
            f"One hole covers {largest_px} px, too many for the biharmonic method.",
            f"It runs for holes of up to {LARGEST_BIHARMONIC_HOLE_PX} px.",
        )
    channel_axis = -1 if image.ndim == 3 else None
    filled = inpaint_biharmonic(image / 255, unknown, channel_axis=channel_axis)
    levels = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    result = image.copy()
    result[unknown] = levels[unknown]
    return result


Method = Callable[["npt.NDArray[np.uint8]", "npt.NDArray[np.bool_]"], "npt.NDArray[np.uint8]"]
METHODS: dict[str, Method] = {"telea": telea, "ns": navier_stokes, "biharmonic": biharmonic}
OPENCV_METHODS = ("telea", "ns")


def run_all(
    image: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_]
) -> Iterator[tuple[str, npt.NDArray[np.uint8] | ReferenceUnavailable]]:
    """Yield each method's name with its result, or with the reason why it is unavailable."""
    for name, method in METHODS.items():
        try:
            yield name, method(image, unknown)
        except ReferenceUnavailable as reason:
            yield name, reason


def _opencv(
    image: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_], method: str
) -> npt.NDArray[np.uint8]:
    import numpy as np

    try:
        import cv2
    except ImportError as error:
        raise ReferenceUnavailable(
            "OpenCV is not installed.",
            "Install the extra `bench`: .venv/bin/pip install -e '.[bench]'",
        ) from error
    marked = unknown.astype(np.uint8) * 255
    filled = cv2.inpaint(
        np.ascontiguousarray(image), marked, OPENCV_RADIUS_PX, getattr(cv2, method)
    )
    return np.asarray(filled, dtype=np.uint8)
