"""A worker whose decoders predict no memory, as a decoder with a fault: the system alone holds it.

Run as a module; WORKER names the module of the worker. A decoder may take 100 MB there, not 1.7 GB,
so that a test of it needs little.
"""

from __future__ import annotations

import importlib
import os
import runpy
from typing import Any

from dip.image_io.photo import DEFAULT_LIMITS


def module(name: str) -> Any:
    """A module of the image readers; the package has functions of some of their names."""
    return importlib.import_module(f"dip.image_io.{name}")


for name in ("further_formats", "reading"):
    module(name).refuse_large = lambda image, form, limits, kept_bytes: None
module("decoding")._SPARE_BYTES = 100_000_000 - DEFAULT_LIMITS.memory

runpy.run_module(os.environ["WORKER"], run_name="__main__", alter_sys=True)
