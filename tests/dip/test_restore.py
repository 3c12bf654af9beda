"""A damaged image goes in, a restored one comes out."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dip.bench.metrics import psnr_db
from dip.config import NETWORKS, Settings
from dip.errors import (
    DipError,
    ImageTooSmall,
    InputError,
    MaskEmpty,
    MaskSizeMismatch,
    SamplesNotFinite,
    TooFewKnownPixels,
)
from dip.fitting import reconstruction
from dip.fitting.input_code import input_code
from dip.regions.preview import Preview
from dip.restore import Restoration, restore

Array = npt.NDArray[Any]
QUICK = Settings(iterations=2)


def as_samples(photo: npt.NDArray[np.uint8], dtype: str, channels: int) -> Array:
    """The photo in another sample type, with that many channels."""
    values = photo.astype(np.float64) / 255
    alpha = np.full((*photo.shape[:2], 1), 1.0)
    values = {
        1: values[:, :, :1],
        2: np.concatenate([values[:, :, :1], alpha], axis=2),
        3: values,
        4: np.concatenate([values, alpha], axis=2),
    }[channels]
    if dtype == "float32":
        return values.astype(np.float32)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("network", NETWORKS)
def test_known_pixels_are_returned_bit_for_bit(
    photo: Any, mask: Any, dtype: str, channels: int, network: str
) -> None:
    image = as_samples(photo, dtype, channels)
    untouched = image.copy()
    result = restore(image, mask, replace(QUICK, network=network))
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    np.testing.assert_array_equal(result[~mask], image[~mask])
    np.testing.assert_array_equal(image, untouched)
    assert not np.array_equal(result[mask], image[mask])


def test_a_gray_image_without_a_channel_axis_keeps_its_shape(photo: Any, mask: Any) -> None:
    assert restore(photo[:, :, 0], mask, QUICK).shape == photo.shape[:2]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_short_fit_is_better_than_the_mean(photo: Any, mask: Any, network: str) -> None:
    damaged = photo.copy()
    damaged[mask] = 0
    result = restore(damaged, mask, Settings(network=network, iterations=60))
    mean = np.broadcast_to(photo[~mask].mean(axis=0), photo.shape)
    assert psnr_db(result, photo, mask) > psnr_db(np.rint(mean), photo, mask) + 3


@pytest.mark.parametrize("network", NETWORKS)
def test_pixels_under_the_mask_make_no_difference(photo: Any, mask: Any, network: str) -> None:
    other = photo.copy()
    other[mask] = np.random.default_rng(1).integers(0, 255, other[mask].shape)
    settings = Settings(network=network, iterations=5)
    results = [restore(each, mask, settings) for each in (photo, other)]
    np.testing.assert_array_equal(results[0], results[1])


def test_the_seed_decides(photo: Any, mask: Any) -> None:
    results = [restore(photo, mask, Settings(iterations=5, seed=seed)) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_transparent_pixels_are_the_damage_and_come_back_opaque(photo: Any, mask: Any) -> None:
    image = as_samples(photo, "uint8", 4)
    image[mask] = 0
    result = restore(image, None, QUICK)
    assert (result[:, :, 3] == 255).all()
    np.testing.assert_array_equal(result[~mask], image[~mask])
    assert result[mask][:, :3].any()


def test_colours_behind_transparency_are_not_learned(photo: Any, mask: Any) -> None:
    image = as_samples(photo, "uint8", 4)
    image[20:28, 5:15, 3] = 0  # transparent, and to stay so
    other = image.copy()
    other[20:28, 5:15, :3] = 99
    results = [restore(each, mask, Settings(iterations=4)) for each in (image, other)]
    np.testing.assert_array_equal(results[0][mask], results[1][mask])


def test_a_feathered_mask_blends(photo: Any) -> None:
    soft = np.zeros(photo.shape[:2], dtype=np.float32)
    soft[20:30, 20:40] = 1
    soft[20:30, 18:20] = 0.5
    hard = restore(photo, soft > 0, Settings(iterations=4)).astype(float)
    result = restore(photo, soft, Settings(iterations=4)).astype(float)
    np.testing.assert_array_equal(result[soft == 1], hard[soft == 1])
    edge = soft == 0.5
    assert np.abs(result[edge] - (photo[edge] + hard[edge]) / 2).max() <= 1


# --- A job ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("regions_only")
def test_steps_are_counted_over_all_regions(photo: Any) -> None:
    image = np.tile(photo, (4, 6, 1))
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[5:60:4, 10:70] = mask[130:185:4, 300:360] = True
    restoration = Restoration(image, mask, replace(QUICK, iterations=3, preset="fast"))
    steps = list(restoration)
    assert len(restoration.regions) == 2
    each = restoration.iterations // 2
    assert [step.iteration for step in steps] == list(range(2 * each + 1))
    assert [step.region for step in steps] == [0] * (each + 1) + [1] * each
    assert {step.regions for step in steps} == {2}
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_there_is_a_result_at_any_moment(photo: Any, mask: Any) -> None:
    restoration = Restoration(photo, mask, Settings(preset="fast", iterations=24))
    results = [restoration.result()]
    assert (results[0][mask] != photo[mask]).any()  # all damage is filled before any fit
    for step in restoration:
        results.append(restoration.result())
        np.testing.assert_array_equal(results[-1][~mask], photo[~mask])
        if step.iteration == 20:
            break
    assert not np.array_equal(results[0], results[-1])
    np.testing.assert_array_equal(restoration.result(), results[-1])


def test_looking_at_it_does_not_change_it(photo: Any, mask: Any) -> None:
    watched = Restoration(photo, mask, Settings(iterations=5))
    for _ in watched:
        watched.preview()
        watched.fills()
        watched.result()
    np.testing.assert_array_equal(watched.result(), restore(photo, mask, Settings(iterations=5)))


def test_fills_are_what_the_result_is_made_of(photo: Any, mask: Any) -> None:
    restoration = Restoration(photo, mask, QUICK)
    list(restoration)
    result = photo.copy()
    for fill in restoration.fills():
        covered = fill.soft_mask > 0
        result[fill.box.slices][covered] = fill.pixels[covered]
    np.testing.assert_array_equal(result, restoration.result())


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("channels", [None, 4])
def test_the_result_in_place_needs_no_second_image(
    photo: Any, mask: Any, channels: int | None, iterations: int
) -> None:
    given = photo[:, :, 0].copy() if channels is None else as_samples(photo, "uint8", channels)
    unknown: Any = mask
    if channels is not None:  # transparent pixels are the damage
        given[mask, 3], unknown = 0, None
    restoration = Restoration(given, unknown, QUICK)
    for step in restoration:
        if step.iteration == iterations:  # of 2: while it is fitted, and when it has ended
            break
    before, expected = given.copy(), restoration.result()
    result = restoration.result_in_place()
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(result[~mask], before[~mask])
    assert np.shares_memory(result, given)
    assert result.shape == given.shape


def test_ended_fits_keep_their_fills_and_free_their_networks(photo: Any, mask: Any) -> None:
    restoration = Restoration(photo, mask, QUICK)
    for step in restoration:
        if step.iteration == 1:
            break
    expected = restoration.result()
    networks = [weakref.ref(fit._fit) for fit in restoration._in_work.values()]
    assert networks
    restoration.end_fits()
    gc.collect()
    assert [network() for network in networks] == [None] * len(networks)
    np.testing.assert_array_equal(restoration.result(), expected)


def test_after_the_result_in_place_only_the_reconstruction_is_available(
    photo: Any, mask: Any
) -> None:
    restoration = Restoration(photo, mask, QUICK, keep_reconstruction=True)
    steps = iter(restoration)
    next(steps)
    restoration.result_in_place()
    for asked in (restoration.result, restoration.result_in_place, restoration.preview):
        with pytest.raises(ValueError, match="ended this restoration"):
            asked()
    with pytest.raises(ValueError, match="ended this restoration"):
        list(steps)
    assert restoration.reconstruction().shape == photo.shape


def test_a_read_only_image_is_not_written_to(photo: Any, mask: Any) -> None:
    photo.flags.writeable = False
    before = photo.copy()
    restoration = Restoration(photo, mask, QUICK)
    list(restoration)
    with pytest.raises(ValueError, match="read-only"):
        restoration.result_in_place()
    np.testing.assert_array_equal(photo, before)
    assert not np.array_equal(restoration.result(), photo)


def test_a_preview_shows_the_region_being_worked_on(photo: Any, mask: Any) -> None:
    restoration = Restoration(photo, mask, QUICK)
    before = restoration.preview()
    next(iter(restoration))
    preview = restoration.preview()
    assert preview.box == before.box == restoration.regions[0].box
    assert preview.pixels.shape == (preview.box.height, preview.box.width, 3)
    assert preview.pixels.dtype == photo.dtype
    within = preview.box.slices
    np.testing.assert_array_equal(preview.pixels[~mask[within]], photo[within][~mask[within]])


def without_torch(image: Array, mask: Array, folder: Path) -> Preview:
    """The smooth preview of a process that fails if it imports torch."""
    np.savez(folder / "given.npz", image=image, mask=mask)
    script = """
import pickle, sys
import numpy as np
sys.modules["torch"] = None
from dip.filling.smooth_preview import (smooth_preview)
with np.load("given.npz") as given:
    preview = smooth_preview(given["image"], given["mask"])
sys.stdout.buffer.write(pickle.dumps(preview))
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, stdout=-1, check=True)
    return pickle.loads(run.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["thin", "hole"])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_preview_is_of_use_before_the_first_step(kind: str, loaded: bool, tmp_path: Path) -> None:
    rows = np.linspace(40, 200, 96)[:, None, None]
    ramp = np.broadcast_to(rows, (96, 96, 3)).astype(np.uint8)
    mask = np.zeros((96, 96), dtype=bool)
    mask[30:66, 47 : 49 if kind == "thin" else 80] = True
    damaged = np.where(mask[:, :, None], np.uint8(255), ramp)
    if loaded:
        preview = Restoration(damaged, mask, QUICK).preview()
    else:
        preview = without_torch(damaged, mask, tmp_path)
    within, truth = mask[preview.box.slices], ramp[preview.box.slices]
    missed = preview.pixels.astype(float)[within] - truth[within]
    assert np.abs(missed).max() < 25
    np.testing.assert_array_equal(preview.pixels[~within], truth[~within])


def test_a_hole_in_a_red_table_is_filled_with_red() -> None:
    """From gray, a network's fill stays purple where nothing holds it."""
    drawn = np.random.default_rng(0).normal(0, 8, (160, 160, 1))
    shade = np.linspace(-30, 30, 160)[:, None, None]
    table = np.clip(np.array([180, 40, 20]) + drawn + shade, 0, 255).astype(np.uint8)
    mask = np.zeros((160, 160), dtype=bool)
    mask[40:120, 40:120] = True
    settings = Settings(preset="fast", iterations=40, texture=0)
    filled = restore(np.where(mask[:, :, None], np.uint8(255), table), mask, settings)
    missed = filled[70:90, 70:90].astype(float).mean((0, 1)) - table[70:90, 70:90].mean((0, 1))
    assert np.abs(missed).max() < 15  # 43 from gray


def test_the_reconstruction_is_the_networks_own(photo: Any, mask: Any) -> None:
    restoration = Restoration(photo, mask, Settings(iterations=10), keep_reconstruction=True)
    list(restoration)
    raw = restoration.reconstruction()
    assert (raw.shape, raw.dtype) == (photo.shape, np.float32)
    box = restoration.regions[0].box
    assert not np.array_equal(raw[box.slices], photo[box.slices] / np.float32(255))
    with pytest.raises(ValueError, match="keep_reconstruction"):
        Restoration(photo, mask, QUICK).reconstruction()


# --- Bad input ------------------------------------------------------------------------------------


def nan_image() -> Array:
    image = np.full((32, 32, 3), 0.5, dtype=np.float32)
    image[7, 9, 1] = np.nan
    image[8, 9, 1] = np.inf
    return image


SQUARE = np.zeros((32, 32), dtype=bool)
SQUARE[10:20, 10:20] = True
GRAY = np.full((32, 32, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "mask", "error", "seen"),
    [
        (GRAY[:15], SQUARE[:15], ImageTooSmall, "32×15"),
        (GRAY, SQUARE[:30], MaskSizeMismatch, "32×30 px, the image 32×32 px"),
        (GRAY, np.zeros_like(SQUARE), MaskEmpty, "Nothing is marked"),
        (GRAY, None, MaskEmpty, "no transparency"),
        (GRAY, np.ones_like(SQUARE), TooFewKnownPixels, "1024 of 1024"),
        (nan_image(), SQUARE, SamplesNotFinite, "2 known pixels.*row 7, column 9"),
        (np.zeros((32, 32, 5), np.uint8), SQUARE, InputError, r"\(32, 32, 5\)"),
        (np.zeros((32, 32), np.int16), SQUARE, InputError, "int16"),
        (np.zeros((32, 32, 4), np.uint8), SQUARE, TooFewKnownPixels, "Only 0 pixels"),
    ],
)
def test_bad_input_is_refused_before_any_fitting(
    image: Array, mask: Array | None, error: type[DipError], seen: str
) -> None:
    with pytest.raises(error, match=seen) as caught:
        Restoration(image, mask, QUICK)
    assert caught.value.hint


def test_samples_under_the_mask_may_be_anything() -> None:
    image = nan_image()
    mask = SQUARE.copy()
    mask[7:9, 9] = True
    result = restore(image, mask, QUICK)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[~mask], image[~mask])


def test_float_samples_beyond_the_nominal_range_are_fitted_and_kept(photo: Any, mask: Any) -> None:
    image = photo.astype(np.float32) / 100 - np.float32(0.3)
    result = restore(image, mask, Settings(iterations=60))
    np.testing.assert_array_equal(result[~mask], image[~mask])
    assert np.abs(result - image)[mask].mean() < 0.2


@pytest.mark.parametrize(
    ("detailed", "kind"), [(False, "thin"), (False, "scattered"), (True, "thin")]
)
@pytest.mark.usefixtures("regions_only")
def test_a_flat_picture_has_no_figure_of_quality(detailed: bool, kind: str) -> None:
    rng = np.random.default_rng(0)
    image = np.full((64, 80, 3), (250, 240, 200), dtype=np.uint8)
    if detailed:
        image[20:40] -= rng.integers(0, 90, (20, 80, 3), dtype=np.uint8)
    mask = np.zeros((64, 80), dtype=bool)
    mask[30:33, 10:70] = True
    if kind == "scattered":
        mask = rng.random((64, 80)) < 0.45
    restoration = Restoration(image, mask, Settings(iterations=12))
    assert [region.damage for region in restoration.regions] == [kind]
    figures = [step.validation_psnr_db for step in restoration]
    assert any(figure is not None for figure in figures) is detailed


def test_the_picture_of_the_inputs_shows_the_codes_of_the_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = []

    def recorded(*given: Any) -> torch.Tensor:
        code = input_code(*given)
        codes.append(code[0, :3].permute(1, 2, 0).numpy())
        return code

    monkeypatch.setattr(reconstruction, "input_code", recorded)
    image = np.random.default_rng(0).integers(0, 255, (60, 400, 3), dtype=np.uint8)
    mask = np.zeros((60, 400), dtype=bool)
    mask[20:41:3, 10:50] = mask[20:41:3, 350:390] = True
    restoration = Restoration(image, mask, Settings(iterations=1, seed=5))
    list(restoration)
    picture = restoration.input_picture()
    assert restoration.input_codes == {"noise"}
    assert len(codes) >= 2
    shown = [picture[region.box.slices] for region in restoration.regions]
    for code in codes:
        assert any(np.allclose(each, 10 * code, atol=1e-6) for each in shown)
    assert (picture[:, 180:220] == 0.5).all()
