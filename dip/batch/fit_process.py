"""The parent's side of a process that fits photos; `dip.batch.fit_worker` is the other side.

One is held for each photo that is worked on at the same time, on this machine and on each worker
of a cluster alike, and used again for the next photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dip.machine.child_process import ChildProcess

OnStep = Callable[[dict[str, Any]], None]
Admit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One photo to restore.

    Parameters
    ----------
    name, mask_name : str
        What to call the files in messages.
    photo : bytes
        The image file.
    mask : bytes, optional
        Its mask as a file; None takes transparent pixels as the damage.
    settings : dict
        As `dip.config.Settings.from_mapping` takes them.
    file_format : str
        Format of the result: 'png', 'tiff', 'webp' or 'jpeg'.
    limit_s : float, optional
        Stop then, and give figures only: for an estimate.
    """

    name: str
    mask_name: str
    photo: bytes
    mask: bytes | None
    settings: dict[str, Any]
    file_format: str = "png"
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one photo.

    Parameters
    ----------
    figures : dict
        Validation PSNR, iterations, seconds and the like; empty for a failure.
    data : bytes
        The restored photo as a file; empty for a failure.
    sheet : bytes
        Before and after, as a JPEG.
    error : dict, optional
        Code, message and hint, where it failed.
    """

    figures: dict[str, Any]
    data: bytes = b""
    sheet: bytes = b""
    error: dict[str, str] | None = None


class FitProcess(ChildProcess):
    """One that fits photos.

    Parameters
    ----------
    environment, idle_s
        As for `ChildProcess`.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, idle_s: float | None = None
    ) -> None:
        super().__init__("dip.batch.fit_worker", environment, idle_s)

    def look(self, files: Sequence[str]) -> list[dict[str, Any]]:
        """What each of these files claims to be: width, height and has_alpha, or an error.

        Raises
        ------
        ProcessDied
            One of them made it crash.
        """
        self.send({"do": "look", "files": list(files)})
        looked: list[dict[str, Any]] = self.receive_or_kill().content["looked"]
        return looked

    def fit(self, task: Task, *, admit: Admit, on_step: OnStep) -> Outcome:
        """Restore one photo.

        Parameters
        ----------
        task : Task
        admit : callable
            Is told what the fit needs (`needs_mb`, `device`), and returns when it may begin.
        on_step : callable
            Is told twice a second how far it is.

        Returns
        -------
        Outcome
            Also for whatever is wrong with the photo.

        Raises
        ------
        ProcessDied
            It crashed, was killed, or showed no sign of life for an hour.
        """
        blobs = [task.photo] if task.mask is None else [task.photo, task.mask]
        asked = {
            "do": "fit",
            "name": task.name,
            "mask_name": task.mask_name,
            "settings": task.settings,
            "file_format": task.file_format,
            "limit_s": task.limit_s,
        }
        self.send(asked, blobs)
        while True:
            frame = self.receive_or_kill()
            says = frame.content
            if "needs_mb" in says:
                admit(says)
                self.send({"go": True})
            elif "failed" in says:
                return Outcome(figures={}, error=says["failed"])
            elif "done" in says:
                data, sheet = frame.blobs or (b"", b"")
                return Outcome(figures=says["done"], data=data, sheet=sheet)
            else:
                on_step(says)
