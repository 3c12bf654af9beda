"""The progress of a restoration, after each iteration. Needs the standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from dip.notes import Note


@dataclass(frozen=True, kw_only=True)
class Step:
    """The outcome of one iteration of a restoration.

    Parameters
    ----------
    iteration, iterations : int
        The number of iterations so far, and of all iterations, over all fits. The first step, after
        all damage is filled without a network, has iteration 0.
    region, regions : int
        The number of the fit, 0-based, and of all fits: a region or a stack of patches each.
    fraction : float
        The share of the predicted work that is done, in [0, 1].
    run : int
        The number of the run of this fit, 0-based; runs side by side take turns.
    loss : float, optional
        None if it was not read from the device.
    validation_psnr_db : float, optional
        PSNR at held-out known pixels near the damage; None between measurements, and where the
        picture is flat, so that every fill would have a high one.
    note : Note, optional
        For the user.
    """

    iteration: int
    iterations: int
    region: int
    regions: int
    fraction: float
    loss: float | None
    validation_psnr_db: float | None
    note: Note | None
    run: int = 0
