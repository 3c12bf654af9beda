"""Named recipes, each with its reason. `recipe` turns a preset, a network and a damage into a fit.

The figures that these choices rest on are in `tests/benchmarks/NOTES.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dip.config import Damage, FitConfig, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named trade of time for quality.

    Parameters
    ----------
    name : str
    description : str
        One line, for a user.
    iterations : mapping
        Iterations for each kind of damage.
    most_pixels : int
        Regions that would be larger are cut into tiles, or, holes, fitted at reduced size.
    published : bool
        Whether the recipe is the published one instead of this project's.
    """

    name: str
    description: str
    iterations: Mapping[Damage, int]
    most_pixels: int
    published: bool = False


def _iterations(thin: int, hole: int, scattered: int) -> Mapping[Damage, int]:
    return MappingProxyType({"thin": thin, "hole": hole, "scattered": scattered})


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                name="fast",
                description="a first look, in about a third of the time; a little softer",
                iterations=_iterations(thin=80, hole=60, scattered=120),
                most_pixels=400_000,
            ),
            Preset(
                name="balanced",
                description="the default",
                iterations=_iterations(thin=220, hole=120, scattered=400),
                most_pixels=700_000,
            ),
            Preset(
                name="best",
                description="the highest quality, in about five times the time",
                iterations=_iterations(thin=1000, hole=300, scattered=2000),
                most_pixels=2_000_000,
            ),
            Preset(
                name="paper",
                description="the published recipe, to measure against; hours on a CPU",
                iterations=_iterations(thin=6001, hole=3001, scattered=11000),
                most_pixels=100_000_000,
                published=True,
            ),
        )
    }
)


def recipe(preset: str, network: str, damage: Damage, iterations: int | None = None) -> FitConfig:
    """Say how a region is fitted.

    Parameters
    ----------
    preset : str
        A name in `PRESETS`.
    network : str
        A name in `dip.config.NETWORKS`.
    damage : str
        The region's kind of damage.
    iterations : int, optional
        Instead of the preset's own.

    Returns
    -------
    FitConfig
    """
    chosen = PRESETS[preset]
    config = _published(network, damage) if chosen.published else _tuned(network, damage)
    return replace(config, iterations=iterations or chosen.iterations[damage])


def _tuned(network: str, damage: Damage) -> FitConfig:
    shape = NetworkConfig(name=network)
    if damage == "hole":
        # Coordinates hold no detail that the network could copy into the hole, and half the rate
        # leaves it smooth for longer.
        return FitConfig(network=shape, iterations=1, code="coordinates", learning_rate=0.05)
    if damage == "thin":
        if network == "unet":  # 1 dB more in fine detail than 16 channels at the finest scale
            shape = replace(shape, channels=(32, 64, 128, 128, 128))
        return FitConfig(network=shape, iterations=1, code="noise", learning_rate=0.1)
    # Scattered: jitter and squared errors keep it learning structure where without them it
    # learns the known pixels by heart.
    if network == "unet":
        shape = replace(shape, channels=(64, 64, 128, 128, 128), skip_channels=(4,) * 5)
    return FitConfig(
        network=shape, iterations=1, code="noise", learning_rate=0.1, loss="mse", jitter_std=0.03
    )


def _published(network: str, damage: Damage) -> FitConfig:
    """The paper's inpainting recipes: arXiv:1711.10925, section 4 and the authors' settings."""
    holes = damage == "hole"
    if network == "segnet":
        shape = NetworkConfig(name="segnet", channels=(64, 128, 256, 512, 512))
    elif holes:
        shape = NetworkConfig(
            channels=(16, 32, 64, 128, 128, 128),
            skip_channels=(0,) * 6,
            kernel_down=5,
            upsampling="nearest",
            padding="reflect",
        )
    else:
        shape = NetworkConfig(
            channels=(128,) * 5,
            skip_channels=(128,) * 5,
            upsampling="nearest",
            padding="reflect",
        )
    return FitConfig(
        network=shape,
        iterations=1,
        optimizer="adam",
        learning_rate=0.001 if damage == "scattered" else 0.01,
        decay=False,
        loss="mse",
        code="noise",
        jitter_std=0.0 if holes else 0.03,
        averaging=0.0,
        holdout_fraction=0.0,
        harmonise=False,
    )
