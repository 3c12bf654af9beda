"""Named recipes, each with its reason. `recipe` turns a preset, a network and a damage into a fit.

The figures that these choices rest on are in `tests/benchmarks/NOTES.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dip.config import Damage, Finish, FitConfig, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named trade of time for quality.

    Parameters
    ----------
    name : str
    description : str
        One line, for a user.
    iterations : mapping
        Iterations of each run, for each kind of damage.
    runs : mapping
        Fits of a region, each from a start of its own, for each kind of damage.
    most_pixels : mapping
        For each kind of damage: regions that would be larger are cut into tiles or, holes, fitted
        at reduced size.
    hole_finish : str
        How holes are finished; see `FitConfig.finish`.
    membrane_part : float
        Of the output in thin damage; see `FitConfig.membrane_part`.
    published : bool
        Whether the recipe is the published one instead of this project's.
    """

    name: str
    description: str
    iterations: Mapping[Damage, int]
    runs: Mapping[Damage, int]
    most_pixels: Mapping[Damage, int]
    hole_finish: Finish = "mixture"
    membrane_part: float = 0.0
    published: bool = False


_HOLE_PIXELS = 40_000
"""Holes are fitted at a size at which few starts go astray; finer ones are no better."""


def _each(thin: int, hole: int, scattered: int) -> Mapping[Damage, int]:
    return MappingProxyType({"thin": thin, "hole": hole, "scattered": scattered})


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                name="fast",
                description="a first look, in about a third of the time; a little softer",
                iterations=_each(thin=34, hole=80, scattered=17),
                runs=_each(thin=1, hole=3, scattered=1),
                most_pixels=_each(thin=400_000, hole=_HOLE_PIXELS, scattered=400_000),
                hole_finish="membrane",
                membrane_part=0.3,
            ),
            Preset(
                name="balanced",
                description="the default",
                iterations=_each(thin=172, hole=80, scattered=400),
                runs=_each(thin=1, hole=8, scattered=1),
                most_pixels=_each(thin=700_000, hole=_HOLE_PIXELS, scattered=700_000),
            ),
            Preset(
                name="best",
                description="the highest quality, in about five times the time",
                iterations=_each(thin=172, hole=80, scattered=400),
                runs=_each(thin=6, hole=20, scattered=2),
                most_pixels=_each(thin=2_000_000, hole=_HOLE_PIXELS, scattered=2_000_000),
            ),
            Preset(
                name="paper",
                description="the published recipe, to measure against; hours on a CPU",
                iterations=_each(thin=6001, hole=3001, scattered=11000),
                runs=_each(thin=1, hole=1, scattered=1),
                most_pixels=_each(thin=100_000_000, hole=100_000_000, scattered=100_000_000),
                published=True,
            ),
        )
    }
)


LEAN: Mapping[str, Preset] = MappingProxyType(
    {
        **PRESETS,
        "fast": replace(
            PRESETS["fast"],
            iterations=_each(thin=20, hole=80, scattered=10),
            runs=_each(thin=1, hole=2, scattered=1),
            most_pixels=_each(thin=400_000, hole=22_000, scattered=400_000),
            membrane_part=0.7,
        ),
        "balanced": replace(
            PRESETS["balanced"],
            iterations=_each(thin=110, hole=80, scattered=300),
            runs=_each(thin=1, hole=6, scattered=1),
        ),
        "best": replace(PRESETS["best"], iterations=_each(thin=150, hole=80, scattered=300)),
    }
)
"""The same where arithmetic is slow: what a preset means to a user is how long it takes."""


def recipe(
    preset: str,
    network: str,
    damage: Damage,
    iterations: int | None = None,
    *,
    lean: bool = False,
) -> FitConfig:
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
        Instead of the preset's own; then a fit is not stopped early.
    lean : bool
        For a machine whose arithmetic is slow: a smaller network, and less of it.

    Returns
    -------
    FitConfig
    """
    chosen = _chosen(preset, lean)
    config = _published(network, damage) if chosen.published else _tuned(network, damage, lean)
    if damage == "hole" and not chosen.published:
        config = replace(config, finish=chosen.hole_finish)
    if damage == "thin" and iterations is None:
        config = replace(config, membrane_part=chosen.membrane_part)
    length, runs = chosen.iterations[damage], chosen.runs[damage]
    if network == "segnet" and not chosen.published:  # its iterations take twice as long
        if damage != "thin":
            runs = math.ceil(2 * runs / 3)
        elif iterations is None:  # runs differ more than a U-Net's, and their mean gains more
            part, runs = (0.7, runs) if lean else (0.54, 2 * runs)
            length = math.ceil(part * length)
    stop_early = iterations is None and not chosen.published
    return replace(config, iterations=iterations or length, runs=runs, stop_early=stop_early)


def most_pixels(preset: str, damage: Damage, *, lean: bool = False) -> int:
    """How large a region may be before it is tiled or, a hole, fitted at reduced size.

    Parameters are those of `recipe`.
    """
    return _chosen(preset, lean).most_pixels[damage]


def _chosen(preset: str, lean: bool) -> Preset:
    return (LEAN if lean else PRESETS)[preset]


def _tuned(network: str, damage: Damage, lean: bool) -> FitConfig:
    shape = NetworkConfig(name=network, reduce_first=True)
    if damage == "hole":
        # Twice as wide at the coarse scales, every third start goes astray.
        shape = replace(shape, channels=(16, 32, 64, 64, 64))
        # Coordinates hold no detail that the network could copy into the hole, and half the rate
        # leaves it smooth for longer. Without an anchor many starts end far off, and from gray
        # some of it stays where nothing is known: purple on a red table.
        return FitConfig(
            network=shape,
            iterations=1,
            code="coordinates",
            learning_rate=0.05,
            anchor=(3.0, 0.8),
            mean_first=True,
        )
    if damage == "thin":
        if network == "unet":
            # 32 channels at the finest scale: 1 dB more in fine detail than 16. The pixel shuffle
            # halves the time per iteration, at no loss.
            shape = replace(shape, channels=(32, 64, 128, 128, 128), shuffle_channels=16)
            if lean:  # 0.56 of the time, for 0.0 to 0.6 dB
                shape = replace(shape, channels=(32, 48, 64, 64, 64), shuffle_kernel=1)
        return FitConfig(
            network=shape,
            iterations=1,
            code="noise",
            learning_rate=0.1,
            holdout_fraction=0.1,
            finish="kriging",
        )
    # Scattered: interpolation is near the truth already; three scales are enough to correct it.
    shape = NetworkConfig(
        name=network,
        channels=(32, 48, 64) if lean else (32, 64, 128),
        skip_channels=(16, 16, 16),
        convolutions=(2, 2, 2),
        reduce_first=True,
        correction=True,
    )
    return FitConfig(
        network=shape,
        iterations=1,
        code="fill",
        learning_rate=0.03,
        loss="mse",
        holdout_fraction=0.0,
        averaging=0.0,
        finish="none",
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
        finish="none",
    )
