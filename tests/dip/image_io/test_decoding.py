"""Memory of decoding: predicted from the header, and measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from dip.errors import ImageTooLarge
from dip.image_io import Limits, open_photo, read_header, read_mask, read_photo
from dip.machine.memory import limited_growth

SIDE = 4000
SPARE = 40_000_000
"""For the libraries themselves."""

Write = Callable[[Any, str], None]
WRITERS: dict[str, tuple[str, Write]] = {
    "deep.png": ("ushort", lambda image, path: image.pngsave(path)),
    "interlaced.png": ("ushort", lambda image, path: image.pngsave(path, interlace=True)),
    "plain.jpg": ("uchar", lambda image, path: image.jpegsave(path)),
    "progressive.jpg": ("uchar", lambda image, path: image.jpegsave(path, interlace=True)),
    "photo.webp": ("uchar", lambda image, path: image.webpsave(path, lossless=True)),
    "strips.tif": ("float", lambda image, path: image.tiffsave(path, compression="deflate")),
    "tiles.tif": (
        "ushort",
        lambda image, path: image.tiffsave(path, tile=True, tile_width=1024, tile_height=1024),
    ),
}
PROGRAM = """
import re, sys
import psutil
from dip.image_io import read_photo
before = psutil.Process().memory_info().rss
pixels = read_photo(sys.argv[1]).pixels
highest = re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())
print(1024 * int(highest[1]) - before)
"""


def written(folder: Path, name: str, orientation: int = 1) -> Path:
    samples, write = WRITERS[name]
    image = (
        pyvips.Image.black(SIDE, 3000, bands=3)
        .cast(samples)
        .copy(interpretation={"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}[samples])
    )
    if orientation != 1:
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    write(image, str(folder / name))
    return folder / name


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is that of Linux")
@pytest.mark.parametrize(
    ("name", "orientation"), [*((name, 1) for name in WRITERS), ("deep.png", 6), ("plain.jpg", 5)]
)
def test_decoding_takes_no_more_memory_than_is_predicted(
    tmp_path: Path, name: str, orientation: int
) -> None:
    path = written(tmp_path, name, orientation)
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    used = int(child.stdout)
    assert used > SPARE
    print(f"{name}: {used / 1e6:.0f} MB")
    with pytest.raises(ImageTooLarge, match="of memory; the limit is"):
        read_photo(path, Limits(memory=used - SPARE))


def test_a_picture_that_would_take_too_much_memory_is_refused_by_its_header(
    deep_bomb: Path,
) -> None:
    """190 megapixels of 16-bit RGBA: 1.5 MB in the file, 1.5 GB in memory."""
    seen = r"13780×13780 px with 4 channels of 16 bit: decoding it needs 1\.5 GB of memory"
    for read in (read_photo, read_header):
        with pytest.raises(ImageTooLarge, match=seen):
            read(deep_bomb)
    data = deep_bomb.read_bytes()
    with pytest.raises(ImageTooLarge, match=seen):
        read_photo(data)
    with pytest.raises(ImageTooLarge, match=r"decoding it needs 2\.3 GB of memory"):
        read_mask(data)
    image, form = open_photo(deep_bomb)  # to convert it row by row
    assert (image.width, form) == (13780, "png")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the growth of memory")
def test_the_system_refuses_memory_that_was_not_predicted() -> None:
    with pytest.raises(MemoryError), limited_growth(50_000_000):
        np.ones(1_000_000_000, np.uint8)  # more than earlier tests may have left free
    assert np.ones(100_000_000, np.uint8).all()  # the limit is lifted again
