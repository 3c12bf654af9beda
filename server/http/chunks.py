"""The sizes of a body's chunks, judged when they are announced."""

from __future__ import annotations

import re

from server.errors import ServiceError

FREE_CHUNKS = 1000
MEAN_CHUNK_BYTES = 512
"""Chunks of a body, beyond the first `FREE_CHUNKS`, have at least this mean size."""

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,20}")
_LINE_END_BYTES = 2


class ChunkSizes:
    """Reads the sizes of chunks beside h11, which tells of a chunk when its first byte arrives.

    Where a line is malformed, the reading ends: h11 refuses it.

    Parameters
    ----------
    most : int
        The largest body, bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = bytearray()  # of a size, as far as it was received
        self._left = 0  # bytes of the current chunk that were not received
        self._total = self._count = 0
        self._ended = False

    def read(self, data: bytes) -> None:
        """Read the next bytes of a body.

        Raises
        ------
        ServiceError
            `body_too_large`; `bad_request` where the chunks are too small.
        """
        at = 0
        while at < len(data) and not self._ended:
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
                continue
            end = data.find(b"\n", at) + 1 or len(data)
            self._line += data[at:end]
            at = end
            if self._line.endswith(b"\n"):
                self._begin(bytes(self._line))
                self._line.clear()

    def _begin(self, line: bytes) -> None:
        digits = _SIZE.match(line)
        size = int(digits[0], 16) if digits else 0
        self._ended = size == 0  # the last chunk, or a malformed one
        self._left = size + _LINE_END_BYTES
        self._total += size
        self._count += 1
        if self._total > self._most:
            raise ServiceError("body_too_large", f"The body has more than {self._most} bytes.")
        if self._count > FREE_CHUNKS + self._total / MEAN_CHUNK_BYTES:
            raise ServiceError(
                "bad_request",
                "The chunks of the body are too small.",
                f"Send chunks of {MEAN_CHUNK_BYTES} bytes or more.",
            )
