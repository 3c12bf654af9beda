"""The state of the workers, as the HTTP side asks for it."""

from __future__ import annotations

from typing import Protocol

Problem = dict[str, str]
"""Code, message and hint, as `GET /v1/health` shows them."""


class WorkerStatus(Protocol):
    """The questions of the HTTP side to the dispatcher."""

    def wake(self) -> None:
        """Start a worker if none runs: there may be work."""

    def state(self) -> str:
        """'stopped', 'starting', 'idle', 'busy' or 'failing'."""

    def trouble(self) -> Problem | None:
        """The reason why no worker runs although one should, or None."""


class NoWorker:
    """A service without workers: jobs are accepted and wait."""

    def wake(self) -> None:
        pass

    def state(self) -> str:
        return "stopped"

    def trouble(self) -> Problem | None:
        return None
