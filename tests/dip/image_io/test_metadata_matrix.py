"""Each tag of each format, before and after, as ExifTool reads it: none is lost silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exiftool import tags_of
from tagged_photos import Account, make

from dip.errors import OutputError
from dip.image_io import check_writable, losses, read_photo, write_photo

FORMATS = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("tagged"))


@pytest.mark.slow
def test_no_tag_is_lost_silently(photos: dict[str, Path], tmp_path: Path) -> None:
    results = []
    for name, path in photos.items():
        photo = read_photo(path)
        for form, suffix in FORMATS.items():
            output = tmp_path / f"{name}_as{suffix}"
            try:
                check_writable(output, photo)
            except OutputError:
                continue  # refused before the work
            write_photo(output, photo.pixels, like=photo)
            if form != "jpeg":
                again = read_photo(output)
                assert again.pixels.dtype == photo.pixels.dtype
                if again.pixels.shape == photo.pixels.shape:
                    np.testing.assert_array_equal(again.pixels, photo.pixels)
            results.append((path, output, losses(photo, form), form == photo.format))
    before = dict(zip(photos, tags_of(*photos.values()), strict=True))
    after = tags_of(*(output for _, output, _, _ in results))
    account = Account()
    for (path, output, notes, same), tags in zip(results, after, strict=True):
        account.add(output.name, before[path.stem], tags, notes, same=same)
    print(
        f"{len(results)} pairs of formats, {account.tried} tags: {account.kept} kept, "
        f"{account.storage} of storage, {account.aloud} lost aloud, {len(account.silent)} silently"
    )
    assert not account.silent, "\n".join(account.silent)
    assert account.tried > 5000
