"""Scans with an infrared plane, as the programs of film scanners write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

Pixels = npt.NDArray[Any]


def of_vuescan(path: Path, colours: Pixels, infrared: Pixels) -> None:
    """A fourth sample that is not alpha."""
    rgbi = np.dstack([colours, infrared])
    tifffile.imwrite(path, rgbi, photometric="rgb", extrasamples=[0])


def of_vuescan_without_extra_samples(path: Path, colours: Pixels, infrared: Pixels) -> None:
    """As `of_vuescan`, but the tag ExtraSamples has another number, which no reader knows."""
    of_vuescan(path, colours, infrared)
    data = path.read_bytes()
    at = data.index(bytes([0x52, 0x01, 3, 0]))
    path.write_bytes(data[:at] + bytes([0x60, 0xEA]) + data[at + 2 :])


def of_silverfast(path: Path, colours: Pixels, infrared: Pixels) -> None:
    """A further page, behind a thumbnail and another gray picture."""
    with tifffile.TiffWriter(path) as file:
        file.write(colours, photometric="rgb")
        file.write(colours[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(infrared[:20], photometric="minisblack")
        file.write(infrared, photometric="minisblack", subfiletype=2)
    # tifffile writes 4, a mask, for bilevel pictures only.
    data = path.read_bytes()
    at = data.rindex(bytes([0xFE, 0, 4, 0, 1, 0, 0, 0, 2]))
    path.write_bytes(data[: at + 8] + bytes([4]) + data[at + 9 :])


def of_dng(path: Path, colours: Pixels, infrared: Pixels) -> None:
    """A sub-image of the page."""
    with tifffile.TiffWriter(path) as file:
        file.write(colours, photometric="rgb", subifds=2)
        file.write(colours[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(infrared, photometric="minisblack")


def beside(path: Path, colours: Pixels, infrared: Pixels) -> None:
    """A file of its own."""
    tifffile.imwrite(path, colours, photometric="rgb")
    tifffile.imwrite(path.with_name(f"{path.stem}_IR.tif"), infrared, photometric="minisblack")


KINDS = {
    "rgbi": of_vuescan,
    "unmarked": of_vuescan_without_extra_samples,
    "hdri": of_silverfast,
    "dng": of_dng,
    "beside": beside,
}
