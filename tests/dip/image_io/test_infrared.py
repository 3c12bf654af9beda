"""The infrared plane of a scan is found wherever scanner programs put it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dip.image_io import find_infrared, read_photo, write_photo

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 65536, (40, 50, 3), dtype=np.uint16)
INFRARED = RANDOM.integers(0, 65536, (40, 50), dtype=np.uint16)
RGBI = np.dstack([COLOURS, INFRARED])


def of_vuescan(path: Path) -> None:
    tifffile.imwrite(path, RGBI, photometric="rgb", extrasamples=[0])


def of_vuescan_without_extra_samples(path: Path) -> None:
    """As `of_vuescan`, but the tag ExtraSamples has another number, which no reader knows."""
    of_vuescan(path)
    data = path.read_bytes()
    at = data.index(bytes([0x52, 0x01, 3, 0]))
    path.write_bytes(data[:at] + bytes([0x60, 0xEA]) + data[at + 2 :])


def of_silverfast(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb")
        file.write(COLOURS[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(INFRARED[:20], photometric="minisblack")
        file.write(INFRARED, photometric="minisblack", subfiletype=2)
    # tifffile writes 4, a mask, for bilevel pictures only.
    data = path.read_bytes()
    at = data.rindex(bytes([0xFE, 0, 4, 0, 1, 0, 0, 0, 2]))
    path.write_bytes(data[: at + 8] + bytes([4]) + data[at + 9 :])


def of_dng(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb", subifds=2)
        file.write(COLOURS[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(INFRARED, photometric="minisblack")


def beside(path: Path) -> None:
    write_photo(path, COLOURS)
    write_photo(path.with_name("scan_IR.tif"), INFRARED)


@pytest.mark.parametrize(
    "write", [of_vuescan, of_vuescan_without_extra_samples, of_silverfast, of_dng, beside]
)
def test_the_plane_is_found(tmp_path: Path, write: object) -> None:
    path = tmp_path / "scan.tif"
    write(path)  # type: ignore[operator]
    found = find_infrared(path, read_photo(path))
    assert found is not None
    np.testing.assert_array_equal(found, INFRARED)


def test_a_photo_without_one_has_none(tmp_path: Path) -> None:
    for name in ("scan.tif", "scan.png"):
        write_photo(tmp_path / name, COLOURS)
        assert find_infrared(tmp_path / name, read_photo(tmp_path / name)) is None


@pytest.mark.parametrize("kind", [1, 2])
def test_alpha_is_no_infrared(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, RGBI, photometric="rgb", extrasamples=[kind])
    assert find_infrared(path, read_photo(path)) is None
