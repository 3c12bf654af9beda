"""Pictures for a browser; `server.rendering.viewer` makes each in a separate process."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dip.machine.child_process import CHECKOUT, child_environment
from server.errors import ServiceError

Kind = Literal["photo", "mask", "example", "levels", "marks"]

_MAX_PROCESSES = 2
_TIMEOUT_S = 120.0
_QUEUE_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)
_slots = threading.BoundedSemaphore(_MAX_PROCESSES)


@dataclass(frozen=True, kw_only=True)
class Display:
    """A picture for a browser.

    Parameters
    ----------
    path : Path
        JPEG, or PNG where there is transparency; 8 bits, sRGB, upright.
    media_type : str
    width, height : int
        Size of the upright photo, px; the picture may be smaller.
    samples : str
        Of the photo: 'uint8', 'uint16', 'float32'.
    format : str
        Of the photo's file.
    """

    path: Path
    media_type: str
    width: int
    height: int
    samples: str
    format: str

    def about(self) -> bytes:
        """The description of the picture, for a file beside it."""
        about = {name: value for name, value in vars(self).items() if name != "path"}
        return json.dumps(about).encode()

    @classmethod
    def stored(cls, path: Path, about: Path) -> Display:
        """A picture and its description; FileNotFoundError where one of them is missing."""
        if not path.exists():
            raise FileNotFoundError(path)
        return cls(path=path, **json.loads(about.read_bytes()))


def make_display(
    kind: Kind,
    source: Path | None,
    *,
    folder: Path,
    max_pixels: int,
    side: int | None = None,
    timeout_s: float = _TIMEOUT_S,
    **more: Any,
) -> Display:
    """Make a picture of a photo or a mask.

    Parameters
    ----------
    kind : str
        'photo' or 'mask' for `source`; 'example' needs no source. 'levels' of a photo are the
        damage that is found in it without a network, 'marks' the mask of such levels.
    source : Path or None
    folder : Path
        For the picture; the caller removes it.
    max_pixels : int
    side : int, optional
        The maximum side of the picture, px.
    timeout_s : float
    **more
        For 'levels' the layout of raw samples, `raw`, and the `page` of a TIFF; for 'marks' the
        parameters of the mask.

    Raises
    ------
    ServiceError
        An error of the decoder; `image_unreadable` also where the decoder crashed or hung.
    """
    target = folder / secrets.token_hex(16)
    request = {
        "kind": kind,
        "source": None if source is None else str(source),
        "target": str(target),
        "max_pixels": max_pixels,
        "side": side,
        **more,
    }
    try:
        with _slot():
            answer = _run_viewer(request, timeout_s)
        if "error" in answer:
            raise ServiceError(**answer["error"])
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Display(path=target, **answer)


@contextmanager
def _slot() -> Iterator[None]:
    """Limit the number of processes: each needs a core and the memory of a photo."""
    if not _slots.acquire(timeout=_QUEUE_TIMEOUT_S):
        raise ServiceError("too_many_streams", "Too many pictures are being made.")
    try:
        yield
    finally:
        _slots.release()


def _run_viewer(request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "server.rendering.viewer", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(),
            start_new_session=os.name == "posix",  # Ctrl-C must stop the service only
            timeout=timeout_s,
            cwd=CHECKOUT,  # Python imports from there, not from the current folder
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            "image_unreadable", f"The picture was not decoded within {timeout_s:.0f} s."
        ) from None
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    output = done.stderr.decode(errors="replace").strip()
    _log.error("the viewer ended with status %d: %s", done.returncode, output)
    if done.returncode < 0:
        reason = f"was killed by {signal.Signals(-done.returncode).name}"
    else:
        reason = f"ended with status {done.returncode}"
    raise ServiceError("image_unreadable", f"The picture's decoder {reason}.")
