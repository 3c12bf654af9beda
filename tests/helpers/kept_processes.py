"""Processes that fit, kept from one batch to the next: each start imports torch, for seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from dip.batch.fit_process import FitProcess
from dip.machine.pipe import Frame

MOST = 2


class KeptProcesses:
    """The processes that no batch uses at the moment, by the environment they started in."""

    def __init__(self) -> None:
        self._idle: list[tuple[dict[str, str], KeptProcess]] = []

    def take(self, environment: Mapping[str, str] | None = None) -> FitProcess:
        """A process that was started in the present environment, or a new one."""
        wanted = _present(environment)
        for number, (started_in, process) in enumerate(self._idle):
            if started_in == wanted and not process.has_ended():
                del self._idle[number]
                return process
        return KeptProcess(environment, lambda process: self._put_back(wanted, process))

    def close(self) -> None:
        for _, process in self._idle:
            process.end()

    def _put_back(self, started_in: dict[str, str], process: KeptProcess) -> None:
        self._idle.append((started_in, process))
        while len(self._idle) > MOST:
            self._idle.pop(0)[1].end()


class KeptProcess(FitProcess):
    """A process that outlives its batch, unless it is stopped in the middle of a photo."""

    def __init__(
        self, environment: Mapping[str, str] | None, put_back: Callable[[KeptProcess], None]
    ) -> None:
        super().__init__(environment)
        self._put_back, self._busy = put_back, False

    def run_task(self, *given: Any, **options: Any) -> Frame:
        self._busy = True
        last = super().run_task(*given, **options)
        self._busy = False
        return last

    def kill(self) -> None:
        if self._busy:
            super().kill()

    def close(self) -> None:
        if self._busy or self.has_ended():
            super().close()
        else:
            self._put_back(self)

    def end(self) -> None:
        super().kill()
        super().close()


def _present(environment: Mapping[str, str] | None) -> dict[str, str]:
    present = {**os.environ, **(environment or {})}
    present.pop("PYTEST_CURRENT_TEST", None)
    return present
