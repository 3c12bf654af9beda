"""Presets: how long each of them works, and how each kind of damage is fitted.

`PRESETS` is the table of work: runs, iterations, the largest region. `_TUNED` and `_PAPER` are the
tables of methods: network, input code, learning rate, loss. `recipe` joins a row of each to a
`FitConfig`. The measurements behind the numbers are in `tests/benchmarks/NOTES.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from dip.config import DAMAGES, Damage, FitConfig, NetworkConfig, ResidualFill


@dataclass(frozen=True)
class Runs:
    """Fits of one region from different random starts, and the iterations of each."""

    count: int
    iterations: int


@dataclass(frozen=True)
class Work:
    """The work that a preset spends on one kind of damage.

    Parameters
    ----------
    unet, segnet : Runs
        An iteration of SegNet takes twice as long. In thin damage its runs differ more than those
        of a U-Net, so several short runs and their mean are better than one long run.
    max_pixels : int
        A larger region is cut into tiles; a larger hole is fitted at reduced size. Of specks: the
        pixels of all patches that one network is fitted to.
    residual_fill : str, optional
        See `FitConfig.residual_fill`; the method's own when None.
    membrane_part : float
        See `FitConfig.membrane_part`.
    gain_share : float
        Only of specks: those with the largest predicted gains are fitted, as many as hold this
        share of the gain of all.
    """

    unet: Runs
    segnet: Runs
    max_pixels: int
    residual_fill: ResidualFill | None = None
    membrane_part: float = 0.0
    gain_share: float = 1.0

    def runs(self, network: str) -> Runs:
        """The runs of a network, by its name."""
        return self.segnet if network == "segnet" else self.unet


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named balance of time and quality.

    Parameters
    ----------
    description : str
        One line, for a user.
    work : mapping
        For each kind of damage.
    low_compute_work : mapping
        The same for a machine with slow arithmetic: to a user, a preset means a waiting time.
    published : bool
        Whether the method is the published one, `_PAPER`, instead of `_TUNED`.
    """

    description: str
    work: Mapping[Damage, Work]
    low_compute_work: Mapping[Damage, Work]
    published: bool = False


_HOLE_PIXELS = 40_000
"""At this size few runs fail on a hole; a finer fit is not better."""

_STACK_PIXELS = 80_000
"""Of one stack of patches: small enough to spread over the cores, large enough to share weights."""

_PAPER_WORK: Mapping[Damage, Work] = {
    "speck": Work(Runs(1, 6001), Runs(1, 6001), _STACK_PIXELS),
    "thin": Work(Runs(1, 6001), Runs(1, 6001), 100_000_000),
    "hole": Work(Runs(1, 3001), Runs(1, 3001), 100_000_000),
    "scattered": Work(Runs(1, 11000), Runs(1, 11000), 100_000_000),
}

# Runs(8, 80) is 8 runs of 80 iterations each.
PRESETS: Mapping[str, Preset] = {
    "fast": Preset(
        description="a first look, in about a third of the time; a little softer",
        work={
            #             U-Net         SegNet        max_pixels
            "speck": Work(Runs(1, 60), Runs(1, 60), _STACK_PIXELS, gain_share=0.65),
            "thin": Work(Runs(1, 34), Runs(2, 19), 400_000, membrane_part=0.3),
            "hole": Work(Runs(3, 80), Runs(2, 80), _HOLE_PIXELS, residual_fill="membrane"),
            "scattered": Work(Runs(1, 17), Runs(1, 17), 400_000),
        },
        low_compute_work={
            "speck": Work(Runs(1, 43), Runs(1, 43), _STACK_PIXELS, gain_share=0.5),
            "thin": Work(Runs(1, 20), Runs(1, 14), 400_000, membrane_part=0.7),
            "hole": Work(Runs(2, 80), Runs(2, 80), 22_000, residual_fill="membrane"),
            "scattered": Work(Runs(1, 10), Runs(1, 10), 400_000),
        },
    ),
    "balanced": Preset(
        description="the default",
        work={
            "speck": Work(Runs(1, 86), Runs(1, 86), _STACK_PIXELS, gain_share=0.95),
            "thin": Work(Runs(1, 172), Runs(2, 93), 700_000),
            "hole": Work(Runs(8, 80), Runs(6, 80), _HOLE_PIXELS),
            "scattered": Work(Runs(1, 400), Runs(1, 400), 700_000),
        },
        low_compute_work={
            "speck": Work(Runs(1, 60), Runs(1, 60), _STACK_PIXELS, gain_share=0.95),
            "thin": Work(Runs(1, 110), Runs(1, 77), 700_000),
            "hole": Work(Runs(6, 80), Runs(4, 80), _HOLE_PIXELS),
            "scattered": Work(Runs(1, 300), Runs(1, 300), 700_000),
        },
    ),
    "best": Preset(
        description="the highest quality, in about five times the time",
        work={
            "speck": Work(Runs(4, 86), Runs(4, 86), _STACK_PIXELS),
            "thin": Work(Runs(6, 172), Runs(12, 93), 2_000_000),
            "hole": Work(Runs(20, 80), Runs(14, 80), _HOLE_PIXELS),
            "scattered": Work(Runs(2, 400), Runs(2, 400), 2_000_000),
        },
        low_compute_work={
            "speck": Work(Runs(4, 60), Runs(4, 60), _STACK_PIXELS),
            "thin": Work(Runs(6, 150), Runs(6, 105), 2_000_000),
            "hole": Work(Runs(20, 80), Runs(14, 80), _HOLE_PIXELS),
            "scattered": Work(Runs(2, 300), Runs(2, 300), 2_000_000),
        },
    ),
    "paper": Preset(
        description="the published recipe, to measure against; hours on a CPU",
        work=_PAPER_WORK,
        low_compute_work=_PAPER_WORK,
        published=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class _Method:
    """How one kind of damage is fitted.

    Parameters
    ----------
    networks : mapping
        The shape of each network, by name.
    low_compute_networks : mapping
        Shapes that replace those of `networks` on a machine with slow arithmetic.
    fit : callable
        `FitConfig` with all that the preset does not decide.
    residual_fill : str
        See `FitConfig.residual_fill`.
    """

    networks: Mapping[str, NetworkConfig]
    low_compute_networks: Mapping[str, NetworkConfig] = field(default_factory=dict)
    fit: Callable[..., FitConfig]
    residual_fill: ResidualFill

    def network(self, name: str, low_compute: bool) -> NetworkConfig:
        shape = self.low_compute_networks.get(name) if low_compute else None
        return shape or self.networks[name]


# Wider coarse scales, up to 128: every third run on a hole fails.
_hole_shape = partial(NetworkConfig, channels=(16, 32, 64, 64, 64), reduce_first=True)

# Interpolation of scattered damage is already near the truth; three scales suffice to correct it.
_scattered_shape = partial(
    NetworkConfig,
    skip_channels=(16, 16, 16),
    convolutions=(2, 2, 2),
    reduce_first=True,
    correction=True,
)

_SMALL_UNET = NetworkConfig(
    channels=(32, 48, 64, 64, 64), shuffle_channels=16, shuffle_kernel=1, reduce_first=True
)

_TUNED: Mapping[Damage, _Method] = {
    "speck": _Method(
        networks={
            "unet": _SMALL_UNET,
            "segnet": NetworkConfig(
                name="segnet", channels=(16, 32, 64, 64, 64), reduce_first=True
            ),
        },
        fit=partial(FitConfig, code="noise", learning_rate=0.1),
        residual_fill="kriging",
    ),
    "thin": _Method(
        networks={
            # 32 channels at the finest scale: 1 dB more in fine detail than 16. The pixel shuffle
            # halves the time of an iteration, at no loss.
            "unet": NetworkConfig(
                channels=(32, 64, 128, 128, 128), shuffle_channels=16, reduce_first=True
            ),
            "segnet": NetworkConfig(
                name="segnet", channels=(16, 32, 64, 128, 128), reduce_first=True
            ),
        },
        low_compute_networks={
            # 0.56 of the time, for 0.0 to 0.6 dB.
            "unet": _SMALL_UNET,
        },
        fit=partial(FitConfig, code="noise", learning_rate=0.1, holdout_fraction=0.1),
        residual_fill="kriging",
    ),
    "hole": _Method(
        networks={"unet": _hole_shape(), "segnet": _hole_shape(name="segnet")},
        # Coordinates hold no detail that the network could copy into the hole. Half the rate keeps
        # the fill smooth for longer. Without the penalty many runs end far off. From a gray start
        # some gray stays deep in the hole: purple on a red table.
        fit=partial(
            FitConfig,
            code="coordinates",
            learning_rate=0.05,
            membrane_penalty=(3.0, 0.8),
            start_at_mean=True,
        ),
        residual_fill="stacked",
    ),
    "scattered": _Method(
        networks={
            "unet": _scattered_shape(channels=(32, 64, 128)),
            "segnet": _scattered_shape(name="segnet", channels=(32, 64, 128)),
        },
        low_compute_networks={
            "unet": _scattered_shape(channels=(32, 48, 64)),
            "segnet": _scattered_shape(name="segnet", channels=(32, 48, 64)),
        },
        fit=partial(
            FitConfig,
            code="fill",
            learning_rate=0.03,
            loss="mse",
            holdout_fraction=0.0,
            averaging=0.0,
        ),
        residual_fill="none",
    ),
}

_paper_shape = partial(NetworkConfig, upsampling="nearest", padding="reflect")
_paper_fit = partial(
    FitConfig,
    code="noise",
    optimizer="adam",
    decay=False,
    loss="mse",
    averaging=0.0,
    holdout_fraction=0.0,
)
_PAPER_UNET = _paper_shape(channels=(128,) * 5, skip_channels=(128,) * 5)
_PAPER_HOLE_UNET = _paper_shape(
    channels=(16, 32, 64, 128, 128, 128), skip_channels=(0,) * 6, kernel_down=5
)
_PAPER_SEGNET = NetworkConfig(name="segnet", channels=(64, 128, 256, 512, 512))

_PAPER_THIN = _Method(
    networks={"unet": _PAPER_UNET, "segnet": _PAPER_SEGNET},
    fit=partial(_paper_fit, learning_rate=0.01, jitter_std=0.03),
    residual_fill="none",
)

# Source: arXiv:1711.10925, section 4, and the settings in the authors' code.
_PAPER: Mapping[Damage, _Method] = {
    "speck": _PAPER_THIN,
    "thin": _PAPER_THIN,
    "hole": _Method(
        networks={"unet": _PAPER_HOLE_UNET, "segnet": _PAPER_SEGNET},
        fit=partial(_paper_fit, learning_rate=0.01, jitter_std=0.0),
        residual_fill="none",
    ),
    "scattered": _Method(
        networks={"unet": _PAPER_UNET, "segnet": _PAPER_SEGNET},
        fit=partial(_paper_fit, learning_rate=0.001, jitter_std=0.03),
        residual_fill="none",
    ),
}


def recipe(
    preset: str,
    network: str,
    damage: Damage,
    iterations: int | None = None,
    *,
    low_compute: bool = False,
) -> FitConfig:
    """Configure the fit of a region.

    Parameters
    ----------
    preset : str
        A name in `PRESETS`.
    network : str
        A name in `dip.config.NETWORKS`.
    damage : str
        The region's kind of damage.
    iterations : int, optional
        Iterations of each run instead of the preset's own; such a fit is not stopped early.
    low_compute : bool
        For a machine with slow arithmetic: a smaller network and less work.

    Returns
    -------
    FitConfig
    """
    chosen, work = PRESETS[preset], _work(preset, low_compute)[damage]
    method = (_PAPER if chosen.published else _TUNED)[damage]
    runs = work.runs(network)
    count, membrane_part = runs.count, work.membrane_part
    if iterations is not None:
        # SegNet's additional runs and the membrane suit the preset's own number of iterations only.
        count, membrane_part = min(count, work.unet.count), 0.0
    return method.fit(
        network=method.network(network, low_compute),
        iterations=iterations or runs.iterations,
        runs=count,
        stop_early=iterations is None and not chosen.published,
        residual_fill=work.residual_fill or method.residual_fill,
        membrane_part=membrane_part,
    )


def max_pixels(preset: str, *, low_compute: bool = False) -> dict[Damage, int]:
    """The largest region of each kind of damage that is neither tiled nor reduced, in pixels.

    Parameters are those of `recipe`.
    """
    work = _work(preset, low_compute)
    return {damage: work[damage].max_pixels for damage in DAMAGES}


def gain_share(preset: str, iterations: int | None = None, *, low_compute: bool = False) -> float:
    """The share of the predicted gain for which specks are fitted; see `Work.gain_share`.

    Parameters are those of `recipe`.
    """
    return 1.0 if iterations else _work(preset, low_compute)["speck"].gain_share


def _work(preset: str, low_compute: bool) -> Mapping[Damage, Work]:
    return PRESETS[preset].low_compute_work if low_compute else PRESETS[preset].work
