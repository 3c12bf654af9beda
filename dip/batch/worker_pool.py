"""Working on a batch on this machine: processes beside each other, within its memory.

Each fit uses one thread unless told otherwise, and as many run beside each other as there are
cores: small fits gain nothing from a second thread, and the result does not depend on how many
there are, since the number of threads decides about the order of sums. Where there are GPUs, each
has one process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dip.batch.files import ResultWriter, load_photo
from dip.batch.fit_process import FitProcess, Outcome, Task
from dip.batch.pairing import Item
from dip.errors import InputError, ProcessDied
from dip.machine.device import cores, find_gpus
from dip.machine.memory import USABLE_SHARE, free_ram_mb

MOST_ATTEMPTS = 2
SMALLEST_PROCESS_MB = 700
"""A process with torch and the smallest fit."""


class Stopped(Exception):
    """The batch is being ended; what was in hand is dropped."""


class MemoryShare:
    """Memory that fits beside each other share: first come, first served.

    Parameters
    ----------
    budget_mb : float
    """

    def __init__(self, budget_mb: float) -> None:
        self.budget_mb = budget_mb
        self._used_mb = 0.0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def take(self, needs_mb: float, stopping: threading.Event) -> float:
        """Wait until there is room, and take it; whatever is needed, where nobody else has any.

        Returns
        -------
        float
            What to give back.

        Raises
        ------
        Stopped
        """
        me = object()
        with self._changed:
            self._waiting.append(me)
            try:
                while self._waiting[0] is not me or not self.has_room(needs_mb):
                    if stopping.is_set():
                        raise Stopped
                    self._changed.wait(0.2)
                self._used_mb += needs_mb
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()
        return needs_mb

    def give_back(self, taken_mb: float) -> None:
        with self._changed:
            self._used_mb = max(0.0, self._used_mb - taken_mb)
            self._changed.notify_all()

    def has_room(self, needs_mb: float) -> bool:
        return self._used_mb <= 0 or self._used_mb + needs_mb <= self.budget_mb


class WorkerPool:
    """The processes of one machine.

    Parameters
    ----------
    workers : int, optional
        How many; one for each GPU, or else one for each so many cores as a fit has threads.
    settings : dict
        Of every fit; 'device', 'threads' and 'max_memory_mb' decide about the pool.

    Attributes
    ----------
    settings : dict
        With the limits that the pool sets.
    """

    def __init__(self, workers: int | None, settings: dict[str, Any]) -> None:
        gpus = [] if settings["device"] in ("cpu", "mps") else find_gpus()
        budget_mb = settings["max_memory_mb"] or USABLE_SHARE * free_ram_mb()
        threads = settings["threads"] or 1
        self.on_gpu = bool(gpus) or settings["device"] in ("cuda", "mps")
        if self.on_gpu:
            sensible = max(1, len(gpus))
            self.settings = {**settings, "threads": threads}
        else:
            sensible = min(max(1, cores() // threads), max(1, int(budget_mb / SMALLEST_PROCESS_MB)))
            # Said to each fit, or the tiles of a large one would depend on what others leave free.
            limit_mb = max(64, int(budget_mb))
            self.settings = {**settings, "threads": threads, "max_memory_mb": limit_mb}
        self.size = workers or sensible
        self._memory = MemoryShare(budget_mb)
        self._environments = [_environment(number, gpus) for number in range(self.size)]
        self._stopping = threading.Event()
        self._processes: dict[int, FitProcess] = {}
        self._lock = threading.Lock()

    def run(self, items: Iterable[Item], writer: ResultWriter) -> None:
        """Work on all of them; returns when all are done, or after `stop`.

        Raises
        ------
        OutputError
            Nothing can be written any more.
        """
        self._in_threads(self._work, _shared(items), writer)

    def look(self, files: Sequence[str], chunk: int = 50) -> dict[str, dict[str, Any]]:
        """What files claim to be, read in the processes: a file that crashes one costs itself."""
        found: dict[str, dict[str, Any]] = {}
        chunks = [files[start : start + chunk] for start in range(0, len(files), chunk)]
        self._in_threads(self._look, _shared(chunks), found)
        return found

    def time(self, tasks: Iterable[Task]) -> list[Outcome]:
        """Try tasks that have a limit of time, all processes at once."""
        outcomes: list[Outcome] = []
        self._in_threads(self._time, _shared(tasks), outcomes)
        return outcomes

    def stop(self) -> None:
        """End all work at once."""
        self._stopping.set()
        with self._lock:
            for process in self._processes.values():
                process.kill()

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            for process in self._processes.values():
                process.close()
            self._processes.clear()

    # --- The threads, one for each process ------------------------------------------------------

    def _in_threads(self, work: Any, *given: Any) -> None:
        """Do some work in each process, wait for all, and raise what one of them raised."""
        errors: list[BaseException] = []

        def guarded(number: int) -> None:
            try:
                work(number, *given)
            except Stopped:
                pass
            except BaseException as error:
                errors.append(error)
                self.stop()

        threads = [
            threading.Thread(target=guarded, args=(number,), daemon=True)
            for number in range(self.size)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # a wait without end would keep Ctrl-C waiting
        finally:
            if any(thread.is_alive() for thread in threads):
                self.stop()
                for thread in threads:
                    thread.join()
        if errors:
            raise errors[0]

    def _work(self, number: int, items: Iterator[Item], writer: ResultWriter) -> None:
        me = str(number + 1)
        for item in items:
            if self._stopping.is_set():
                raise Stopped
            writer.progress.begin(me, item.photo)
            began = time.time()
            try:
                loaded = load_photo(writer.folder, item)
            except InputError as error:
                writer.write_failure(item, error.as_dict(), began=began)
            else:
                outcome = self._restore(number, loaded.task(writer.settings), writer)
                writer.write(item, loaded.fingerprint, outcome, began=loaded.began)
            writer.progress.set_idle(me)

    def _restore(self, number: int, task: Task, writer: ResultWriter) -> Outcome:
        """One photo; again, and alone, where its process died."""
        me = str(number + 1)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            with self._room(number, writer, alone=attempt > 1) as admit:
                try:
                    return self._process(number).fit(
                        task, admit=admit, on_step=lambda says: writer.progress.update(me, says)
                    )
                except ProcessDied as error:
                    if self._stopping.is_set():
                        raise Stopped from None
                    death = error.as_dict()
        return Outcome(figures={}, error=death)

    @contextmanager
    def _room(self, number: int, writer: ResultWriter, *, alone: bool) -> Iterator[Any]:
        taken = 0.0

        def admit(needs: Mapping[str, Any]) -> None:
            nonlocal taken
            if self.on_gpu and not needs["device"].startswith("cpu"):
                return
            mb = max(needs["needs_mb"], self._memory.budget_mb if alone else 0)
            if not self._memory.has_room(mb):
                writer.progress.wait_for(str(number + 1), "memory")
                if not alone:
                    writer.progress.note_once(
                        f"memory for fewer than {self.size} fits at once: some wait. "
                        "--threads 2 gives each fit two cores instead"
                    )
            taken = self._memory.take(mb, self._stopping)

        try:
            yield admit
        finally:
            self._memory.give_back(taken)

    def _look(
        self, number: int, chunks: Iterator[Sequence[str]], found: dict[str, dict[str, Any]]
    ) -> None:
        for chunk in chunks:
            for part in (chunk, *([each] for each in chunk)):
                try:
                    looked = self._process(number).look(part)
                except ProcessDied as error:
                    if self._stopping.is_set():
                        raise Stopped from None
                    looked = [{"error": error.as_dict()}]
                    if len(part) > 1:
                        continue  # one of them is to blame: each by itself
                found.update(zip(part, looked, strict=True))
                if part is chunk:
                    break

    def _time(self, number: int, tasks: Iterator[Task], outcomes: list[Outcome]) -> None:
        for task in tasks:
            try:
                outcome = self._process(number).fit(
                    task, admit=lambda needs: None, on_step=lambda says: None
                )
            except ProcessDied as error:
                if self._stopping.is_set():
                    raise Stopped from None
                outcome = Outcome(figures={}, error=error.as_dict())
            outcomes.append(outcome)

    def _process(self, number: int) -> FitProcess:
        """The process of a thread, started where there is none any more."""
        with self._lock:
            if self._stopping.is_set():
                raise Stopped
            process = self._processes.get(number)
            if process is not None and process.has_ended():
                process.close()
                process = None
            if process is None:
                process = FitProcess(self._environments[number])
                self._processes[number] = process
            return process


def _shared(things: Iterable[Any]) -> Iterator[Any]:
    """An iterator that several threads may take from."""
    lock = threading.Lock()
    inner = iter(things)
    end = object()

    def take() -> Any:
        with lock:
            return next(inner, end)

    return iter(take, end)


def _environment(number: int, gpus: Sequence[str]) -> dict[str, str]:
    if not gpus:
        return {}
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
