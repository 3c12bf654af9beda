"""The messages of client and service: a form to the service; pictures, events and errors back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from .errors import Refused

Pixels = bytes | bytearray | memoryview | Path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Event:
    """An event of a job: 'progress', 'preview', 'done' or 'error'."""

    id: int
    kind: str
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        """Whether this is the job's last event."""
        return self.kind in ("done", "error")


@dataclass(frozen=True)
class Picture:
    """A result or a preview.

    Parameters
    ----------
    data : bytes
        An image file, or plain samples.
    media_type : str
    about : dict
        The values of the Dip-* headers: top, left, height, width, channels, samples, network ...
    """

    data: bytes
    media_type: str
    about: dict[str, Any]

    def save(self, path: Path | str) -> None:
        """Write the picture to a file, completely or not at all."""
        path = Path(path)
        beside = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            beside.write_bytes(self.data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


class Form:
    """A multipart body, sent without a copy of the pixels.

    Parameters
    ----------
    fields : dict
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._boundary = secrets.token_hex(16)
        self._pieces: list[memoryview] = []
        for name, value in fields.items():
            self._add(f'form-data; name="{name}"', str(value).encode())
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    def add_file(self, name: str, pixels: Pixels, filename: str = "") -> None:
        """Add a file; by default it has the name of its path, or that of the field."""
        data = pixels.read_bytes() if isinstance(pixels, Path) else pixels
        filename = filename or (pixels.name if isinstance(pixels, Path) else name)
        # As browsers do: https://html.spec.whatwg.org/#multipart-form-data
        for character, escaped in (('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
            filename = filename.replace(character, escaped)
        self._add(f'form-data; name="{name}"; filename="{filename}"', data)

    def _add(self, disposition: str, data: bytes | bytearray | memoryview) -> None:
        head = f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\n\r\n"
        for piece in (head.encode(errors="replace"), data, b"\r\n"):
            self._pieces.append(memoryview(piece).cast("B"))

    def _all(self) -> list[memoryview]:
        return [*self._pieces, memoryview(f"--{self._boundary}--\r\n".encode())]

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._all())

    def __iter__(self) -> Iterator[memoryview]:
        for piece in self._all():
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]


def picture_from(response: requests.Response) -> Picture:
    """The picture in a response."""
    about: dict[str, Any] = {}
    for name, value in response.headers.items():
        if name.lower().startswith("dip-"):
            about[name[4:].lower()] = int(value) if value.isdigit() else value
    return Picture(response.content, response.headers.get("Content-Type", ""), about)


def event_from(block: bytes) -> Event | None:
    """The event in one block of an event stream; None for a heartbeat."""
    fields: dict[str, str] = {}
    for line in block.decode().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    if "data" not in fields:
        return None
    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))


def refusal_from(response: requests.Response) -> Refused:
    """The error in a response."""
    try:
        error = response.json()["error"]
        return Refused(response.status_code, error["code"], error["message"], error["hint"])
    except (ValueError, KeyError, TypeError):
        return Refused(
            response.status_code,
            "bad_answer",
            f"The service answered with HTTP status {response.status_code} and no explanation.",
        )
