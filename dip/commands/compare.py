"""`dip compare`: a damaged photo restored by both networks, side by side, with curves.

A row for each network shows the pictures of the original project: the original, the damaged photo,
the input of the network and its output; then the restored photo.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.commands.arguments import (
    CONFIRM,
    add_fit_arguments,
    add_mask_confirmation,
    add_preset_arguments,
    settings_from,
)
from dip.commands.progress import Progress
from dip.config import NETWORKS, Settings
from dip.console import format_duration, say
from dip.errors import MaskSizeMismatch
from dip.step import Step

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

TITLES = {"unet": "U-Net", "segnet": "SegNet"}
INPUTS = {
    "noise": "random input",
    "both": "random input, coordinates",
    "coordinates": "input: coordinates",
    "fill": "input: a kriged fill",
}
"""The input of a network, by `FitConfig.code`."""

PAGE_PX = 1760
LARGEST_PANEL_PX = 640
CURVES_HEIGHT_PX = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip compare`."""
    parser.add_argument("photo", type=Path, help="PNG, JPEG, TIFF or WebP file")
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="white = restore this; without it, transparent pixels are the damage",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the figure (.png)"
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="the undamaged original: shown as well, and compared with both results",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_mask_confirmation(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Restore with each network, draw the figure, print its path and each network's figures."""
    wanted = [settings_from(args, network=network) for network in NETWORKS]

    from dip.image_io import check_writable, read_mask, read_photo, write_pixels

    photo = read_photo(args.photo).pixels
    mask = None if args.mask is None else read_mask(args.mask)
    if mask is not None and not args.yes:
        from dip.regions.mask import refuse_inverted

        refuse_inverted(mask, photo.shape, CONFIRM)
    truth = None if args.truth is None else read_photo(args.truth).pixels
    if truth is not None and truth.shape[:2] != photo.shape[:2]:
        raise MaskSizeMismatch(
            f"The photo is {photo.shape[1]} × {photo.shape[0]} px, "
            f"the truth {truth.shape[1]} × {truth.shape[0]} px.",
            "Give the undamaged original in the same size.",
        )
    check_writable(args.output)

    unknown = find_unknown(photo, mask)
    attempts = [attempt(photo, mask, settings, quiet=args.quiet) for settings in wanted]
    write_pixels(args.output, draw(photo, unknown, attempts, truth))
    print(args.output)
    for each in attempts:
        print(f"{each.title}: {', '.join(each.describe(unknown, truth))}")
    return 0


Curves = Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Attempt:
    """The result of one network, with its curves.

    Parameters
    ----------
    network : str
    result : ndarray
        The restored photo.
    output : ndarray
        The raw output of the network in the regions that it fitted, float32.
    input : ndarray
        The input of the network, (H, W, 3) in [0, 1], and `input_title`, a few words about it.
    seconds : float
    iterations : int
    loss, validation_psnr_db : sequence of sequences of points
        A curve for each fit: (iteration, value), in order of the iterations.
    """

    network: str
    result: npt.NDArray[Any]
    output: npt.NDArray[np.float32]
    input: npt.NDArray[np.float32]
    input_title: str
    seconds: float
    iterations: int
    loss: Curves
    validation_psnr_db: Curves

    @property
    def title(self) -> str:
        """The name of the network on screen."""
        return TITLES.get(self.network, self.network)

    def describe(self, unknown: npt.NDArray[np.bool_], truth: npt.NDArray[Any] | None) -> list[str]:
        """Describe quality, by the truth or else by held-out pixels, iterations and time."""
        from dip.bench.metrics import psnr_db, ssim_around, texture_distance

        spent = f"{self.iterations} iterations in {format_duration(self.seconds)}"
        if truth is not None:
            result, original = _comparable(self.result), _comparable(truth)
            return [
                f"hole PSNR {psnr_db(result, original, unknown):.2f} dB",
                f"SSIM {ssim_around(result, original, unknown):.3f}, "
                f"texture distance {texture_distance(result, original, unknown):.2f}",
                spent,
            ]
        if self.validation_psnr_db:
            _, latest_db = self.validation_psnr_db[-1][-1]
            return [f"validation {latest_db:.1f} dB (held-out pixels)", spent]
        return [spent]


def attempt(
    photo: npt.NDArray[Any], mask: npt.NDArray[Any] | None, settings: Settings, *, quiet: bool
) -> Attempt:
    """Restore with one network, and record its curves."""
    from dip.restore import Restoration

    say(f"dip: {TITLES.get(settings.network, settings.network)}")
    restoration = Restoration(photo, mask, settings, keep_reconstruction=True)
    progress = Progress(quiet=quiet)
    loss, validation = RecordedCurves(), RecordedCurves()
    began = time.monotonic()
    for step in progress.follow(restoration):
        loss.add(step, step.loss)
        validation.add(step, step.validation_psnr_db)
    result = restoration.result()
    progress.close()
    seconds = time.monotonic() - began
    codes = {INPUTS[code] for code in restoration.input_codes}
    return Attempt(
        network=settings.network,
        result=result,
        output=restoration.reconstruction(),
        input=restoration.input_picture(),
        input_title=codes.pop() if len(codes) == 1 else "inputs",
        seconds=seconds,
        iterations=progress.done,
        loss=loss.curves,
        validation_psnr_db=validation.curves,
    )


class RecordedCurves:
    """A curve for each fit: fits of different regions, or runs of one region side by side."""

    def __init__(self) -> None:
        self._points: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)

    def add(self, step: Step, value: float | None) -> None:
        """Record the value of a step; None is left out."""
        if value is not None:
            self._points[step.region, step.run].append((float(step.iteration), value))

    @property
    def curves(self) -> Curves:
        return list(self._points.values())


def find_unknown(photo: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_]:
    """Return the pixels to restore."""
    from dip.regions.damaged_image import DamagedImage

    return DamagedImage(photo, mask).soft_mask.unknown


# --- Drawing ------------------------------------------------------------------------------------


def draw(
    photo: npt.NDArray[Any],
    unknown: npt.NDArray[np.bool_],
    attempts: list[Attempt],
    truth: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw a row of pictures for each network, with the same detail below each, then the curves.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    import numpy as np

    from dip.panels import (
        GAP_PX,
        NETWORK_COLOURS,
        Panel,
        draw_panels,
        find_detail,
        heading,
        mark,
        picture,
        stack,
    )

    height, width = unknown.shape
    about = f"{width} by {height} px, {unknown.mean():.1%} to restore"
    damaged = Panel(mark(picture(photo), unknown), "damaged", [about])
    shared = [damaged] if truth is None else [Panel(picture(truth), "original"), damaged]
    count = len(shared) + 3
    width_px = min(LARGEST_PANEL_PX, (PAGE_PX + GAP_PX) // count - GAP_PX)
    detail = find_detail(unknown)
    strips = []
    for each in attempts:
        colour = NETWORK_COLOURS[each.network]
        panels = [
            *shared,
            Panel(picture(each.input), each.input_title),
            Panel(picture(each.output), "output of the network"),
            Panel(picture(each.result), "restored", each.describe(unknown, truth)),
        ]
        pictures = draw_panels(panels, width_px, detail=detail)
        strips += [heading(each.title, pictures.width, colour=colour), pictures]
    curves = draw_all_curves(attempts, strips[-1].width)
    return np.asarray(stack([*strips, curves]))


def draw_all_curves(attempts: list[Attempt], width_px: int) -> Image:
    """Draw the curves of the loss (left) and of the validation PSNR (right)."""
    from dip.panels import NETWORK_COLOURS, Curve, beside, draw_curves

    gap_px = 48
    size = (width_px - gap_px) // 2, CURVES_HEIGHT_PX

    def curves(figure: str) -> list[Curve]:
        return [
            Curve(each.title, points, NETWORK_COLOURS[each.network])
            for each in attempts
            for points in getattr(each, figure)
        ]

    loss = draw_curves(
        curves("loss"),
        size,
        title="loss over the known pixels",
        x_label="iteration",
        logarithmic=True,
    )
    validation = draw_curves(
        curves("validation_psnr_db"),
        size,
        title="PSNR of held-out known pixels, dB",
        x_label="iteration",
    )
    return beside([loss, validation], gap_px)


def _comparable(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return 8-bit RGB without alpha, to compare gray and colour, 8 and 16 bit."""
    import numpy as np

    from dip.panels import picture

    return np.asarray(picture(pixels))
