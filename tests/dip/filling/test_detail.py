"""Grain and detail of the surroundings, added to a smooth fill."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dip.bench.metrics import psnr_db
from dip.config import Settings
from dip.filling.detail import add_detail
from dip.filling.kriging import krige_image
from dip.restore import Restoration

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]


def scratches(height: int = 160, width: int = 200) -> Plane:
    """Known pixels around two scratches of 5 pixels and a spot of 24."""
    rows, columns = np.mgrid[:height, :width]
    known = (abs(rows - columns) > 3) & (abs(columns - 150 - 10 * np.sin(rows / 20)) > 2.5)
    known[20:44, 60:84] = False
    return np.asarray(known)


def grain(height: int = 160, width: int = 200, *, channels: int = 3) -> Array:
    """Soft grain with a standard deviation of one."""
    noise = np.random.default_rng(1).normal(size=(height, width, channels))
    soft = ndimage.gaussian_filter(noise, (0.7, 0.7, 0))
    return (soft / soft.std()).astype(np.float32)


def ramp(height: int = 160, width: int = 200, *, channels: int = 3) -> Array:
    bright = np.linspace(0.2, 0.8, width, dtype=np.float32)[None, :, None]
    return np.broadcast_to(bright, (height, width, channels)).copy()


def band_ratios(result: Array, truth: Array, where: Plane) -> list[float]:
    """Mean absolute response of Laplacian bands of 1, 2 and 4 pixels, over the truth's."""
    ratios = []
    for sigma_px in (0.8, 1.6, 3.2):
        responses = []
        coarser = []
        for image in (result, truth):
            coarse = ndimage.gaussian_filter(image, (sigma_px, sigma_px, 0))
            responses.append(float(np.abs(image - coarse)[where].mean()))
            coarser.append(coarse)
        ratios.append(responses[0] / responses[1])
        result, truth = coarser
    return ratios


def test_grain_continues_in_thin_damage_and_spots():
    known, smooth = scratches(), ramp()
    truth = smooth + 0.04 * grain()
    fill = krige_image(truth, known)
    assert max(band_ratios(fill, truth, ~known)) < 0.75
    result = add_detail(fill, truth, known)
    composite = np.where(known[:, :, None], truth, result)
    assert band_ratios(composite, truth, ~known) == pytest.approx([1, 1, 1], abs=0.15)
    cost_db = psnr_db(fill, truth, ~known) - psnr_db(composite, truth, ~known)
    assert 2 < cost_db < 3.3  # an independent grain costs 3 dB


def test_grain_depends_on_brightness_as_around_it():
    known, smooth = scratches(), ramp()
    truth = smooth + grain() * np.where(smooth > 0.5, 0.05, 0.005).astype(np.float32)
    result = add_detail(smooth, truth, known)
    added = np.abs(result - smooth).mean(2)
    columns = np.arange(known.shape[1])[None, :]
    dark, bright = added[~known & (columns < 85)].mean(), added[~known & (columns > 115)].mean()
    assert bright / dark == pytest.approx(10, rel=0.25)


def test_channels_are_copied_together():
    known, smooth = scratches(), ramp()
    truth = smooth + 0.04 * grain(channels=1)
    added = add_detail(smooth, truth, known) - smooth
    assert np.abs(added).max() > 0.05
    assert np.ptp(added, axis=2).max() < 1e-5


def test_known_pixels_stay_and_unknown_ones_are_ignored():
    known, smooth = scratches(), ramp()
    truth = smooth + 0.04 * grain()
    result = add_detail(smooth, truth, known, seed=5)
    assert np.array_equal(result[known], smooth[known])
    assert not np.array_equal(add_detail(smooth, truth, known, seed=6), result)
    truth[~known] = np.nan
    assert np.array_equal(add_detail(smooth, truth, known, seed=5), result)


def test_the_strength_scales_the_detail():
    known, smooth = scratches(), ramp()
    truth = smooth + 0.04 * grain()
    assert np.array_equal(add_detail(smooth, truth, known, strength=0), smooth)
    full, half = (add_detail(smooth, truth, known, strength=each) - smooth for each in (1, 0.5))
    assert np.abs(half - full / 2).mean() < 0.03 * np.abs(full).mean()  # some pixels are clipped


def test_a_fill_that_lacks_nothing_stays():
    known = scratches()
    truth = ramp() + 0.04 * grain()
    result = add_detail(truth, truth, known)
    assert psnr_db(result, truth, ~known) > 36  # the grain itself would be at 28 dB


def test_edges_nearby_leave_no_fragments():
    """A black and white fence: damage on plain ground beside it stays plain."""
    truth = np.full((160, 200, 3), 0.5, dtype=np.float32)
    truth[:, 100:110] = 0.0
    truth[:, 110:120] = 1.0
    truth += 0.01 * grain()
    known = np.ones((160, 200), dtype=bool)
    known[20:140, 92:96] = False
    known[20:140, 126:131] = False
    fill = np.where(known[:, :, None], truth, np.float32(0.5))
    result = add_detail(fill, truth, known)
    assert np.abs(result - 0.5)[~known].max() < 0.08  # the fence: 0.5


def test_nothing_is_brighter_or_darker_than_around():
    known, smooth = scratches(), ramp()
    truth = (smooth + 0.2 * grain()).clip(0.1, 0.9)
    result = add_detail(smooth.clip(0.1, 0.9), truth, known)
    assert result.min() >= 0.1
    assert result.max() <= np.float32(0.9)


def test_a_white_margin_at_the_edge_stays_white():
    truth = np.full((120, 160, 3), 0.92, dtype=np.float32)
    truth[26:-26, 26:-26] = 0.45
    truth += 0.01 * grain(120, 160)
    known = np.zeros((120, 160), dtype=bool)
    known[10:-10, 10:-10] = True
    fill = np.where(known[:, :, None], truth, np.float32(0.92))
    result = add_detail(fill, truth, known)
    assert result[~known].min() > 0.86
    assert 0.006 < result[~known].std() < 0.014


def test_a_narrow_margin_gets_its_own_grain_and_no_halo_of_the_print_beside_it():
    """No place is known that is further than 10 px from the border of the print."""
    truth = np.full((120, 160, 3), 0.92, dtype=np.float32)
    truth[20:-20, 20:-20] = 0.5
    truth += 0.005 * grain(120, 160)
    known = np.zeros((120, 160), dtype=bool)
    known[10:-10, 10:-10] = True
    fill = np.where(known[:, :, None], truth, np.float32(0.92))
    added = (add_detail(fill, truth, known) - fill)[~known]
    assert 0.003 < added.std() < 0.008
    assert np.abs(added).max() < 0.04


def test_deep_in_a_hole_rocks_hang_in_no_sky():
    """A hole between a plain sky and rocks, of the rocks' colour: its middle gets few of them."""
    below = np.arange(160)[:, None, None] >= 80
    truth = np.where(below, 0.4, 0.7) + grain() * np.where(below, 0.08, 0.002)
    truth = truth.astype(np.float32)
    known = np.ones((160, 200), dtype=bool)
    known[20:140, 40:160] = False
    fill = np.where(known[:, :, None], truth, np.float32(0.4))
    middle = (add_detail(fill, truth, known) - fill)[72:88, 70:130].std()
    assert 0.005 < middle < 0.05  # the rocks: 0.08


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_gray_and_alpha(channels: int):
    known, smooth = scratches(), ramp(channels=channels)
    truth = smooth + 0.04 * grain(channels=channels)
    result = add_detail(smooth, truth, known)
    assert result.shape == truth.shape
    assert 0.02 < (result - smooth)[~known].std() < 0.06


def test_without_known_surroundings_the_fill_stays():
    known = np.zeros((64, 64), dtype=bool)
    known[:, ::2] = True
    fill = ramp(64, 64)
    assert np.array_equal(add_detail(fill, fill + 0.04 * grain(64, 64), known), fill)


def test_tiles_do_not_change_the_amount(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dip.filling.detail._TILE_PX", 48)
    test_grain_continues_in_thin_damage_and_spots()


def test_a_tile_without_known_pixels_copies_from_beyond_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dip.filling.detail._TILE_PX", 48)
    known, smooth = np.ones((160, 200), dtype=bool), ramp()
    known[90:, 90:] = False
    truth = smooth + 0.04 * grain()
    added = add_detail(smooth, truth, known) - smooth
    assert added[150:, 190:].std() == pytest.approx(0.04, rel=0.3)


def test_a_restoration_of_thin_damage_has_grain():
    known, smooth = scratches(96, 120), ramp(96, 120)
    truth = ((smooth + 0.06 * grain(96, 120)).clip(0, 1) * 255).astype(np.uint8)
    results = []
    for texture in (0.0, 1.0):
        settings = Settings(preset="fast", iterations=10, texture=texture)
        restoration = Restoration(truth, ~known, settings, keep_reconstruction=True)
        for _ in restoration:
            pass
        results.append(restoration.result().astype(np.float32))
    truth_floats = truth.astype(np.float32)
    plain, grainy = (band_ratios(each, truth_floats, ~known)[0] for each in results)
    assert plain < 0.8 < grainy
    assert np.array_equal(restoration.result()[known], truth[known])
    assert psnr_db(restoration.smooth() * 255, results[0]) > 45
