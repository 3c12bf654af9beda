"""Presets: a recipe for each network and kind of damage."""

from __future__ import annotations

from typing import Any

import pytest

from dip.config import DAMAGES, NETWORKS, PRESET_NAMES
from dip.presets import PRESETS, max_pixels, recipe


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_preset_has_a_recipe_for_every_network_and_damage(
    preset: str, network: str, damage: Any
) -> None:
    own = recipe(preset, network, damage)
    assert own.network.name == network
    work = PRESETS[preset].work[damage]
    runs = work.runs(network)
    assert (own.iterations, own.runs) == (runs.iterations, runs.count)
    assert own.stop_early is not PRESETS[preset].published
    asked = recipe(preset, network, damage, 7)
    assert (asked.iterations, asked.runs) == (7, min(runs.count, work.unet.count))
    assert not asked.stop_early


def test_the_presets_are_those_that_a_user_can_choose() -> None:
    assert tuple(PRESETS) == PRESET_NAMES


def test_a_better_preset_fits_for_longer() -> None:
    for damage in DAMAGES:
        counts = [
            recipe(name, "unet", damage).total_iterations for name in ("fast", "balanced", "best")
        ]
        assert counts == sorted(set(counts))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_slow_arithmetic_gets_less_to_do_by_default(network: str, damage: Any) -> None:
    def work(preset: str, low_compute: bool) -> int:
        iterations = recipe(preset, network, damage, low_compute=low_compute).total_iterations
        return iterations * max_pixels(preset, low_compute=low_compute)[damage]

    for preset in ("fast", "balanced"):
        assert work(preset, low_compute=True) < work(preset, low_compute=False)
    published = [recipe("paper", network, damage, low_compute=each) for each in (True, False)]
    assert published[0] == published[1]


def test_a_membrane_is_mixed_into_short_fits_alone() -> None:
    assert 0 < recipe("fast", "unet", "thin").membrane_part < 1
    for unmixed in (
        recipe("balanced", "unet", "thin"),
        recipe("fast", "unet", "hole"),
        recipe("fast", "unet", "thin", 500),
    ):
        assert unmixed.membrane_part == 0


def test_the_published_recipe_is_the_papers() -> None:
    thin = recipe("paper", "unet", "thin")
    assert (thin.optimizer, thin.loss, thin.learning_rate) == ("adam", "mse", 0.01)
    assert thin.network.channels == (128,) * 5
    assert thin.network.padding == "reflect"
    assert (thin.averaging, thin.residual_fill, thin.holdout_fraction) == (0, "none", 0)
    assert thin.code == "noise"
    assert thin.jitter_std == 0.03
    assert recipe("paper", "unet", "hole").network.skip_channels == (0,) * 6
    assert recipe("paper", "unet", "scattered").iterations == 11_000
