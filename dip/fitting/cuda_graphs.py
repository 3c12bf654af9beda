"""Keeping a GPU busy: steps that are recorded once and replayed, figures read when they are there.

A step of a small network is about six hundred kernels of a few microseconds each. Launching them
one by one from Python takes longer than running them. Recorded as a CUDA graph, they are one
launch. The loop must not wait for the GPU either: measurements arrive a few steps later.

Source: the PyTorch documentation, *CUDA semantics*, "CUDA Graphs" (whole-network capture).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dip.machine.device import Compute

_WARM_UP = 2
"""Calls before the recording: libraries are loaded, and their algorithms chosen, in the first."""

Replay = Callable[[], None]
Record = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]


class CudaGraphStep:
    """A step that is recorded on its third call, and replayed from then on.

    What it is given is copied, tensors and numbers alike, into buffers that stay where they are,
    so that the recorded kernels find there what is new. Before the recording, and for good where
    that fails, the step is simply called with these buffers.

    Parameters
    ----------
    step : callable
        Takes tensors, numbers, and tuples of them; a tensor stands in for each number. It works
        on the device alone: no value is read or decided upon, and what lasts is changed in place.
    device : torch.device
    say : callable
        Told once, in words, where the recording fails.
    record : callable, optional
        Instead of `record_cuda_graph`.
    """

    def __init__(
        self,
        step: Callable[..., Tensor],
        device: torch.device,
        say: Callable[[str], None],
        record: Record | None = None,
    ) -> None:
        self._step = step
        self._device = device
        self._say = say
        self._record = record or record_cuda_graph
        self._buffers: tuple[Any, ...] | None = None
        self._calls = 0
        self._replay: Replay | None = None
        self._output: Tensor | None = None

    def __call__(self, *given: Any) -> Tensor:
        """Do the step; the result is only valid until the next call."""
        if self._buffers is None:
            self._buffers = self._buffer(given)
        else:
            _fill(self._buffers, given)
        self._calls += 1
        if self._calls == _WARM_UP + 1:
            try:
                self._replay, self._output = self._record(self._on_buffers)
            except RuntimeError as error:
                reason = str(error).strip().partition("\n")[0]
                self._say(
                    f"the steps could not be recorded as a CUDA graph ({reason}); they are "
                    "launched one by one, which is slower"
                )
        if self._replay is None or self._output is None:
            with _side_stream(self._device):
                return self._on_buffers()
        self._replay()
        return self._output

    def _on_buffers(self) -> Tensor:
        assert self._buffers is not None
        return self._step(*self._buffers)

    def _buffer(self, given: Any) -> Any:
        if isinstance(given, tuple):
            return tuple(self._buffer(each) for each in given)
        if isinstance(given, Tensor):
            return given.detach().clone()
        return torch.tensor(given, dtype=torch.float32, device=self._device)


def record_cuda_graph(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Record a step on the current device without running it.

    Returns
    -------
    callable, Tensor
        What runs it, and where its result will be each time.
    """
    stream = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    try:
        # Of this thread alone: a server's other threads may use the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = step()
    finally:
        torch.cuda.set_stream(stream)  # a recording that fails leaves its own behind
    return graph.replay, output


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of an iteration.

    Parameters
    ----------
    index : int
    figures : list of float
    along : object
        What was put in with them.
    """

    index: int
    figures: list[float]
    along: Any


class AsyncMetrics:
    """Figures on their way from the device, in the order in which they were put in.

    They come out a fixed number of puts later, not as soon as they can: what is decided by them
    must not depend on how fast a machine is today. That few steps always lie ahead of the GPU, so
    it never waits; no more do, so that stopping and previews are prompt.

    Parameters
    ----------
    compute : Compute
    """

    def __init__(self, compute: Compute) -> None:
        self._lag = compute.lag
        self._cuda = compute.device.type == "cuda"
        self._queue: deque[tuple[int, Tensor, torch.cuda.Event | None, Any]] = deque()

    def put(self, index: int, *figures: Tensor, along: Any = None) -> None:
        """Send figures of an iteration, scalars on the device, on their way."""
        # From CUDA into pinned memory, so that this returns at once.
        values = torch.stack(figures).to("cpu", non_blocking=self._cuda)
        event = None
        if self._cuda:
            event = torch.cuda.Event()
            event.record()
        self._queue.append((index, values, event, along))

    def arrived(self, *, everything: bool = False) -> Iterator[Reading]:
        """Take out the readings that are due, or all where it is the end."""
        while self._queue and (everything or len(self._queue) > self._lag):
            index, values, event, along = self._queue.popleft()
            if event is not None:
                event.synchronize()
            yield Reading(index=index, figures=values.tolist(), along=along)

    def forget(self) -> None:
        """Drop what is on its way."""
        self._queue.clear()


def _fill(buffers: tuple[Any, ...], given: tuple[Any, ...]) -> None:
    for buffer, new in zip(buffers, given, strict=True):
        if isinstance(new, tuple):
            _fill(buffer, new)
        elif isinstance(new, Tensor):
            buffer.copy_(new)
        else:
            buffer.fill_(new)  # a kernel that carries the number: nothing is copied from the host


def _side_stream(device: torch.device) -> AbstractContextManager[None]:
    """What is to be recorded must have run on another stream than the default one before."""
    return _cuda_side_stream(device) if device.type == "cuda" else nullcontext()


@contextmanager
def _cuda_side_stream(device: torch.device) -> Iterator[None]:
    side, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        yield
    current.wait_stream(side)
