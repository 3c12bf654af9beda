"""The pages of a TIFF file that a restoration is asked for."""

from __future__ import annotations

from pathlib import Path

from dip.config import ALL_PAGES
from dip.errors import MaskError, OutputError
from dip.image_io import photo_pages

PagePair = tuple[int | None, int | None]
"""A page of a photo and its page of the mask, from 0; None is the file's own choice."""


def pages_to_restore(
    photo: Path | bytes, mask: Path | bytes | None, page: str | None, form: str
) -> list[PagePair]:
    """The pages to restore.

    Parameters
    ----------
    photo, mask : Path or bytes
        Files, or their content.
    page : str, optional
        As `dip.config.PAGE`. By default all if the mask has as many, else the first full-size page.
    form : str
        Format of the result.

    Raises
    ------
    MaskError
        All pages are asked for, and the mask has another number of pages.
    OutputError
        The result's format holds one page.
    InputError
        A file cannot be read.
    """
    pages = photo_pages(photo)
    masks = (0,) if mask is None else photo_pages(mask)
    if page is not None and page != ALL_PAGES:
        number = int(page) - 1
        has_own = len(masks) == len(pages) > 1 and number in pages
        return [(number, masks[pages.index(number)] if has_own else None)]
    if len(pages) == 1 or (page is None and len(masks) != len(pages)):
        return [(None, None)]
    if len(masks) not in (1, len(pages)):
        raise MaskError(
            f"The mask has {len(masks)} pages, the photo has {len(pages)}.",
            "Give a mask with as many pages, or with one for all.",
        )
    if form != "tiff":
        raise OutputError(
            f"A {form.upper()} file cannot hold {len(pages)} pages.",
            "Write TIFF, or name one page.",
        )
    return list(zip(pages, masks if len(masks) > 1 else len(pages) * masks, strict=True))
