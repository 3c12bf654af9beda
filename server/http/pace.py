"""The pace of refusals: however often clients without a token begin again, they cost little."""

from __future__ import annotations

import asyncio
import time

BURST = 20
"""So many refusals follow each other at once: a page whose cookie is too old has a few."""

EVERY_S = 0.02
"""Then one refusal in this time: about a tenth of a core, at 2 ms for each connection."""

MAX_WAITING = 100
"""Refusals that wait for their turn; more connections are closed without an answer."""


class RefusalPace:
    """Gives a turn to each refusal, in the order in which they come; for one event loop.

    A client that is refused begins again with another connection. While it waits, nothing is read
    from it.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # first come, first served
        self._waiting = 0
        self._next = 0.0  # on the clock of time.monotonic

    async def turn(self) -> None:
        """Wait for the turn of a refusal.

        Raises
        ------
        ConnectionAbortedError
            Too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise ConnectionAbortedError
        self._waiting += 1
        try:
            async with self._lock:
                now = time.monotonic()
                self._next = max(self._next, now - BURST * EVERY_S) + EVERY_S
                if self._next > now:
                    await asyncio.sleep(self._next - now)
        finally:
            self._waiting -= 1
