"""Cases of a made-up report of `dip bench`."""

from __future__ import annotations

from typing import Any


def made_up_case(*runs: Any, truth: bool = True) -> dict[str, Any]:
    """A case with these runs, and with classical methods."""
    return {
        "kind": "text",
        "truth": truth,
        "height": 480,
        "width": 720,
        "unknown_px": 16000,
        "published": {"hole_psnr_db": {}, "full_psnr_db": {}},
        "references": {
            "telea": {"hole_psnr_db": 28.0, "seconds": 0.1},
            "ns": {"hole_psnr_db": 29.06, "seconds": 0.1},
            "biharmonic": {"skipped": "Too large."},
        },
        "runs": list(runs),
    }
