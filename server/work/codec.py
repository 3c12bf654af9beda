"""Decode the files of a job to arrays, and encode arrays in the format that the job asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dip import image_io
from dip.errors import InputError
from dip.image_io import Limits, Photo
from dip.notes import Note
from dip.pages import PagePair, pages_to_restore
from dip.regions.box import Box
from dip.samples import full_scale
from server.errors import ServiceError
from server.jobs.files import Buffer
from server.jobs.parameters import JobParameters, RawImage
from server.work.job_store import PixelFiles

if TYPE_CHECKING:
    from dip.regions.composite import Fill
    from dip.restore import Restoration

Array = NDArray[Any]

_LOSSLESS = ("png", "tiff", "webp")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The input of a job.

    Parameters
    ----------
    photo : Photo
    mask : ndarray or None
        (H, W); None if the transparent pixels are the damage.
    """

    photo: Photo
    mask: Array | None

    @property
    def has_alpha(self) -> bool:
        pixels = self.photo.pixels
        return pixels.ndim == 3 and pixels.shape[2] in (2, 4)


class Inputs:
    """The files of a job.

    Parameters
    ----------
    parameters : JobParameters
    files : PixelFiles
    job_id : str
    max_pixels : int

    Attributes
    ----------
    pages : list of (int or None, int or None)
        The pages to restore, each with its page of the mask, as in `dip.pages`.

    Raises
    ------
    DipError
        A file cannot be read, or it has no such pages.
    ServiceError
        `internal`: the files are gone.
    """

    def __init__(
        self, parameters: JobParameters, files: PixelFiles, job_id: str, max_pixels: int
    ) -> None:
        self._parameters, self._limits = parameters, Limits(pixels=max_pixels)
        try:
            self._image = files.source(job_id, "image")
            self._mask = files.source(job_id, "mask") if parameters.has_mask else None
            self._infrared = files.source(job_id, "infrared") if parameters.has_infrared else None
            self.pages = self._pages()
        except FileNotFoundError:
            raise ServiceError("internal", "The pixels of this job are gone.") from None

    def source(self, pair: PagePair, restored: bytes | None = None) -> Source:
        """Decode a page and its mask.

        Parameters
        ----------
        pair : PagePair
            One of `pages`.
        restored : bytes, optional
            The photo with the pages that are restored already.

        Raises
        ------
        DipError
            One of the files cannot be decoded, or is too large.
        """
        image = self._image if restored is None else restored
        photo = photo_from(image, self._parameters.raw, self._limits, pair[0])
        return Source(photo=photo, mask=None if self._mask is None else self._mask_of(pair[1]))

    def infrared(self, photo: Photo) -> Array | None:
        """The infrared plane of a detection's photo, of its own file or of the photo's, or None.

        Raises
        ------
        DipError
            It cannot be decoded, or is too large.
        """
        if self._infrared is not None:
            return image_io.read_infrared(self._infrared, self._limits)
        if self._parameters.ignore_infrared or self._parameters.raw is not None:
            return None
        return image_io.find_infrared(self._image, photo, self._limits, self.pages[0][0])

    def _pages(self) -> list[PagePair]:
        parameters = self._parameters
        if parameters.raw is not None or (parameters.part == "fill" and parameters.page is None):
            return [(None, None)]
        form = "tiff" if parameters.format == "auto" else parameters.format
        return pages_to_restore(self._image, self._mask, parameters.page, form)

    def _mask_of(self, page: int | None) -> Array:
        raw, samples, mask = self._parameters.raw, self._parameters.mask_samples, self._mask
        assert mask is not None
        if samples is not None and raw is not None:
            plane = RawImage(width=raw.width, height=raw.height, channels=1, samples=samples)
            return _from_raw(mask, plane)
        return image_io.read_mask(mask, self._limits, "mask", page)


def photo_from(
    image: Path | bytes, raw: RawImage | None, limits: Limits, page: int | None = None
) -> Photo:
    """Decode the image of a job, or take its raw samples.

    Raises
    ------
    DipError
    """
    if raw is not None:
        return Photo(pixels=_from_raw(image, raw), format="raw", metadata=image_io.Metadata())
    return image_io.read_photo(image, limits, "image", page)


def result_format(parameters: JobParameters, source: Source) -> str:
    """The format of the results, checked before hours of work.

    Raises
    ------
    OutputError
        The format cannot hold these samples.
    """
    samples = source.photo.pixels
    form = parameters.format
    if form == "auto":
        form = source.photo.format if source.photo.format in (*_LOSSLESS, "raw") else "png"
    if form != "raw":
        first = samples[:1, :1]
        if parameters.part == "fill":
            first = _layer_like(samples, 1, 1)
        image_io.encode_photo(first, form, like=_model(parameters.part, source))
        longest = samples[:1] if samples.shape[1] > samples.shape[0] else samples[:, :1]
        image_io.encode_photo(np.ascontiguousarray(longest), form)
    return form


def take(
    part: str, restoration: Restoration, source: Source, *, last: bool
) -> tuple[Array, dict[str, int]]:
    """The samples of a result, and their place: top, left, height, width.

    Parameters
    ----------
    part : str
        'image' or 'fill'.
    restoration : Restoration
        Its fits are ended.
    source : Source
    last : bool
        Whether the source may become the result, which saves a second one in memory.
    """
    restoration.end_fits()
    if part == "image":
        in_place = last and source.photo.pixels.flags.writeable
        whole = restoration.result_in_place() if in_place else restoration.result()
        return whole, _place(Box(0, 0, *whole.shape[:2]))
    fills = restoration.fills()
    if not fills:
        raise ServiceError("internal", "Nothing was filled.")
    box = fills[0].box
    for fill in fills[1:]:
        box = box.union(fill.box)
    return layer(fills, box, source), _place(box)


def layer(fills: list[Fill], box: Box, source: Source) -> Array:
    """Filled pixels with their coverage as alpha, as a layer over the image.

    Returns
    -------
    ndarray
        (height, width, 2 or 4), of the image's sample type. If the image has an alpha channel that
        was restored too, alpha is the product of both.
    """
    pixels = _layer_like(source.photo.pixels, box.height, box.width)
    full = full_scale(pixels.dtype)
    for fill in fills:
        inside = fill.soft_mask > 0
        region = pixels[fill.box.within(box)]
        alpha = fill.soft_mask.astype(np.float64)
        colours = fill.pixels
        if source.has_alpha:
            if source.mask is not None:  # else transparent pixels become opaque
                alpha = alpha * (fill.pixels[:, :, -1].astype(np.float64) / full)
            colours = fill.pixels[:, :, :-1]
        region[:, :, :-1][inside] = colours[inside]
        scaled = alpha[inside] * full
        region[:, :, -1][inside] = scaled if full == 1 else np.rint(scaled)
    return pixels


def encode(samples: Array, form: str, parameters: JobParameters, source: Source) -> Buffer:
    """The bytes of a result.

    Raises
    ------
    OutputError
    """
    if form == "raw":
        ordered = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<"))
        return ordered.reshape(-1).view(np.uint8).data
    return image_io.encode_photo(samples, form, like=_model(parameters.part, source))


def losses(parameters: JobParameters, form: str, source: Source) -> tuple[Note, ...]:
    """Notes about the photo's metadata that the result cannot hold."""
    if form == "raw":
        return ()
    layer = None if parameters.part == "image" else _layer_like(source.photo.pixels, 1, 1)
    return image_io.losses(_model(parameters.part, source), form, layer)


def _model(part: str, source: Source) -> Photo:
    """The photo whose metadata a result has; a layer is no page of the photo's file."""
    if part == "image":
        return source.photo
    metadata = replace(source.photo.metadata, form="", pieces=(), container=None, own=())
    return replace(source.photo, metadata=metadata, extra=None)


def _from_raw(source: Path | bytes, raw: RawImage) -> Array:
    data = source.read_bytes() if isinstance(source, Path) else source
    samples = np.frombuffer(data, dtype=np.dtype(raw.samples).newbyteorder("<"))
    shape = (raw.height, raw.width) if raw.channels == 1 else (raw.height, raw.width, raw.channels)
    if samples.size != np.prod(shape):
        raise InputError(
            f"There are {samples.size} samples, and the declared size has {np.prod(shape)}."
        )
    return samples.astype(raw.samples, copy=False).reshape(shape)


def _layer_like(pixels: Array, height: int, width: int) -> Array:
    """A transparent layer: gray with alpha for gray images, else colour with alpha."""
    gray = pixels.ndim == 2 or pixels.shape[2] <= 2
    return np.zeros((height, width, 2 if gray else 4), dtype=pixels.dtype)


def _place(box: Box) -> dict[str, int]:
    return {"top": box.top, "left": box.left, "height": box.height, "width": box.width}
