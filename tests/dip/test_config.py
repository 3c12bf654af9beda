"""Settings check themselves, and errors name the wrong value."""

from __future__ import annotations

from typing import Any

import pytest

from dip.config import FitConfig, NetworkConfig, Settings
from dip.errors import SettingError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "resnet"),
        ("preset", "quick"),
        ("device", "tpu"),
        ("iterations", 0),
        ("iterations", 2.5),
        ("iterations", True),
        ("seed", -1),
        ("seed", "1"),
        ("threads", 0),
        ("max_memory_mb", 1),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(SettingError) as caught:
        Settings(**{name: value})
    assert name in caught.value.message
    assert str(value) in caught.value.message


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"no setting iteration_count\. Use network"):
        Settings.from_mapping({"iteration_count": 3})


def test_settings_come_from_a_mapping() -> None:
    assert Settings.from_mapping({"seed": 3, "network": "segnet"}) == Settings(
        seed=3, network="segnet"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "resnet"},
        {"channels": ()},
        {"channels": (0, 8)},
        {"channels": (8, 8), "skip_channels": (4,)},
        {"channels": (8, 8), "skip_channels": (4, -1)},
        {"name": "segnet", "channels": (8, 8), "convolutions": (2, 0)},
        {"kernel_down": 4},
        {"upsampling": "cubic"},
        {"padding": "same"},
    ],
)
def test_an_impossible_network_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        NetworkConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"averaging": 1.0},
        {"holdout_fraction": 0.9},
        {"code": "image"},
        {"optimizer": "sgd"},
        {"loss": "l3"},
        {"jitter_std": -1},
        {"runs": 0},
        {"membrane_penalty": (1.0, -1.0)},
        {"residual_fill": "poisson"},
        {"membrane_part": 1.5},
        {"code": "fill"},
    ],
)
def test_an_impossible_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        FitConfig(**{"network": NetworkConfig(), "iterations": 10, **wrong})


def test_runs_multiply_the_iterations() -> None:
    config = FitConfig(network=NetworkConfig(), iterations=10, runs=3)
    assert config.total_iterations == 30


def test_a_fill_is_the_input_of_a_correction_alone() -> None:
    FitConfig(network=NetworkConfig(correction=True), iterations=10, code="fill")
    with pytest.raises(SettingError, match="is a correction"):
        FitConfig(network=NetworkConfig(correction=True), iterations=10)
