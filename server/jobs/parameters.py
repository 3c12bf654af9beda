"""The parameters of a submission, as frozen dataclasses that check themselves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from dip.config import ALL_PAGES, NETWORKS, Settings
from dip.errors import DipError
from server.errors import ServiceError

Task = Literal["restore", "detect"]
Samples = Literal["uint8", "uint16", "float32"]
MAX_DECODED_BYTES = 1_500_000_000
"""Largest image of raw samples; the same as for files, `dip.image_io.Limits.memory`."""

SAMPLE_BYTES: dict[str, int] = {"uint8": 1, "uint16": 2, "float32": 4}
PARTS = ("image", "fill")
FORMATS = ("auto", "png", "tiff", "webp", "jpeg", "raw")
MEDIA_TYPES = {
    "png": "image/png",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "raw": "application/octet-stream",
}
BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """The layout of raw samples: row-first, channels interleaved, little-endian, without padding.

    Parameters
    ----------
    width, height : int
        px
    channels : int
        1 to 4; the last of 2 or 4 is alpha.
    samples : str
        'uint8', 'uint16' or 'float32'.
    """

    width: int
    height: int
    channels: int
    samples: Samples

    @property
    def bytes(self) -> int:
        return self.width * self.height * self.channels * SAMPLE_BYTES[self.samples]


@dataclass(frozen=True, kw_only=True)
class JobParameters:
    """The parameters of a job.

    Parameters
    ----------
    task : str
        'restore', or 'detect' to find the damage; of the settings a detection uses the seed alone.
    networks : tuple of str
        One network, or two to compare.
    settings : Settings
        For `dip.restore`; its `network` is the first of `networks`.
    part : str
        'image' for the whole image, 'fill' for the filled pixels with coverage as alpha.
    format : str
        Of the result; 'auto' is the image's own format where that is lossless, else PNG.
    raw : RawImage, optional
        The layout of an image of raw samples.
    mask_samples : str, optional
        The samples of a raw mask, which has the image's size.
    has_mask : bool
        Whether there is a mask; without one the transparent pixels are the damage.
    has_infrared : bool
        Whether a detection has an infrared plane of its own.
    ignore_infrared : bool
        Whether a detection leaves out the infrared plane in the file of the photo.
    mask_confirmed : bool
        Whether the mask may mark most of the image.
    page : str, optional
        Of a TIFF file, as `dip.config.PAGE`.
    photo_name : str
        The name of the photo's file, for people; '' if the client gave none.
    """

    task: Task = "restore"
    networks: tuple[str, ...] = ("unet",)
    settings: Settings
    part: Literal["image", "fill"] = "image"
    format: str = "auto"
    raw: RawImage | None = None
    mask_samples: Samples | None = None
    has_mask: bool = False
    has_infrared: bool = False
    ignore_infrared: bool = False
    mask_confirmed: bool = False
    page: str | None = None
    photo_name: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that were submitted."""
        given = {"image": True, "mask": self.has_mask, "infrared": self.has_infrared}
        return tuple(name for name, there in given.items() if there)

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> JobParameters:
        # Jobs without the field were accepted before masks had to be confirmed.
        values = {"mask_confirmed": True, **json.loads(text)}
        values["networks"] = tuple(values["networks"])
        values["settings"] = Settings(**values["settings"])
        if values["raw"] is not None:
            values["raw"] = RawImage(**values["raw"])
        return cls(**values)

    def public(self) -> dict[str, Any]:
        """The parameters as the API shows them: flat, with the names of the form."""
        settings = asdict(self.settings)
        settings["network"] = BOTH if len(self.networks) > 1 else self.networks[0]
        return {**settings, "result": self.part, "format": self.format, "page": self.page}


_SETTINGS = tuple(field.name for field in fields(Settings) if field.name != "network")


def parameters_from(
    form: dict[str, Any],
    *,
    has_mask: bool,
    has_infrared: bool = False,
    photo_name: str = "",
    task: Task = "restore",
) -> JobParameters:
    """Create parameters from the validated fields of a form.

    Raises
    ------
    ServiceError
        `parameter_invalid`: the fields contradict each other, or the engine refuses one.
    """
    network = form.get("network", Settings.network)
    networks = tuple(NETWORKS) if network == BOTH else (network,)
    chosen = {name: form[name] for name in _SETTINGS if form.get(name) is not None}
    try:
        settings = Settings(network=networks[0], **chosen)
    except DipError as error:
        raise ServiceError("parameter_invalid", error.message, error.hint) from error
    part, file_format = form.get("result", "image"), form.get("format", "auto")
    if part == "fill" and file_format == "jpeg":
        raise ServiceError(
            "parameter_invalid",
            "JPEG cannot hold a fill: it has no transparency.",
            "Choose png, tiff, webp or raw.",
        )
    raw = _raw_from(form)
    mask_samples = form.get("mask_samples")
    if mask_samples is not None and not has_mask:
        raise ServiceError("parameter_invalid", "mask_samples is given, but no mask.")
    if mask_samples is not None and raw is None:
        raise ServiceError(
            "parameter_invalid",
            "mask_samples is given, but the image is a file.",
            "A raw mask needs a raw image: give width, height, channels and samples, too.",
        )
    ignore_infrared = form.get("ignore_infrared", False)
    if ignore_infrared and has_infrared:
        raise ServiceError(
            "parameter_invalid",
            "infrared is given, and ignore_infrared, too.",
            "Leave one of them out.",
        )
    page = form.get("page")
    if page is not None and raw is not None:
        raise ServiceError("parameter_invalid", "page is given, but the image is raw samples.")
    if page == ALL_PAGES and part == "fill":
        raise ServiceError(
            "parameter_invalid", "A fill belongs to one page.", "Name the page by its number."
        )
    return JobParameters(
        task=task,
        networks=networks,
        settings=settings,
        part=part,
        format=file_format,
        raw=raw,
        mask_samples=mask_samples,
        has_mask=has_mask,
        has_infrared=has_infrared,
        ignore_infrared=ignore_infrared,
        mask_confirmed=form.get("mask_confirmed", False),
        page=page,
        photo_name=photo_name,
    )


def _raw_from(form: dict[str, Any]) -> RawImage | None:
    names = ("width", "height", "channels", "samples")
    given = [name for name in names if form.get(name) is not None]
    if not given:
        return None
    missing = [name for name in names if name not in given]
    if missing:
        raise ServiceError(
            "parameter_invalid",
            f"{', '.join(given)} declare raw samples, but {', '.join(missing)} is missing.",
            "Give width, height, channels and samples, or none of them for an image file.",
        )
    return RawImage(**{name: form[name] for name in names})
