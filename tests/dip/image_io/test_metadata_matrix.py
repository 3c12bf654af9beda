"""Each tag of each format, before and after, as ExifTool reads it: none is lost silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tagged_photos import FORMATS, Matrix

from dip.errors import OutputError
from dip.image_io import check_writable, losses, read_photo, write_photo


def test_no_tag_is_lost_silently(tmp_path: Path) -> None:
    matrix = Matrix(tmp_path / "photos")
    for name, path in matrix.photos.items():
        photo = read_photo(path)
        for form, suffix in FORMATS.items():
            output = tmp_path / f"{name}_as{suffix}"
            try:
                check_writable(output, photo)
            except OutputError:
                matrix.refused += 1
                continue
            write_photo(output, photo.pixels, like=photo)
            if form != "jpeg":
                again = read_photo(output)
                assert again.pixels.dtype == photo.pixels.dtype
                if again.pixels.shape == photo.pixels.shape:
                    np.testing.assert_array_equal(again.pixels, photo.pixels)
            matrix.add(name, form, output, losses(photo, form))
    assert matrix.check("dip.image_io").tried > 5000
