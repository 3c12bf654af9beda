"""Settings of a restoration, as frozen dataclasses that check themselves.

`Settings` are the user's; `dip.presets` turns them into a `FitConfig` for each kind of damage.
Nothing here imports torch, so that the command line and the HTTP process can use it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from dip.errors import SettingError

NETWORKS = {
    "unet": "U-Net: encoder and decoder with concatenating skips where they help; the default",
    "segnet": "SegNet: unpools with the encoder's max-pooling indices; sharper edges, less smooth",
}
"""The networks that a user can choose, each with one line of description."""

PRESET_NAMES = ("fast", "balanced", "best", "paper")
"""The presets that a user can choose; `dip.presets` defines them."""

DEVICES = ("auto", "cpu", "cuda", "mps")

DEFAULT_TEXTURE = 1.0
"""Texture that fills get unless the user asks for more or less; see `Settings.texture`."""

MAX_GROWTH_PX = 100
"""The most that a mask can be grown by; also for the HTTP service."""

GROW_AUTO = "auto"
"""Grows a mask where damage is found at its rim; see `Settings.grow`."""

RANGES: dict[str, tuple[int, int]] = {
    "iterations": (1, 1_000_000),
    "texture": (0, 1),
    "time_s": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
    "threads": (1, 1024),
    "max_memory_mb": (64, 10_000_000),
}
"""Lowest and highest value of each number in `Settings`; also for the HTTP service and GIMP."""

Damage = Literal["speck", "thin", "hole", "scattered"]
"""Kinds of damage that need different recipes; see `dip.regions.mask.kind_of_damage`. A 'speck' is
thin damage in a patch of its own (`dip.regions.patches`)."""

DAMAGES: tuple[Damage, ...] = get_args(Damage)

Upsampling = Literal["nearest", "bilinear"]
Padding = Literal["zeros", "reflect"]
Optimizer = Literal["muon", "adam"]
Loss = Literal["l1", "mse"]
InputCode = Literal["coordinates", "noise", "both", "fill"]
ResidualFill = Literal["none", "kriging", "membrane", "stacked"]

ALL_PAGES = "all"
PAGE_NUMBER = "[1-9][0-9]{0,5}"
PAGE = f"{ALL_PAGES}|{PAGE_NUMBER}"
"""A regular expression for the page of a TIFF: a number from 1, or all."""


def _check(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise SettingError(f"{name} is {value!r}.", f"It must be {rule}.")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    within = whole and low <= value <= high  # type: ignore[operator]
    _check(within, name, value, f"a whole number from {low} to {high}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    within = number and low <= value <= high  # type: ignore[operator]
    _check(within, name, value, f"a number from {low} to {high}")


def _check_choice(name: str, value: object, choices: Collection[str]) -> None:
    _check(value in choices, name, value, "one of " + ", ".join(choices))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The user's settings of a restoration.

    Parameters
    ----------
    network : str
        A name in `NETWORKS`.
    preset : str
        One of `PRESET_NAMES`.
    iterations : int, optional
        Iterations of each run of a fit; the preset's own number when None.
    texture : float
        In [0, 1]: the share of the surroundings' detail that fills get. 0 is the smooth fill, the
        nearest to the truth in PSNR; 1 makes the fill as rich in detail as its surroundings.
    grow : int or str
        Pixels by which the mask is grown before all else, 0 to `MAX_GROWTH_PX`; with 'auto' it is
        grown only over the rim of the damage that it has missed (`dip.filling.rims`).
    time_s : float, optional
        Seconds after which the restoration ends with the best result so far; no limit when None.
        With a limit, the result depends on the speed of the machine.
    seed : int
        The same image, mask, settings and seed give the same result on the same machine.
    device : str
        One of `DEVICES`; 'auto' takes CUDA, then MPS, then the CPU.
    threads : int, optional
        CPU threads; one for each core when None.
    max_memory_mb : int, optional
        Peak memory of a fit; most of the free memory when None.

    Raises
    ------
    SettingError
        A value is unknown or out of range; the message names the setting and the value.
    """

    network: str = "unet"
    preset: str = "balanced"
    iterations: int | None = None
    texture: float = DEFAULT_TEXTURE
    grow: int | str = 0
    time_s: float | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    max_memory_mb: int | None = None

    def __post_init__(self) -> None:
        _check_choice("network", self.network, NETWORKS)
        _check_choice("preset", self.preset, PRESET_NAMES)
        _check_choice("device", self.device, DEVICES)
        _check_number("texture", self.texture, *RANGES["texture"])
        if self.grow != GROW_AUTO:
            _check(
                isinstance(self.grow, int)
                and not isinstance(self.grow, bool)
                and 0 <= self.grow <= MAX_GROWTH_PX,
                "grow",
                self.grow,
                f"a whole number of pixels from 0 to {MAX_GROWTH_PX}, or {GROW_AUTO}",
            )
        if self.time_s is not None:
            _check_number("time_s", self.time_s, *RANGES["time_s"])
        _check_integer("seed", self.seed, *RANGES["seed"])
        for name in ("iterations", "threads", "max_memory_mb"):
            value = getattr(self, name)
            if value is not None:
                _check_integer(name, value, *RANGES[name])

    @property
    def growth_px(self) -> int:
        """Pixels by which the mask is grown all around."""
        return self.grow if isinstance(self.grow, int) else 0

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Settings:
        """Make settings from a mapping such as decoded JSON.

        Raises
        ------
        SettingError
            A key is unknown, or a value is unknown or out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingError(
                f"There is no setting {', '.join(unknown)}.", f"Use {', '.join(known)}."
            )
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The shape of a network.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.
    channels : tuple of int
        Width of each scale, finest first; its length is the depth.
    skip_channels : tuple of int
        U-Net only: channels of each scale's skip connection; 0 for none.
    convolutions : tuple of int
        SegNet only: convolutions of each scale's encoder, and of its decoder.
    kernel_down, kernel_up : int
        Kernel sizes of encoder and decoder, px, odd.
    upsampling : str
        U-Net only: 'nearest' or 'bilinear'.
    reduce_first : bool
        U-Net only: whether each decoder reduces the channels of its input before upsampling, not
        after.
    shuffle_channels : int
        U-Net only: width of the finest decoder if it upsamples by pixel shuffle; 0 to interpolate
        as at the other scales.
    shuffle_kernel : int
        U-Net only: kernel size of the convolution before the pixel shuffle, px, odd.
    correction : bool
        Whether the output is added to the image in the input's first channels.
    padding : str
        'zeros' or 'reflect'.
    """

    name: str = "unet"
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)
    skip_channels: tuple[int, ...] = (0, 0, 0, 0, 0)
    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    kernel_down: int = 3
    kernel_up: int = 3
    upsampling: Upsampling = "bilinear"
    reduce_first: bool = False
    shuffle_channels: int = 0
    shuffle_kernel: int = 3
    correction: bool = False
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        depth = len(self.channels)
        _check_choice("network", self.name, NETWORKS)
        _check(1 <= depth <= 8, "channels", self.channels, "a tuple of 1 to 8 widths")
        _check(min(self.channels) >= 1, "channels", self.channels, "positive widths")
        if self.name == "unet":
            right = len(self.skip_channels) == depth and min(self.skip_channels) >= 0
            _check(right, "skip_channels", self.skip_channels, f"{depth} numbers, 0 or more")
        else:
            right = len(self.convolutions) == depth and min(self.convolutions) >= 1
            _check(right, "convolutions", self.convolutions, f"{depth} numbers, 1 or more")
        _check_integer("shuffle_channels", self.shuffle_channels, 0, 1024)
        for name in ("kernel_down", "kernel_up", "shuffle_kernel"):
            value = getattr(self, name)
            _check(value in (1, 3, 5, 7), name, value, "1, 3, 5 or 7")
        _check_choice("upsampling", self.upsampling, get_args(Upsampling))
        _check_choice("padding", self.padding, get_args(Padding))


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The configuration of the fit of one region.

    Parameters
    ----------
    network : NetworkConfig
    iterations : int
        Of each run.
    optimizer : str
        'muon' or 'adam'.
    learning_rate : float
        The initial rate; with 'muon', that of the convolution kernels.
    decay : bool
        Whether the rate falls along a cosine to a twentieth.
    loss : str
        'l1' or 'mse', over the known pixels.
    code : str
        The input code: 'coordinates', 'noise', 'both' of them, or 'fill': the known pixels and a
        kriged fill, which the network learns to correct (`dip.fitting.correction`).
    code_channels : int
        Channels of a noise code.
    jitter_std : float
        Standard deviation of the noise that is added to the code in each iteration.
    averaging : float
        Weight of the past in the running average of the outputs; 0 takes the last output.
    holdout_fraction : float
        Part of the known pixels near the damage that is held out of the loss to measure quality.
    stop_early : bool
        Whether the fit ends when held-out pixels are predicted clearly worse than before. With or
        without it, the result is an average weighted by the accuracy at held-out pixels.
    membrane_penalty : tuple of two floats
        Weight of the squared distance between the fill and a smooth membrane: at the start, and
        from half of the iterations on. Large deviations cost much, small ones little.
    start_at_mean : bool
        Whether the initial output is near the mean colour of the known pixels instead of gray. A
        trace of the initial colour stays deep in a hole.
    runs : int
        Fits from different random starts; the result is a weighted mean (`dip.fitting.ensemble`).
    residual_fill : str
        How the residual at known pixels is extended to unknown ones: 'none'; 'kriging'; in holes
        by a smooth 'membrane', or 'stacked', a combination of the membrane and long-range kriging
        (`dip.filling.residual`).
    membrane_part : float
        With 'kriging', the share of a smooth membrane in the output, in [0, 1]: a fit of few
        iterations has large errors in places that its held-out pixels do not show.
    """

    network: NetworkConfig
    iterations: int
    optimizer: Optimizer = "muon"
    learning_rate: float = 0.1
    decay: bool = True
    loss: Loss = "l1"
    code: InputCode = "coordinates"
    code_channels: int = 32
    jitter_std: float = 0.0
    averaging: float = 0.9
    holdout_fraction: float = 0.03
    stop_early: bool = False
    membrane_penalty: tuple[float, float] = (0.0, 0.0)
    start_at_mean: bool = False
    runs: int = 1
    residual_fill: ResidualFill = "membrane"
    membrane_part: float = 0.0

    @property
    def total_iterations(self) -> int:
        """Iterations of all runs."""
        return self.iterations * self.runs

    @property
    def extrapolates_residual(self) -> bool:
        """Whether the residual is extrapolated far into a hole."""
        return self.residual_fill in ("membrane", "stacked")

    def input_channels(self, image_channels: int) -> int:
        """Channels of the input code, for the number of channels of an image."""
        return {
            "coordinates": 2,
            "noise": self.code_channels,
            "both": 2 + self.code_channels,
            "fill": image_channels + 1,
        }[self.code]

    def __post_init__(self) -> None:
        _check_integer("iterations", self.iterations, *RANGES["iterations"])
        _check_integer("code_channels", self.code_channels, 1, 1024)
        _check_choice("optimizer", self.optimizer, get_args(Optimizer))
        _check_choice("loss", self.loss, get_args(Loss))
        _check_choice("code", self.code, get_args(InputCode))
        _check_choice("residual_fill", self.residual_fill, get_args(ResidualFill))
        _check_integer("runs", self.runs, 1, 100)
        penalty = self.membrane_penalty
        _check(min(penalty) >= 0, "membrane_penalty", penalty, "two numbers, 0 or more")
        _check_number("membrane_part", self.membrane_part, 0, 1)
        _check(
            (self.code == "fill") == self.network.correction,
            "code",
            self.code,
            "'fill' if the network is a correction, and only then",
        )
        _check(0 < self.learning_rate <= 10, "learning_rate", self.learning_rate, "in (0, 10]")
        _check(0 <= self.jitter_std <= 1, "jitter_std", self.jitter_std, "in [0, 1]")
        _check(0 <= self.averaging < 1, "averaging", self.averaging, "in [0, 1)")
        fraction = self.holdout_fraction
        _check(0 <= fraction <= 0.5, "holdout_fraction", fraction, "in [0, 0.5]")
