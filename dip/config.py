"""What a restoration may be asked for, as frozen dataclasses that check themselves.

`Settings` is what a user says; `FitConfig` is what that means for one region, worked out by
`dip.presets`. Nothing here imports torch, so the command line and the HTTP process can use it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from dip.errors import SettingError

NETWORKS = {
    "unet": "U-Net: encoder and decoder with concatenating skips where they help; the default",
    "segnet": "SegNet: unpools with the encoder's max-pooling indices; sharper edges, less smooth",
}
"""The networks a user may name, each with one line of description."""

PRESET_NAMES = ("fast", "balanced", "best", "paper")
"""The presets a user may name; `dip.presets` defines them."""

DEVICES = ("auto", "cpu", "cuda", "mps")

RANGES: dict[str, tuple[int, int]] = {
    "iterations": (1, 1_000_000),
    "texture": (0, 1),
    "seed": (0, 2**63 - 1),
    "threads": (1, 1024),
    "max_memory_mb": (64, 10_000_000),
}
"""Lowest and highest value of each number in `Settings`; also for the HTTP service and GIMP."""

Damage = Literal["thin", "hole", "scattered"]
"""Kinds of damage that want different recipes; see `dip.regions.mask.kind_of_damage`."""

Padding = Literal["zeros", "reflect"]
Code = Literal["coordinates", "noise", "both", "fill"]
Finish = Literal["none", "kriging", "membrane", "mixture"]


def _check(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise SettingError(f"{name} is {value!r}.", f"It must be {rule}.")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _check(
        whole and low <= value <= high,  # type: ignore[operator]
        name,
        value,
        f"a whole number from {low} to {high}",
    )


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    _check(
        number and low <= value <= high,  # type: ignore[operator]
        name,
        value,
        f"a number from {low} to {high}",
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user asks for.

    Parameters
    ----------
    network : str
        A name in `NETWORKS`.
    preset : str
        One of `PRESET_NAMES`.
    iterations : int, optional
        Iterations of each run of a fit; the preset's own number when None.
    texture : float
        In [0, 1]: how much of the surroundings' detail large holes get. 0 is the smooth fill, the
        nearest to the truth in PSNR; 1 makes it as rich as they are.
    seed : int
        The same image, mask, settings and seed give the same result on the same machine.
    device : str
        One of `DEVICES`; 'auto' takes CUDA, then MPS, then the CPU.
    threads : int, optional
        CPU threads; all cores when None.
    max_memory_mb : int, optional
        Peak memory that a fit may take; most of what is free when None.

    Raises
    ------
    SettingError
        A value is unknown or out of range; the message names it.
    """

    network: str = "unet"
    preset: str = "balanced"
    iterations: int | None = None
    texture: float = 0.7
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    max_memory_mb: int | None = None

    def __post_init__(self) -> None:
        _check(self.network in NETWORKS, "network", self.network, "one of " + ", ".join(NETWORKS))
        _check(
            self.preset in PRESET_NAMES, "preset", self.preset, "one of " + ", ".join(PRESET_NAMES)
        )
        _check(self.device in DEVICES, "device", self.device, "one of " + ", ".join(DEVICES))
        _check_number("texture", self.texture, *RANGES["texture"])
        _check_integer("seed", self.seed, *RANGES["seed"])
        for name in ("iterations", "threads", "max_memory_mb"):
            value = getattr(self, name)
            if value is not None:
                _check_integer(name, value, *RANGES[name])

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Settings:
        """Settings from a mapping such as decoded JSON; unknown keys are refused by name."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        _check(not unknown, "settings", ", ".join(unknown), "among " + ", ".join(known))
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a network.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.
    channels : tuple of int
        Width of each scale, finest first; its length is the depth.
    skip_channels : tuple of int
        U-Net only: channels that each scale's skip hands to the decoder; 0 for no skip.
    convolutions : tuple of int
        SegNet only: convolutions of each scale's encoder and of its decoder.
    kernel_down, kernel_up : int
        Kernel sizes of encoder and decoder, px, odd.
    upsampling : str
        U-Net only: 'nearest' or 'bilinear'.
    reduce_first : bool
        U-Net only: whether each decoder narrows its input before it enlarges it, not after.
    shuffle_channels : int
        U-Net only: width of the finest decoder where it enlarges by pixel shuffle, so that the
        trunk runs at half size; 0 to interpolate there as at every other scale.
    shuffle_kernel : int
        U-Net only: kernel size of the convolution before the pixel shuffle, px, odd.
    correction : bool
        Whether the output is added to the input's first channels, an image, instead of being one.
    padding : str
        'zeros' or 'reflect'.
    """

    name: str = "unet"
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)
    skip_channels: tuple[int, ...] = (0, 0, 0, 0, 0)
    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    kernel_down: int = 3
    kernel_up: int = 3
    upsampling: Literal["nearest", "bilinear"] = "bilinear"
    reduce_first: bool = False
    shuffle_channels: int = 0
    shuffle_kernel: int = 3
    correction: bool = False
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        depth = len(self.channels)
        _check(self.name in NETWORKS, "network", self.name, "one of " + ", ".join(NETWORKS))
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
        _check(self.upsampling in ("nearest", "bilinear"), "upsampling", self.upsampling, "known")
        _check(self.padding in ("zeros", "reflect"), "padding", self.padding, "zeros or reflect")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How one region is fitted.

    Parameters
    ----------
    network : NetworkConfig
    iterations : int
    optimizer : str
        'muon' or 'adam'.
    learning_rate : float
        At the start; of the convolution kernels where the optimizer is 'muon'.
    decay : bool
        Whether the rate falls along a cosine, to a twentieth.
    loss : str
        'l1' or 'mse', over the known pixels.
    code : str
        The input: 'coordinates', 'noise', both of them, or 'fill': the known pixels and a kriged
        fill, which the network learns to correct (`dip.fitting.correction`).
    code_channels : int
        Channels of a noise code.
    jitter_std : float
        Standard deviation of the noise added to the code in each iteration.
    averaging : float
        Weight of the past in the running average of the outputs; 0 takes the last output.
    holdout_fraction : float
        Part of the known pixels near the holes that is kept from the loss and measures quality.
    stop_early : bool
        Whether the fit ends once held-out pixels are clearly predicted worse than before;
        the result in any case is a mean in which outputs count by how well they predict them.
    anchor : tuple of two floats
        Weight of the squared distance of the fill from a smooth membrane, at the start and from
        half of the iterations on. Large deviations cost, small ones hardly do.
    mean_first : bool
        Whether the output is about the known pixels' mean colour before the first step, not gray:
        deep in a hole something of that stays.
    runs : int
        Fits from different random starts; the result is what they agree on.
    finish : str
        How the residual is carried into the fill: 'none', by 'kriging'; into holes first as a
        smooth 'membrane', or in the 'mixture' that suits the photograph (`dip.filling.residual`).
    membrane_part : float
        How much of the output is a smooth membrane, in [0, 1], where it will be kriged: a fit of
        few iterations is far off in places that its held-out pixels do not tell of.
    """

    network: NetworkConfig
    iterations: int
    optimizer: Literal["muon", "adam"] = "muon"
    learning_rate: float = 0.1
    decay: bool = True
    loss: Literal["l1", "mse"] = "l1"
    code: Code = "coordinates"
    code_channels: int = 32
    jitter_std: float = 0.0
    averaging: float = 0.9
    holdout_fraction: float = 0.03
    stop_early: bool = False
    anchor: tuple[float, float] = (0.0, 0.0)
    mean_first: bool = False
    runs: int = 1
    finish: Finish = "membrane"
    membrane_part: float = 0.0

    @property
    def total_iterations(self) -> int:
        """Over all runs."""
        return self.iterations * self.runs

    @property
    def fills_holes(self) -> bool:
        """Whether the fill is finished as a hole's: carried far in, and textured."""
        return self.finish in ("membrane", "mixture")

    def __post_init__(self) -> None:
        _check_integer("iterations", self.iterations, *RANGES["iterations"])
        _check_integer("code_channels", self.code_channels, 1, 1024)
        _check(self.optimizer in ("muon", "adam"), "optimizer", self.optimizer, "muon or adam")
        _check(self.loss in ("l1", "mse"), "loss", self.loss, "l1 or mse")
        _check_integer("runs", self.runs, 1, 100)
        for name, choices in (("code", get_args(Code)), ("finish", get_args(Finish))):
            value = getattr(self, name)
            _check(value in choices, name, value, "one of " + ", ".join(choices))
        _check(min(self.anchor) >= 0, "anchor", self.anchor, "two numbers, 0 or more")
        part = self.membrane_part
        _check(0 <= part <= 1, "membrane_part", part, "a number from 0 to 1")
        _check(
            (self.code == "fill") == self.network.correction,
            "code",
            self.code,
            "'fill' for a network that corrects, and for no other",
        )
        _check(0 < self.learning_rate <= 10, "learning_rate", self.learning_rate, "in (0, 10]")
        _check(0 <= self.jitter_std <= 1, "jitter_std", self.jitter_std, "in [0, 1]")
        _check(0 <= self.averaging < 1, "averaging", self.averaging, "in [0, 1)")
        fraction = self.holdout_fraction
        _check(0 <= fraction <= 0.5, "holdout_fraction", fraction, "in [0, 0.5]")
