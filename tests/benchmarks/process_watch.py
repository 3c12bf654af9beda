"""The memory and the processor time of a service and of the browser beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass
class Memory:
    """The largest memory so far, in MB: shares of the resident pages.

    Parameters
    ----------
    tab_mb : float
        Of a process of a tab.
    service_mb : float
        Of the service and its worker together.
    """

    tab_mb: float = 0.0
    service_mb: float = 0.0


@contextmanager
def watched_memory(service: psutil.Process) -> Iterator[Memory]:
    ended, most = threading.Event(), Memory()

    def mb(process: psutil.Process) -> float:
        with suppress(psutil.Error):
            return float(process.memory_full_info().pss / 1e6)
        return 0.0

    def watch() -> None:
        while not ended.wait(0.5):  # the figures cost some ms of a processor
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "--type=renderer" in process.cmdline():
                        most.tab_mb = max(most.tab_mb, mb(process))
            family = [service, *service.children(recursive=True)]
            most.service_mb = max(most.service_mb, sum(map(mb, family)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield most
    ended.set()
    thread.join()


def cpu_s(service: psutil.Process) -> float:
    """Seconds of a processor that the service and its worker have used."""
    total = 0.0
    for process in [service, *service.children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
