"""Messages through a pipe between two processes: a line of JSON, then raw bytes.

Images travel as bytes: nothing here unpickles anything, and neither end needs the other's disk.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Frame:
    """One message.

    Parameters
    ----------
    content : dict
        Plain JSON.
    blobs : tuple of bytes
        Image files, in an order that both ends know.
    """

    content: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


def send(file: IO[bytes], content: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write a message, and flush the pipe."""
    head = json.dumps({"content": content, "blobs": [len(blob) for blob in blobs]})
    file.write(head.encode("ascii") + b"\n")
    for blob in blobs:
        file.write(blob)
    file.flush()


def receive(file: IO[bytes]) -> Frame | None:
    """Read a message; None where the pipe ends, even in the middle of a message."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    blobs = []
    for length in head["blobs"]:
        blob = file.read(length)
        if len(blob) < length:
            return None
        blobs.append(blob)
    return Frame(head["content"], tuple(blobs))
