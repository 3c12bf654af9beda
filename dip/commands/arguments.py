"""Options that several commands share."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields

from dip.config import (
    ALL_PAGES,
    DEVICES,
    GROW_AUTO,
    MAX_GROWTH_PX,
    NETWORKS,
    PAGE,
    Settings,
)
from dip.presets import PRESETS

DEFAULTS = Settings()


def add_network_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the network, for a command that fits one network."""
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        default=DEFAULTS.network,
        help="see `dip networks` (default: %(default)s)",
    )


def add_preset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare preset and seed, for a command that takes one preset."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default=DEFAULTS.preset,
        help="see `dip presets` (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed, metavar="N", help="default: 0")


CONFIRM = "add --yes"
"""How a mask that marks most of a photo is confirmed."""


def add_page_argument(
    parser: argparse.ArgumentParser,
    meaning: str = "restore page N of a TIFF, or all of them with a mask of as many pages, or of "
    "one: all (default: all if the mask has as many pages, else the first full-size page)",
) -> None:
    """Declare the page of a TIFF file."""
    parser.add_argument("--page", type=_page, metavar="N", help=meaning)


def _page(text: str) -> str:
    if not re.fullmatch(PAGE, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no page: give a number from 1, or {ALL_PAGES}"
        )
    return text


def add_mask_confirmation(parser: argparse.ArgumentParser) -> None:
    """Declare the option that confirms a mask which marks most of a photo."""
    parser.add_argument(
        "--yes",
        action="store_true",
        help="restore also where a mask marks more than 60 %% of the photo; without this option "
        "such a mask is refused, because it may be inverted",
    )


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings of a fit that most users leave alone."""
    fit = parser.add_argument_group("the fit")
    fit.add_argument("--iterations", type=int, metavar="N", help="instead of the preset's number")
    fit.add_argument(
        "--time",
        dest="time_s",
        type=float,
        metavar="SECONDS",
        help="the best result in at most this time; it then depends on the speed of the machine",
    )
    fit.add_argument(
        "--texture",
        type=float,
        default=DEFAULTS.texture,
        metavar="F",
        help="grain and detail of the surroundings, 0 (smooth, nearest to the truth in PSNR) to "
        "1 (as much as the surroundings have) (default: %(default)s)",
    )
    fit.add_argument(
        "--grow",
        type=growth,
        default=DEFAULTS.grow,
        metavar="PX",
        help="grow the mask by so many pixels, where its rim still holds damage; "
        f"{GROW_AUTO}: only over the rim where damage is found (default: %(default)s)",
    )
    fit.add_argument(
        "--device",
        choices=DEVICES,
        default=DEFAULTS.device,
        help="where to compute (default: %(default)s)",
    )
    fit.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads of a fit (default: all cores; in a batch: 1)",
    )
    fit.add_argument(
        "--max-memory-mb",
        type=int,
        metavar="N",
        help="memory limit in MB (default: most of the free memory)",
    )


def growth(text: str) -> int | str:
    """The value of --grow."""
    if text == GROW_AUTO:
        return text
    if not text.isascii() or not text.isdigit() or int(text) > MAX_GROWTH_PX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no growth: give 0 to {MAX_GROWTH_PX} pixels, or {GROW_AUTO}"
        )
    return int(text)


def settings_from(args: argparse.Namespace, **overrides: str | int | float) -> Settings:
    """Turn the options into checked settings; `overrides` replace options of the same name."""
    names = [field.name for field in fields(Settings) if field.name not in overrides]
    return Settings.from_mapping({**{name: getattr(args, name) for name in names}, **overrides})
