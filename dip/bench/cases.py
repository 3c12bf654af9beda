"""The cases of a benchmark, each an undamaged picture and a mask.

The pixels under the mask are blanked before a method gets the picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.errors import InputError, SettingError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Case:
    """One picture to damage and to restore.

    Parameters
    ----------
    name, kind : str
    image, mask : Path
        The mask is white where the picture is to be restored.
    truth : bool
        Whether the picture's own pixels under the mask are the correct result. Where they are not
        (an object is to be removed), the result is not scored.
    hole_psnr_db, full_psnr_db : dict
        Published figures, by the name of their method.
    """

    name: str
    image: Path
    mask: Path
    truth: bool = True
    kind: str = ""
    hole_psnr_db: dict[str, float] = field(default_factory=dict)
    full_psnr_db: dict[str, float] = field(default_factory=dict)


def read_cases(folder: Path, names: Sequence[str] | None = None) -> list[Case]:
    """Read `cases.json` of a folder: {"cases": {name: {"image", "mask", "truth", ...}}}.

    Parameters
    ----------
    names : sequence of str, optional
        Only these cases.

    Raises
    ------
    InputError
        The file is missing, or it is not a list of cases.
    SettingError
        A name is not among the cases.
    """
    path = folder / "cases.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["cases"]
        cases = {
            name: Case(
                name=name,
                **{
                    **entry,
                    "image": folder / entry["image"],
                    "mask": folder / entry["mask"],
                },
            )
            for name, entry in entries.items()
        }
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check --cases.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of cases: {type(error).__name__}: {error}.",
            'Write, for example, {"cases": {"face": {"image": "face.png", "mask": "mask.png"}}}.',
        ) from error
    if unknown := [name for name in names or () if name not in cases]:
        raise SettingError(f"No case is named {unknown[0]}.", f"Name one of {', '.join(cases)}.")
    return [case for name, case in cases.items() if not names or name in names]


def read_case(case: Case) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return the truth as 8-bit samples without alpha, and its unknown pixels."""
    from dip.image_io import read_mask, read_photo
    from dip.regions.mask import soft_mask_from

    truth = without_alpha(read_photo(case.image).pixels)
    return truth, soft_mask_from(read_mask(case.mask), truth.shape).unknown


def without_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return 8-bit samples, (H, W) for gray and (H, W, 3) for colour."""
    from dip.samples import to_8_bit

    levels = to_8_bit(pixels)
    if levels.ndim == 2 or levels.shape[2] == 3:
        return levels
    return levels[..., :3] if levels.shape[2] == 4 else levels[..., 0]


def write_damaged(
    truth: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_], folder: Path
) -> tuple[Path, Path]:
    """Write the mask, and the picture with its unknown pixels blanked, for a fit."""
    import numpy as np

    from dip.image_io import write_pixels

    damaged = truth.copy()
    damaged[unknown] = 0
    photo, mask = folder / "damaged.png", folder / "mask.png"
    write_pixels(photo, damaged)
    write_pixels(mask, unknown.astype(np.uint8) * 255)
    return photo, mask
