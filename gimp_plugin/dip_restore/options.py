"""The options of a restoration, as GIMP keeps them."""

from __future__ import annotations

from typing import Any


class Options:
    """The options of a run: those of the plug-in, and `parameters` for the service."""

    def __init__(self, config: Any) -> None:
        value = config.get_property
        self.source: str = value("damage")
        self.output: str = value("output")
        self.grow_px: int = value("grow")
        self.allow_rgb: bool = value("allow-rgb")
        if value("network") == "both":
            self.output = "new-layer"  # two results cannot be painted into one layer
        self.parameters: dict[str, str | int | float | None] = {
            "network": value("network"),
            "preset": value("preset"),
            "device": value("device"),
            "seed": value("seed"),
            "iterations": value("iterations") or None,
            "texture": value("texture"),
            "grow": "auto" if value("grow-auto") else None,
            "time_s": 60 * value("time") or None,
            "threads": value("threads") or None,
            "max_memory_mb": value("max-memory") or None,
        }
