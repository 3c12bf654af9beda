"""A folder of cases, and restorations without patches."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def regions_only(monkeypatch):
    """Thin damage of more than 40 px is fitted in regions, never in patches."""
    monkeypatch.setattr("dip.regions.patches._WORTHWHILE", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two cases of 64 x 64 px, one of them without a right answer."""
    folder = tmp_path_factory.mktemp("cases")
    rows, columns = np.mgrid[:64, :64]
    photo = np.stack([4 * rows, 4 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[28:36, 12:50] = 255
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(mask).save(folder / "mask.png")
    case = {"image": "photo.png", "mask": "mask.png"}
    cases = {
        "ramp": {
            **case,
            "kind": "text",
            "hole_psnr_db": {"published_unet": 21.5, "telea": 20.0},
            "full_psnr_db": {"dip_paper": 33.25},
        },
        "object": {**case, "truth": False, "kind": "object"},
    }
    (folder / "cases.json").write_text(json.dumps({"about": "made up", "cases": cases}))
    return folder
