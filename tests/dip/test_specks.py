"""Specks are filled at once, and networks are fitted to the difficult ones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from dip.bench.metrics import psnr_db
from dip.config import Settings
from dip.restore import Restoration, restore
from dip.specks import StackFit

Array = npt.NDArray[Any]
QUICK = Settings(iterations=2)


def speckled(photo: Array, count: int = 40) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A photo with specks of white, and their mask."""
    image = np.tile(photo, (5, 5, 1))
    random = np.random.default_rng(3)
    mask = np.zeros(image.shape[:2], dtype=bool)
    for _ in range(count):
        row, column = (
            random.integers(4, image.shape[0] - 10),
            random.integers(4, image.shape[1] - 10),
        )
        mask[row : row + random.integers(2, 6), column : column + random.integers(2, 6)] = True
    damaged = image.copy()
    damaged[mask] = 255
    return damaged, mask


def test_specks_are_complete_after_the_first_step(photo: Any) -> None:
    damaged, mask = speckled(photo)
    restoration = Restoration(damaged, mask, QUICK)
    assert restoration.regions == ()
    first = next(iter(restoration))
    assert (first.iteration, first.fraction) == (0, 0)
    assert first.note is not None
    assert "spots need a network" in first.note
    result = restoration.result()
    truth = np.tile(photo, (5, 5, 1))
    assert psnr_db(result, truth, mask) > psnr_db(damaged, truth, mask) + 10
    np.testing.assert_array_equal(result[~mask], damaged[~mask])


def test_a_fit_brings_specks_nearer_to_the_truth(photo: Any) -> None:
    damaged, mask = speckled(photo)
    truth = np.tile(photo, (5, 5, 1))
    restoration = Restoration(damaged, mask, Settings(preset="fast", texture=0))
    before = psnr_db(restoration.result(), truth, mask)
    list(restoration)
    assert psnr_db(restoration.result(), truth, mask) > before


@pytest.mark.parametrize("texture", [1, pytest.param(0, marks=pytest.mark.exhaustive)])
def test_the_fill_of_specks_depends_on_no_number_of_threads(photo: Any, texture: float) -> None:
    damaged, mask = speckled(photo)
    one, three = (
        restore(damaged, mask, replace(QUICK, iterations=6, threads=threads, texture=texture))
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_only_difficult_specks_get_a_network(photo: Any) -> None:
    damaged, mask = speckled(photo)
    notes = {}
    for preset in ("fast", "best"):
        restoration = Restoration(damaged, mask, Settings(preset=preset))
        notes[preset] = next(iter(restoration)).note or ""
    fitted, count = (int(word) for word in notes["fast"].split() if word.isdigit())
    assert 0 < fitted < count
    assert notes["best"].startswith(f"{count} of {count} spots")


def test_specks_on_edges_come_before_specks_in_random_texture() -> None:
    """No network knows how random texture goes on; it does know how an edge goes on."""
    random = np.random.default_rng(0)
    image = np.full((400, 400, 3), 90.0)
    texture = gaussian_filter(random.standard_normal((400, 200, 1)), (2, 2, 0))
    image[:, 200:] += 25 * texture / texture.std()
    image += random.normal(0, 2, image.shape)
    rows, columns = np.indices(image.shape[:2])
    image[(columns < 200) & ((rows // 25 + columns // 25) % 2 == 0)] += 100
    mask = np.zeros(image.shape[:2], dtype=bool)
    for row in range(24, 380, 25):
        for column in (50, 100, 150, 250, 300, 350):
            mask[row - 2 : row + 3, column - 2 : column + 3] = True
    damaged = np.where(mask[:, :, None], 255, image.clip(0, 255)).astype(np.uint8)
    restoration = Restoration(damaged, mask, Settings(preset="fast"))
    next(iter(restoration))
    assert restoration._specks is not None
    fitted = [patch for fit in restoration._specks.fits for patch in fit.stack.patches]
    left = sum(patch.core.left < 200 for patch in fitted)
    assert left > 0.9 * len(fitted)


def test_a_time_limit_ends_the_work_with_all_damage_filled(photo: Any) -> None:
    damaged, specks = speckled(photo)
    restoration = Restoration(damaged, specks, Settings(preset="best", time_s=1))
    steps = list(restoration)
    assert steps[-1].note == "the time is over: not everything was fitted"
    assert steps[-1].iteration < steps[-1].iterations
    truth = np.tile(photo, (5, 5, 1))
    assert psnr_db(restoration.result(), truth, specks) > psnr_db(damaged, truth, specks) + 10


def test_a_stack_that_diverges_keeps_its_first_fill(
    photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, mask = speckled(photo)
    monkeypatch.setattr("dip.fitting.fit._diverged", lambda loss, usual: True)
    restoration = Restoration(damaged, mask, replace(QUICK, iterations=30))
    first = restoration.result()
    notes = [step.note for step in restoration if step.note]
    assert any("keep their first fill" in note for note in notes)
    np.testing.assert_array_equal(restoration.result(), first)


def test_a_stack_that_diverges_late_keeps_what_was_good(
    photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, mask = speckled(photo, 4)
    truth = np.tile(photo, (5, 5, 1))
    settings = Settings(preset="best", iterations=50, texture=0)
    first = Restoration(damaged, mask, settings).result()
    monkeypatch.setattr("dip.specks.StackFit._begin", diverging_after(StackFit._begin, 30))
    restoration = Restoration(damaged, mask, settings)
    notes = [step.note for step in restoration if step.note]
    assert any("keep their fill so far" in note for note in notes)
    assert psnr_db(restoration.result(), truth, mask) > psnr_db(first, truth, mask) + 0.1


def diverging_after(begin: Any, iterations: int) -> Any:
    """A fit whose loss is not finite after some iterations."""

    def begin_broken(*args: Any) -> Any:
        fit = begin(*args)
        step, done = fit._step, itertools.count()

        def broken(*inputs: Any) -> Any:
            loss = step(*inputs)
            return loss * np.nan if next(done) >= iterations else loss

        fit._step = broken
        return fit

    return begin_broken


def test_a_single_speck_is_filled_and_fitted(photo: Any) -> None:
    truth = np.tile(photo, (2, 2, 1))
    damaged, mask = truth.copy(), np.zeros(truth.shape[:2], dtype=bool)
    mask[40:44, 50:54] = True
    damaged[mask] = 255
    restoration = Restoration(damaged, mask, QUICK)
    steps = list(restoration)
    assert (steps[-1].fraction, restoration.regions) == (1, ())
    assert psnr_db(restoration.result(), truth, mask) > psnr_db(damaged, truth, mask) + 10


def test_the_first_preview_shows_all_specks_filled(photo: Any) -> None:
    damaged, mask = speckled(photo)
    preview = Restoration(damaged, mask, QUICK).preview()
    assert preview.reduction == 1
    inside = mask[preview.box.slices]
    assert inside.sum() == mask.sum()
    truth = np.tile(photo, (5, 5, 1))[preview.box.slices]
    assert psnr_db(preview.pixels, truth, inside) > 15
    np.testing.assert_array_equal(preview.pixels[~inside], damaged[preview.box.slices][~inside])


def test_previews_follow_the_fit_of_specks(photo: Any) -> None:
    damaged, mask = speckled(photo, 12)
    restoration = Restoration(damaged, mask, replace(QUICK, iterations=30))
    seen = [restoration.preview().pixels for _ in restoration]
    changes = sum((one != other).any() for one, other in pairwise(seen))
    assert changes > 3


def test_looking_at_specks_does_not_change_them() -> None:
    noise = np.random.default_rng(0).standard_normal((190, 210, 3))
    image = (600 * gaussian_filter(noise, (3, 3, 0)) + 128).clip(0, 255).astype(np.uint8)
    rows, columns = np.indices(image.shape[:2])
    mask = (abs(rows - columns) < 3) & (rows > 20) & (rows < 170)  # cut into cells that overlap
    settings = replace(QUICK, iterations=6, texture=0)
    watched = Restoration(image, mask, settings)
    for _ in watched:
        watched.result()
        watched.preview()
    np.testing.assert_array_equal(watched.result(), restore(image, mask, settings))
