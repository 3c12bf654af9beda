"""Detail copied into the smooth fill of a hole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.bench.metrics import psnr_db, texture_distance
from dip.config import Settings
from dip.errors import SettingError
from dip.filling.patch_match import PatchField
from dip.filling.shift_map import dominant_offsets, shift_map
from dip.filling.structure import add_structure
from dip.restore import Restoration

Array = NDArray[np.float32]
Bricks = Callable[..., Array]


@pytest.fixture
def bricks(brick_joints: Callable[[int, int, int, int], NDArray[np.bool_]]) -> Bricks:
    """A wall with bricks of 24 × 12 px: (H, W, 3)."""

    def draw(height: int = 160, width: int = 200) -> Array:
        joints = brick_joints(height, width, 12, 2)[:, :, None]
        return np.where(joints, (0.8, 0.8, 0.75), (0.5, 0.25, 0.2)).astype(np.float32)

    return draw


def hole(shape: tuple[int, ...], size: int = 40) -> NDArray[np.bool_]:
    known = np.ones(shape[:2], dtype=bool)
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    known[top : top + size, left : left + size] = False
    return known


def smoothed(truth: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The mean colour in the hole, and the truth without it."""
    flat = np.where(known[:, :, None], truth, truth[known].mean(0))
    return flat.astype(np.float32), np.where(known[:, :, None], truth, np.float32(0))


def test_a_wall_continues_through_a_hole(bricks: Bricks):
    truth = bricks()
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    result = add_structure(fill, target, known)
    assert psnr_db(fill, truth, ~known) < 16
    assert psnr_db(result, truth, ~known) > 30


def test_known_pixels_stay_and_unknown_ones_are_ignored(bricks: Bricks):
    truth = bricks()
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    result = add_structure(fill, target, known, seed=3)
    assert np.array_equal(result[known], fill[known])
    target[~known] = 0.123
    assert np.array_equal(add_structure(fill, target, known, seed=3), result)


def test_the_strength_scales_the_added_detail(bricks: Bricks):
    truth = bricks()
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    full = add_structure(fill, target, known)
    assert add_structure(fill, target, known, strength=0) is fill
    half = add_structure(fill, target, known, strength=0.5)
    assert half.min() >= truth.min()
    assert half.max() <= truth.max()
    added = full - fill
    assert half - fill == pytest.approx(added / 2, abs=0.05)  # values out of range are clipped
    assert np.abs(half - fill - added / 2).mean() < 0.01 * np.abs(added).mean()


def test_copies_replace_the_fill_where_the_surroundings_repeat(bricks: Bricks):
    """This removes streaks in a fill, which have too much detail rather than too little."""
    truth = bricks()
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    streaks = 0.1 * np.random.default_rng(5).normal(size=(1, truth.shape[1], 1))
    streaky = np.where(known[:, :, None], fill, fill + streaks).astype(np.float32)
    results = [add_structure(streaky, target, known, regularity=each) for each in (0.0, 0.7, 1.0)]
    rest, less, least = (float(np.square(each - truth)[~known].mean()) for each in results)
    assert least < less < rest / 1.5


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_alpha(bricks: Bricks, channels: int):
    truth = np.repeat(bricks()[:, :, :1], channels, axis=2)
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    result = add_structure(fill, target, known)
    assert result.shape == truth.shape
    assert psnr_db(result[:, :, 0], truth[:, :, 0], ~known) > 30


@pytest.mark.parametrize("size", [(9, 200), (12, 12), (64, 64)])
def test_with_too_few_known_pixels_the_fill_stays(size: tuple[int, int]):
    known = np.zeros(size, dtype=bool)
    known[:, :4] = True
    fill = np.full((*size, 3), 0.4, dtype=np.float32)
    assert add_structure(fill, fill, known) is fill


def test_large_images_are_searched_at_a_smaller_size(
    bricks: Bricks, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dip.filling.structure._MAX_SEARCHED_PX", 10_000)
    monkeypatch.setattr("dip.filling.structure._MAX_SOURCES", 8_000)
    truth = bricks()
    known = hole(truth.shape)
    fill, target = smoothed(truth, known)
    result = add_structure(fill, target, known)
    assert psnr_db(result, truth, ~known) > 20


def test_the_offsets_of_a_wall_are_whole_bricks(bricks: Bricks):
    truth = bricks()
    known = hole(truth.shape)
    generator = np.random.default_rng(0)
    offsets = dominant_offsets(truth, known, known, most=10, generator=generator)
    assert len(offsets) == 10
    down, right = offsets.T
    assert not (down % 12).any()
    assert not ((right - 12 * (down // 12 % 2)) % 24).any()


def test_a_shift_map_leads_only_to_known_pixels(bricks: Bricks):
    truth = bricks()
    known = hole(truth.shape)
    guide, _ = smoothed(truth, known)
    offsets = np.array([(0, 48), (24, 0), (0, 24), (12, 12), (500, 0)])
    labels = shift_map(guide, ~known, offsets)
    assert (labels[known] == -1).all()
    rows, columns = np.nonzero(labels >= 0)
    assert len(rows) == np.count_nonzero(~known)
    down, right = offsets[labels[rows, columns]].T
    assert known[rows + down, columns + right].all()
    assert np.allclose(truth[rows + down, columns + right], truth[rows, columns])


def test_without_a_usable_offset_nothing_is_mapped(bricks: Bricks):
    guide = bricks(40, 40)
    unknown = ~hole(guide.shape, 20)
    assert (shift_map(guide, unknown, np.array([(400, 0)])) == -1).all()
    assert (shift_map(guide, unknown, np.empty((0, 2), dtype=np.int64)) == -1).all()


def test_a_search_improves_a_random_start(bricks: Bricks):
    truth = bricks(100, 120)
    known = hole(truth.shape, 24)
    field = PatchField(truth, ~known, np.random.default_rng(0))
    field.start(np.full(len(field.targets), -1), np.zeros(len(field.targets), dtype=np.int64))
    for _ in range(6):
        field.search()
    field.vote()
    assert psnr_db(field.image, truth, ~known) > 30  # the guide was the truth here


def test_a_restoration_applies_its_texture_setting_to_holes(bricks: Bricks):
    truth = (bricks() * 255).astype(np.uint8)
    mask = ~hole(truth.shape)
    smooth, textured = (
        Restoration(
            truth, mask, Settings(preset="fast", iterations=10, texture=texture),
            keep_reconstruction=True,
        )
        for texture in (0.0, 1.0)
    )  # fmt: skip
    for restoration in (smooth, textured):
        for _ in restoration:
            pass
    lacking, rich = (texture_distance(each.result(), truth, mask) for each in (smooth, textured))
    assert rich < lacking / 2
    before = textured.smooth()
    assert psnr_db(before, smooth.result()) > 50
    assert np.array_equal(before[~mask], truth[~mask].astype(np.float32) / 255)


@pytest.mark.parametrize("texture", [-0.1, 1.5, "full", True, float("nan")])
def test_a_texture_outside_0_to_1_is_refused(texture: object):
    with pytest.raises(SettingError, match="texture is"):
        Settings.from_mapping({"texture": texture})


def test_a_scratch_gets_no_structure(bricks: Bricks):
    truth = bricks()
    known = np.ones(truth.shape[:2], dtype=bool)
    known[60:68, 20:180] = False
    fill, target = smoothed(truth, known)
    assert add_structure(fill, target, known) is fill


def test_copies_are_whole():
    truth = np.random.default_rng(5).random((64, 64, 3), dtype=np.float32)
    known = hole(truth.shape, 16)
    fill, _ = smoothed(truth, known)
    field = PatchField(fill, ~known, np.random.default_rng(0))
    field.start(field.targets // 64, field.targets % 64)
    field.vote()
    field.search()
    colours = {colour.tobytes() for colour in truth[known]}
    assert all(colour.tobytes() in colours for colour in field.copies()[~known])
    assert not all(colour.tobytes() in colours for colour in field.image[~known])
