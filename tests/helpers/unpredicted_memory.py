"""A worker whose decoders predict no memory, as a decoder with a fault: the system alone holds it.

Run as a module; WORKER names the module of the worker. A decoder may take 100 MB there, not 1.7 GB,
so that a test of it needs little.
"""

from __future__ import annotations

import os
import runpy

from dip.image_io import decoding, further_formats, reading

for module in (further_formats, reading):
    module.refuse_large = lambda image, form, limits, kept_bytes: None
decoding._SPARE_BYTES = 100_000_000 - reading.DEFAULT_LIMITS.memory

runpy.run_module(os.environ["WORKER"], run_name="__main__", alter_sys=True)
