"""The device of all fits of a restoration: the CPU, after a GPU has run out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch

from dip.errors import NotEnoughMemory
from dip.fitting.fit import FitStep
from dip.machine import device
from dip.machine.device import Compute
from dip.notes import Note


class FittingDevice:
    """The device of the fits of one restoration.

    Parameters
    ----------
    compute : Compute

    Attributes
    ----------
    compute : Compute
        The device of the next fit.
    """

    def __init__(self, compute: Compute) -> None:
        self.compute = compute

    def steps(
        self, begin: Callable[[Compute], Iterable[FitStep]], pixels: int
    ) -> Iterator[FitStep]:
        """Yield the steps of a fit; if a GPU runs out of memory, begin it again on the CPU.

        Parameters
        ----------
        begin : callable
            Makes the fit on a device.
        pixels : int
            Size of the fit, for a message.

        Raises
        ------
        NotEnoughMemory
        """
        try:
            yield from begin(self.compute)
            return
        except RuntimeError as error:
            if not device.is_out_of_memory(error):
                raise
            if self.compute.device.type == "cpu":
                raise NotEnoughMemory(
                    f"Memory ran out in a fit of {pixels / 1e6:.2g} megapixels.",
                    "Close other programs, or set a lower memory limit: fits are then smaller.",
                ) from error
        # Here the error is deleted, and with it all tensors that its traceback kept on the GPU.
        name = self.compute.device.type
        note = Note("device_full", device=name)
        if name == "cuda":
            torch.cuda.empty_cache()
        self.compute = device.choose("cpu")
        for step in begin(self.compute):
            yield replace(step, note=note if step.index == 1 else step.note)
