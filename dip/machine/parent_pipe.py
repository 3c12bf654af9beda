"""The child's side of the pipe to its parent; `dip.machine.child_process` is the other side."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

from dip.machine.pipe import Frame, receive, send

EXIT_ORPHANED = 3


class ParentPipe:
    """Receives tasks from the parent, and sends it messages.

    When standard input closes, the parent is gone, and this process exits at once, even in the
    middle of a task.

    Attributes
    ----------
    on_message : callable
        Called from another thread with messages for the task that is worked on.
    """

    def __init__(self) -> None:
        source = os.fdopen(os.dup(0), "rb")
        self._sink = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # output that a library prints must not get among the messages
        self.on_message: Callable[[dict[str, Any]], None] = lambda content: None
        self._tasks: queue.Queue[Frame] = queue.Queue()
        self._admitted = threading.Event()
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def tasks(self) -> Iterator[Frame]:
        """Tasks, until none comes for the idle time that the parent gave, in seconds."""
        idle_s = float(sys.argv[1]) if len(sys.argv) > 1 else None
        with suppress(queue.Empty):
            while True:
                yield self._tasks.get(timeout=idle_s)

    def send(self, content: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send a message; 'done' or 'error' ends the task."""
        send(self._sink, content, blobs)

    def wait_for_admission(self, needs_mb: float, device: str) -> None:
        """Announce a fit, and wait until the parent has memory for it."""
        self._admitted.clear()
        self.send({"needs_mb": needs_mb, "device": device})
        self._admitted.wait()

    def _read(self, source: IO[bytes]) -> None:
        while (frame := receive(source)) is not None:
            if "do" in frame.content:
                self._tasks.put(frame)
            elif "admitted" in frame.content:
                self._admitted.set()
            else:
                self.on_message(frame.content)
        os._exit(EXIT_ORPHANED)
