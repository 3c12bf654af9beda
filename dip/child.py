"""Starting processes of this program's own, wherever it was started from itself."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that holds the packages `dip` and `server`."""


def child_environment() -> dict[str, str]:
    """The environment of a child that runs a module of `dip` or `server`.

    Returns
    -------
    dict
        This process's own, with the packages to be found first.
    """
    paths = (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
