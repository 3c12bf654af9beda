"""What the two ends of a pipe say to each other: a line of JSON, then bytes as they are.

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
    says : dict
        Plain JSON.
    blobs : tuple of bytes
        Image files, in an order that both ends know.
    """

    says: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


def send(file: IO[bytes], says: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write a message, and see it off."""
    head = json.dumps({"says": says, "blobs": [len(blob) for blob in blobs]})
    file.write(head.encode("ascii") + b"\n")
    for blob in blobs:
        file.write(blob)
    file.flush()


def receive(file: IO[bytes]) -> Frame | None:
    """Read a message; None where the other end is gone, even in the middle of one."""
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
    return Frame(head["says"], tuple(blobs))
