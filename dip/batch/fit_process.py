"""The parent's side of a process that fits photos; `dip.batch.fit_worker` is the child's side.

Each photo that is fitted at the same time needs one such process, on this machine as on the
workers of a cluster. A process fits one photo after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dip.machine.child_process import ChildProcess
from dip.machine.pipe import Frame

OnStep = Callable[[dict[str, Any]], None]
"""Is called twice a second with iteration, iterations and validation_psnr_db."""

Admit = Callable[[dict[str, Any]], None]
"""Is called with needs_mb and device; returns when the fit may begin."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One photo to restore.

    Parameters
    ----------
    name, mask_name : str
        Names of the files, for messages.
    photo : bytes
        The image file.
    mask : bytes, optional
        The mask file; None takes transparent pixels as the damage.
    settings : dict
        As `dip.config.Settings.from_mapping` takes them.
    file_format : str
        Format of the result: 'png', 'tiff', 'webp' or 'jpeg'.
    page : str, optional
        Of a TIFF file, as `dip.config.PAGE`.
    mask_confirmed : bool
        Whether the mask may mark most of the photo.
    limit_s : float, optional
        Stop after so many seconds and return figures only: for an estimate.
    """

    name: str
    mask_name: str
    photo: bytes
    mask: bytes | None
    settings: dict[str, Any]
    file_format: str = "png"
    page: str | None = None
    mask_confirmed: bool = False
    limit_s: float | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The message to the process, without the files."""
        return {
            "do": "fit",
            "name": self.name,
            "mask_name": self.mask_name,
            "settings": self.settings,
            "file_format": self.file_format,
            "page": self.page,
            "mask_confirmed": self.mask_confirmed,
            "limit_s": self.limit_s,
        }

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The files."""
        return (self.photo,) if self.mask is None else (self.photo, self.mask)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one task: a restored photo or an error.

    Parameters
    ----------
    figures : dict
        Validation PSNR (dB), iterations, seconds and more; empty for a failure.
    data : bytes
        The restored photo, as a file; empty for a failure.
    before_after : bytes
        Before and after side by side, as a JPEG file.
    error : dict, optional
        Code, message and hint of a failure.
    """

    figures: dict[str, Any]
    data: bytes = b""
    before_after: bytes = b""
    error: dict[str, str] | None = None

    @classmethod
    def from_reply(cls, frame: Frame) -> Outcome:
        """The outcome that the last message of the process describes."""
        if "error" in frame.content:
            return cls(figures={}, error=frame.content["error"])
        data, before_after = frame.blobs or (b"", b"")
        return cls(figures=frame.content["done"], data=data, before_after=before_after)


class FitProcess(ChildProcess):
    """A process that fits photos.

    Parameters
    ----------
    environment
        As for `ChildProcess`.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        super().__init__("dip.batch.fit_worker", environment)

    def read_headers(self, files: Sequence[str]) -> list[dict[str, Any]]:
        """Width, height and has_alpha of each image file, or its error, without decoding pixels.

        Raises
        ------
        ProcessDied
            One of the files crashed the process.
        """
        reply = self.run_task({"do": "read_headers", "files": list(files)})
        headers: list[dict[str, Any]] = reply.content["done"]
        return headers

    def fit(self, task: Task, *, admit: Admit, on_step: OnStep) -> Outcome:
        """Restore one photo.

        Parameters
        ----------
        task : Task
        admit : Admit
        on_step : OnStep

        Returns
        -------
        Outcome
            An error in the photo, the mask or the settings is an outcome too.

        Raises
        ------
        ProcessDied
            The process crashed, was killed, or sent no message for an hour.
        """
        reply = self.run_task(
            task.content,
            task.blobs,
            admit=admit,
            on_event=lambda frame: on_step(frame.content),
        )
        return Outcome.from_reply(reply)
