"""CUDA graphs and late metrics, which keep a GPU busy.

A step of a small network is about six hundred kernels of a few microseconds each. To launch them
one by one from Python takes longer than to run them. Recorded as a CUDA graph, they are one launch.
The loop must not wait for the GPU either, so metrics arrive a few steps later.

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
from dip.notes import Note

_WARM_UP = 2
"""Calls before the recording: the first ones load libraries and choose their algorithms."""

Replay = Callable[[], None]
Record = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]


class CudaGraphStep:
    """A step that is recorded as a CUDA graph on its third call, and replayed from then on.

    Arguments, tensors and numbers alike, are copied into buffers with fixed addresses, where the
    recorded kernels read them. Before the recording, and always if it fails, the step is called
    with these buffers.

    Parameters
    ----------
    step : callable
        Takes tensors, numbers, and tuples of them; it gets a tensor for each number. It works on
        the device alone: it reads no value, does not branch on one, and changes tensors that live
        longer than the step in place.
    device : torch.device
    notify : callable
        Called with a message for the user if the recording fails.
    record : callable, optional
        Instead of `record_cuda_graph`.
    """

    def __init__(
        self,
        step: Callable[..., Tensor],
        device: torch.device,
        notify: Callable[[Note], None],
        record: Record | None = None,
    ) -> None:
        self._step = step
        self._device = device
        self._notify = notify
        self._record = record or record_cuda_graph
        self._buffers: tuple[Any, ...] | None = None
        self._calls = 0
        self._replay: Replay | None = None
        self._output: Tensor | None = None

    def __call__(self, *arguments: Any) -> Tensor:
        """Do the step; the result is only valid until the next call."""
        if self._buffers is None:
            self._buffers = self._buffer(arguments)
        else:
            _fill(self._buffers, arguments)
        self._calls += 1
        if self._calls == _WARM_UP + 1:
            try:
                self._replay, self._output = self._record(self._on_buffers)
            except RuntimeError as error:
                reason = str(error).strip().partition("\n")[0]
                self._notify(Note("steps_unrecorded", reason=reason))
        if self._replay is None or self._output is None:
            with _side_stream(self._device):
                return self._on_buffers()
        self._replay()
        return self._output

    def _on_buffers(self) -> Tensor:
        assert self._buffers is not None
        return self._step(*self._buffers)

    def _buffer(self, argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(self._buffer(each) for each in argument)
        if isinstance(argument, Tensor):
            return argument.detach().clone()
        return torch.tensor(argument, dtype=torch.float32, device=self._device)


def record_cuda_graph(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Record a step on the current device without running it.

    Returns
    -------
    callable, Tensor
        A function that runs it, and the tensor that holds its result after each run.
    """
    stream = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    try:
        # This thread alone: other threads of a server may use the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = step()
    finally:
        torch.cuda.set_stream(stream)  # a failed recording leaves its own set
    return graph.replay, output


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of an iteration.

    Parameters
    ----------
    index : int
    values : list of float
    state : object
        The state that was put in with them.
    """

    index: int
    values: list[float]
    state: Any


class AsyncMetrics:
    """A queue of metrics on their way from the device.

    Metrics arrive a fixed number of puts later, not as soon as possible: decisions that rest on
    them must not depend on the speed of the machine. So the GPU always has a few steps ahead and
    never waits, but no more than a few, so that stopping and previews are prompt.

    Parameters
    ----------
    compute : Compute
    """

    def __init__(self, compute: Compute) -> None:
        self._lag = compute.lag
        self._cuda = compute.device.type == "cuda"
        self._queue: deque[tuple[int, Tensor, torch.cuda.Event | None, Any]] = deque()

    def put(self, index: int, *values: Tensor, state: Any = None) -> None:
        """Put the metrics of an iteration, scalars on the device, into the queue."""
        # From CUDA into pinned memory, so that this returns at once.
        copied = torch.stack(values).to("cpu", non_blocking=self._cuda)
        event = None
        if self._cuda:
            event = torch.cuda.Event()
            event.record()
        self._queue.append((index, copied, event, state))

    def arrived(self, *, everything: bool = False) -> Iterator[Metrics]:
        """Take out the metrics that are due, or all of them."""
        while self._queue and (everything or len(self._queue) > self._lag):
            index, values, event, state = self._queue.popleft()
            if event is not None:
                event.synchronize()
            yield Metrics(index=index, values=values.tolist(), state=state)

    def clear(self) -> None:
        """Drop all metrics that have not arrived."""
        self._queue.clear()


def _fill(buffers: tuple[Any, ...], arguments: tuple[Any, ...]) -> None:
    for buffer, new in zip(buffers, arguments, strict=True):
        if isinstance(new, tuple):
            _fill(buffer, new)
        elif isinstance(new, Tensor):
            buffer.copy_(new)
        else:
            buffer.fill_(new)  # the number is an argument of the kernel: no copy from the host


def _side_stream(device: torch.device) -> AbstractContextManager[None]:
    """Steps must run on another stream than the default one before they can be recorded."""
    return _cuda_side_stream(device) if device.type == "cuda" else nullcontext()


@contextmanager
def _cuda_side_stream(device: torch.device) -> Iterator[None]:
    side, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        yield
    current.wait_stream(side)
