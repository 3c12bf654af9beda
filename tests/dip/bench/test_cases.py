"""Cases: listing, reading and blanking."""

import numpy as np
import pytest
from PIL import Image

from dip.bench.cases import read_case, read_cases, write_damaged
from dip.errors import InputError, SettingError


def test_cases_are_read_in_order_with_their_published_figures(folder):
    first, second = read_cases(folder)
    assert (first.name, first.truth, first.kind) == ("ramp", True, "text")
    assert first.hole_psnr_db["published_unet"] == 21.5
    assert (second.name, second.truth) == ("object", False)
    assert [case.name for case in read_cases(folder, ["object"])] == ["object"]


def test_an_unknown_case_is_refused_with_the_known_names(folder):
    with pytest.raises(SettingError, match=r"nobody.*ramp, object"):
        read_cases(folder, ["nobody"])


@pytest.mark.parametrize(
    "text", [None, "{", "[]", '{"cases": {"a": {}}}', '{"cases": {"a": {"image": 1}}}']
)
def test_a_folder_without_a_list_of_cases_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "cases.json").write_text(text)
    with pytest.raises(InputError, match=r"cases\.json"):
        read_cases(tmp_path)


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)


def test_the_pixels_under_the_mask_never_reach_a_fit(folder, tmp_path):
    truth, unknown = read_case(read_cases(folder)[0])
    photo, mask = write_damaged(truth, unknown, tmp_path)
    written = pixels_of(photo)
    assert not written[unknown].any()
    assert np.array_equal(written[~unknown], truth[~unknown])
    assert np.array_equal(pixels_of(mask) == 255, unknown)
