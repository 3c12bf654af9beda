"""Pictures that a browser can show; `server.rendering.viewer` makes each in its own process."""

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
from server.jobs.files import disk_full_is_an_error

What = Literal["photo", "mask", "example"]

_AT_ONCE = 2
_TIMEOUT_S = 120.0
_PATIENCE_S = 60.0

_log = logging.getLogger(__name__)
_places = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class Display:
    """A picture to look at.

    Parameters
    ----------
    data : bytes
        JPEG, or PNG where there is transparency; 8 bits, sRGB, upright.
    media_type : str
    width, height : int
        Of the photo itself, upright, px; the picture may be smaller.
    samples : str
        Of the photo: 'uint8', 'uint16', 'float32'.
    format : str
        Of the photo's file.
    """

    data: bytes
    media_type: str
    width: int
    height: int
    samples: str
    format: str

    def as_bytes(self) -> bytes:
        """All of it in one file."""
        about = {name: value for name, value in vars(self).items() if name != "data"}
        return json.dumps(about).encode() + b"\n" + self.data

    @classmethod
    def from_bytes(cls, kept: bytes) -> Display:
        about, _, data = kept.partition(b"\n")
        return cls(data=data, **json.loads(about))


def make_display(
    what: What,
    source: Path | None,
    *,
    folder: Path,
    max_pixels: int,
    side: int | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Display:
    """Make a picture of a file.

    Parameters
    ----------
    what : str
        'photo' or 'mask', of `source`; 'example' needs none.
    source : Path or None
    folder : Path
        Where the picture may lie for a moment.
    max_pixels : int
    side : int, optional
        The longest that the picture may have, px.
    timeout_s : float

    Raises
    ------
    ServiceError
        What the decoder says of the file; `image_unreadable` too where it crashed or hung.
    """
    target = folder / secrets.token_hex(16)
    wanted = {
        "what": what,
        "source": None if source is None else str(source),
        "target": str(target),
        "max_pixels": max_pixels,
        "side": side,
    }
    try:
        with _place():
            answer = _ask(wanted, timeout_s)
        if "error" in answer:
            raise ServiceError(**answer["error"])
        with disk_full_is_an_error():
            return Display(data=target.read_bytes(), **answer)
    finally:
        target.unlink(missing_ok=True)


@contextmanager
def _place() -> Iterator[None]:
    """Each takes a core and the memory of a photo: a few at a time."""
    if not _places.acquire(timeout=_PATIENCE_S):
        raise ServiceError("too_many_streams", "Too many pictures are wanted.")
    try:
        yield
    finally:
        _places.release()


def _ask(wanted: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "server.rendering.viewer", json.dumps(wanted)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(),
            start_new_session=os.name == "posix",  # Ctrl-C is for the service
            timeout=timeout_s,
            cwd=CHECKOUT,  # Python looks there first: not into whatever folder we were started in
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            "image_unreadable", f"The picture was not decoded within {timeout_s:.0f} s."
        ) from None
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    said = done.stderr.decode(errors="replace").strip()
    _log.error("the viewer ended with status %d: %s", done.returncode, said)
    if done.returncode < 0:
        how = f"was killed by {signal.Signals(-done.returncode).name}"
    else:
        how = f"ended with status {done.returncode}"
    raise ServiceError("image_unreadable", f"The picture's decoder {how}.")
