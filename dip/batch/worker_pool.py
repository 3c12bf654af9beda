"""A batch on this machine: one process per core or per GPU, within the memory of the machine.

Each fit uses one thread by default, and as many fits run at the same time as there are cores: a
small fit gains nothing from a second thread. The number of threads decides the order in which
numbers are summed; with one thread, a result does not depend on the number of cores. Where there
are GPUs, each has one process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dip.batch.files import ResultRefused, ResultWriter, load_photo
from dip.batch.fit_process import Admit, FitProcess, Outcome, Task
from dip.batch.pairing import Item
from dip.errors import InputError, ProcessDied
from dip.machine.device import cores, find_gpus
from dip.machine.memory import USABLE_SHARE, free_ram_mb

MAX_ATTEMPTS = 2
SMALLEST_PROCESS_MB = 700
"""Memory of a process with torch and the smallest fit."""


class Stopped(Exception):
    """The batch is ending; unfinished photos are dropped."""


class MemoryShare:
    """The memory that fits in parallel share: first come, first served.

    Parameters
    ----------
    budget_mb : float
    """

    def __init__(self, budget_mb: float) -> None:
        self.budget_mb = budget_mb
        self._used_mb = 0.0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def acquire(self, needs_mb: float, stopping: threading.Event) -> float:
        """Wait until so much memory is free, and reserve it.

        A fit that needs more than the whole budget runs alone.

        Returns
        -------
        float
            The amount to release, MB.

        Raises
        ------
        Stopped
            `stopping` was set.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or not self.has_room(needs_mb):
                    if stopping.is_set():
                        raise Stopped
                    self._changed.wait(0.2)
                self._used_mb += needs_mb
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        return needs_mb

    def release(self, acquired_mb: float) -> None:
        with self._changed:
            self._used_mb = max(0.0, self._used_mb - acquired_mb)
            self._changed.notify_all()

    def has_room(self, needs_mb: float) -> bool:
        return self._used_mb <= 0 or self._used_mb + needs_mb <= self.budget_mb


class WorkerPool:
    """The processes of one machine.

    Parameters
    ----------
    workers : int, optional
        Number of processes. By default one for each GPU; without a GPU the number of cores
        divided by the threads of a fit.
    settings : dict
        Settings of every fit; 'device', 'threads' and 'max_memory_mb' determine the pool.

    Attributes
    ----------
    settings : dict
        The settings with the limits of this pool.
    """

    def __init__(self, workers: int | None, settings: dict[str, Any]) -> None:
        gpus = [] if settings["device"] in ("cpu", "mps") else find_gpus()
        budget_mb = settings["max_memory_mb"] or USABLE_SHARE * free_ram_mb()
        threads = settings["threads"] or 1
        self.on_gpu = bool(gpus) or settings["device"] in ("cuda", "mps")
        if self.on_gpu:
            default_size = max(1, len(gpus))
            self.settings = {**settings, "threads": threads}
        else:
            most_by_memory = max(1, int(budget_mb / SMALLEST_PROCESS_MB))
            default_size = min(max(1, cores() // threads), most_by_memory)
            # The same limit for every fit: the tiles of a large photo depend on it.
            limit_mb = max(64, int(budget_mb))
            self.settings = {**settings, "threads": threads, "max_memory_mb": limit_mb}
        self.size = workers or default_size
        self._memory = MemoryShare(budget_mb)
        self._environments = [_environment(number, gpus) for number in range(self.size)]
        self._stopping = threading.Event()
        self._processes: dict[int, FitProcess] = {}
        self._lock = threading.Lock()

    def run(self, items: Iterable[Item], writer: ResultWriter) -> None:
        """Restore all photos; return when all are done, or after `stop`.

        Raises
        ------
        OutputError
            No further result can be written.
        """
        self._run_in_threads(self._work, _thread_safe(items), writer)

    def read_headers(self, files: Sequence[str], chunk: int = 50) -> dict[str, dict[str, Any]]:
        """Width, height and has_alpha of each file, or its error.

        The processes read the files: one that crashes the image library costs only itself.
        """
        headers: dict[str, dict[str, Any]] = {}
        chunks = [files[start : start + chunk] for start in range(0, len(files), chunk)]
        self._run_in_threads(self._read_headers, _thread_safe(chunks), headers)
        return headers

    def run_trials(self, tasks: Iterable[Task]) -> list[Outcome]:
        """Run tasks that have a time limit, in all processes at once."""
        outcomes: list[Outcome] = []
        self._run_in_threads(self._run_trials, _thread_safe(tasks), outcomes)
        return outcomes

    def stop(self) -> None:
        """Kill the processes: the threads end with `Stopped`."""
        self._stopping.set()
        with self._lock:
            for process in self._processes.values():
                process.kill()

    def close(self) -> None:
        """Close the processes."""
        with self._lock:
            for process in self._processes.values():
                process.close()
            self._processes.clear()

    # --- The threads, one for each process ------------------------------------------------------

    def _run_in_threads(self, work: Any, *arguments: Any) -> None:
        """Call `work` in one thread per process, wait for all, and raise the first error."""
        errors: list[BaseException] = []

        def guarded(number: int) -> None:
            try:
                work(number, *arguments)
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
                    thread.join(0.2)  # a wait without a timeout would delay Ctrl-C
        finally:
            if any(thread.is_alive() for thread in threads):
                self.stop()
                for thread in threads:
                    thread.join()
        if errors:
            raise errors[0]

    def _work(self, number: int, items: Iterator[Item], writer: ResultWriter) -> None:
        worker = str(number + 1)
        for item in items:
            if self._stopping.is_set():
                raise Stopped
            writer.progress.begin(worker, item.photo)
            began = time.time()
            try:
                writer.check(item)
                loaded = load_photo(writer.folder, item)
            except (InputError, ResultRefused) as error:
                writer.write_failure(item, error.as_dict(), began=began)
            else:
                task = loaded.task(writer.settings, mask_confirmed=writer.masks_confirmed)
                outcome = self._restore(number, task, writer)
                writer.write(item, loaded.fingerprint, outcome, began=loaded.began)
            writer.progress.set_idle(worker)

    def _restore(self, number: int, task: Task, writer: ResultWriter) -> Outcome:
        """Restore a photo; where its process dies, again with all of the memory."""
        worker = str(number + 1)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            with self._memory_for(number, writer, alone=attempt > 1) as admit:
                try:
                    return self._process(number).fit(
                        task, admit=admit, on_step=lambda step: writer.progress.update(worker, step)
                    )
                except ProcessDied as error:
                    if self._stopping.is_set():
                        raise Stopped from None
                    failure = error.as_dict()
        return Outcome(figures={}, error=failure)

    @contextmanager
    def _memory_for(self, number: int, writer: ResultWriter, *, alone: bool) -> Iterator[Admit]:
        """A function that waits for the memory of a fit; it is released at the end."""
        acquired = 0.0

        def admit(needs: Mapping[str, Any]) -> None:
            nonlocal acquired
            if self.on_gpu and not needs["device"].startswith("cpu"):
                return
            mb = max(needs["needs_mb"], self._memory.budget_mb if alone else 0)
            if not self._memory.has_room(mb):
                writer.progress.wait_for(str(number + 1), "memory")
                if not alone:
                    writer.progress.note_once(
                        f"the memory is too small for {self.size} fits at once, so some wait; "
                        "with --threads 2 fewer fits run, each on two cores"
                    )
            acquired = self._memory.acquire(mb, self._stopping)

        try:
            yield admit
        finally:
            self._memory.release(acquired)

    def _read_headers(
        self, number: int, chunks: Iterator[Sequence[str]], headers: dict[str, dict[str, Any]]
    ) -> None:
        for chunk in chunks:
            for part in (chunk, *([each] for each in chunk)):
                try:
                    found = self._process(number).read_headers(part)
                except ProcessDied as error:
                    if self._stopping.is_set():
                        raise Stopped from None
                    found = [{"error": error.as_dict()}]
                    if len(part) > 1:
                        continue  # one of the files is the cause: read each by itself
                headers.update(zip(part, found, strict=True))
                if part is chunk:
                    break

    def _run_trials(self, number: int, tasks: Iterator[Task], outcomes: list[Outcome]) -> None:
        for task in tasks:
            try:
                outcome = self._process(number).fit(
                    task, admit=lambda needs: None, on_step=lambda step: None
                )
            except ProcessDied as error:
                if self._stopping.is_set():
                    raise Stopped from None
                outcome = Outcome(figures={}, error=error.as_dict())
            outcomes.append(outcome)

    def _process(self, number: int) -> FitProcess:
        """The process of a thread; a new one where there is none or it has died."""
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


def _thread_safe(values: Iterable[Any]) -> Iterator[Any]:
    """An iterator that several threads can share."""
    lock = threading.Lock()
    inner = iter(values)
    end = object()

    def take_next() -> Any:
        with lock:
            return next(inner, end)

    return iter(take_next, end)


def _environment(number: int, gpus: Sequence[str]) -> dict[str, str]:
    if not gpus:
        return {}
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
