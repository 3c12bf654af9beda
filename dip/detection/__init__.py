"""The search for damage: dust, hairs, scratches and creases, without a mask.

`detect` takes a photo and gives a `DamageMap`: a level of certainty and a kind for each pixel. A
sensitivity only thresholds the level.
"""

from dip.detection.damage_map import (
    CODES,
    KINDS,
    NAMES,
    DamageMap,
    codes_of,
    threshold,
)
from dip.detection.finding import SMALLEST_SIDE_PX, detect

__all__ = [
    "CODES",
    "KINDS",
    "NAMES",
    "SMALLEST_SIDE_PX",
    "DamageMap",
    "codes_of",
    "detect",
    "threshold",
]
