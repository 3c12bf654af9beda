"""`dip networks` and `dip presets`: the names that other commands accept, each described."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from dip.config import NETWORKS
from dip.presets import PRESETS


@dataclass(frozen=True)
class ListCommand:
    """A command that prints names and their descriptions.

    Parameters
    ----------
    descriptions : mapping of str to str
    """

    descriptions: Mapping[str, str]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare nothing: a list has no options."""

    def run(self, args: argparse.Namespace) -> int:
        """Print one line for each name."""
        width = max(map(len, self.descriptions))
        for name, text in self.descriptions.items():
            print(f"{name:<{width}}  {text}")
        return 0


NETWORK_LIST = ListCommand(NETWORKS)
PRESET_LIST = ListCommand({name: preset.description for name, preset in PRESETS.items()})
