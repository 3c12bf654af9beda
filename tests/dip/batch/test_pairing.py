"""Which photo goes with which mask."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dip.batch.pairing import Listing, list_photos, shown
from dip.errors import InputError, OutputError, SettingError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(listing: Listing, root: Path) -> dict[str, str | None]:
    return {
        item.photo: None if item.mask is None else os.path.relpath(item.mask, root)
        for item in listing.items
    }


def reasons(listing: Listing) -> dict[str, str]:
    return {each.name: each.kind for each in listing.left_out}


def test_masks_in_a_folder_are_named_after_their_photos(root: Path) -> None:
    touch(root, "scans/a.jpg", "scans/b.tif", "scans/c.d.png")
    touch(root, "masks/a.png", "masks/b_mask.png", "masks/c.d.webp")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert pairs(listing, root) == {
        "a.jpg": "masks/a.png",
        "b.tif": "masks/b_mask.png",
        "c.d.png": "masks/c.d.webp",
    }
    assert [(item.output, item.file_format) for item in listing.items] == [
        ("a.png", "png"),
        ("b.tif", "tiff"),
        ("c.d.png", "png"),
    ]
    assert listing.left_out == []


def test_an_infrared_plane_without_a_mask_of_its_own_is_no_photo(root: Path) -> None:
    touch(root, "scans/a.tif", "scans/a_IR.tif", "scans/b_IR.tif", "mask.png", "masks/a.png")
    for masks in (root / "mask.png", None, root / "masks"):
        listing = list_photos(root / "scans", root / "out", masks=masks)
        assert "a.tif" in pairs(listing, root)
        assert reasons(listing)["a_IR.tif"] == "no picture"
        assert "a_IR.tif" not in pairs(listing, root)
        assert ("b_IR.tif" in pairs(listing, root)) == (masks != root / "masks")  # of no photo


def test_masks_come_from_the_same_sub_folder(root: Path) -> None:
    touch(root, "scans/1/a.jpg", "scans/2/a.jpg", "masks/1/a.png", "masks/a.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert pairs(listing, root) == {"1/a.jpg": "masks/1/a.png"}
    assert reasons(listing) == {"2/a.jpg": "unpaired", str(root / "masks/a.png"): "unpaired"}


def test_masks_without_a_photo_are_named_even_in_folders_of_their_own(root: Path) -> None:
    touch(root, "scans/a.jpg", "masks/a.png", "masks/b.png", "masks/only/here.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert pairs(listing, root) == {"a.jpg": "masks/a.png"}
    assert reasons(listing) == {
        str(root / "masks/b.png"): "unpaired",
        str(root / "masks/only/here.png"): "unpaired",
    }


def test_several_masks_for_one_photo_are_ambiguous(root: Path) -> None:
    touch(root, "scans/a.jpg", "scans/b.jpg", "masks/a.png", "masks/a_mask.png", "masks/b.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert pairs(listing, root) == {"b.jpg": "masks/b.png"}
    assert reasons(listing) == {"a.jpg": "ambiguous"}
    assert "a.png, a_mask.png" in listing.left_out[0].reason


def test_a_photo_named_like_a_mask_has_its_own_mask(root: Path) -> None:
    touch(root, "scans/a.jpg", "scans/a_mask.jpg", "masks/a.png", "masks/a_mask.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert pairs(listing, root) == {"a.jpg": "masks/a.png", "a_mask.jpg": "masks/a_mask.png"}


def test_masks_beside_their_photos(root: Path) -> None:
    touch(root, "a.jpg", "a_mask.png", "b.png", "c_mask.png")
    listing = list_photos(root, root / "out")
    assert pairs(listing, root) == {"a.jpg": "a_mask.png", "b.png": None}
    assert reasons(listing) == {"c_mask.png": "unpaired"}


def test_one_mask_for_all(root: Path) -> None:
    touch(root, "scans/a.jpg", "scans/1/b.jpg", "stamp.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "stamp.png")
    assert pairs(listing, root) == {"a.jpg": "stamp.png", "1/b.jpg": "stamp.png"}


@pytest.mark.parametrize(
    ("pattern", "mask"),
    [
        ("{name}-damage.*", "a-damage.tif"),
        ("damage_{name}.png", "damage_a.png"),
        ("m?_{name}[1].png", "m7_a[1].png"),
    ],
)
def test_masks_named_by_a_pattern(root: Path, pattern: str, mask: str) -> None:
    touch(root, "a.jpg", mask, "a_mask.png")
    listing = list_photos(root, root / "out", patterns=[pattern])
    assert pairs(listing, root)["a.jpg"] == mask


@pytest.mark.parametrize("pattern", ["mask.png", "{name}{name}.png", "sub/{name}.png"])
def test_a_pattern_without_one_name_is_refused(root: Path, pattern: str) -> None:
    with pytest.raises(SettingError, match="mask pattern"):
        list_photos(root, root / "out", patterns=[pattern])


def test_two_photos_for_one_result_are_both_left_out(root: Path) -> None:
    touch(root, "a.jpg", "a.png", "a.tif", "b.jpg")
    listing = list_photos(root, root / "out")
    assert [item.output for item in listing.items] == ["a.tif", "b.png"]
    assert reasons(listing) == {"a.jpg": "collision", "a.png": "collision"}
    everything = list_photos(root, root / "out", file_format="jpeg")
    assert [item.output for item in everything.items] == ["b.jpg"]


def test_names_that_differ_in_case_collide_where_the_file_system_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(root, "a.jpg", "A.png")
    assert len(list_photos(root, root / "out").items) == 2
    monkeypatch.setattr("dip.batch.pairing._CASE_INSENSITIVE", True)
    assert reasons(list_photos(root, root / "out")) == {"a.jpg": "collision", "A.png": "collision"}


def test_files_of_the_batch_itself_are_not_overwritten(root: Path) -> None:
    touch(root, "contact_sheet.jpg", "report_files/a.png", "b.jpg")
    listing = list_photos(root, root / "out", file_format="jpeg")
    assert pairs(listing, root) == {"b.jpg": None}
    assert reasons(listing) == {
        "contact_sheet.jpg": "collision",
        "report_files/a.png": "collision",
    }


def test_other_files_are_named_and_hidden_ones_are_not(root: Path) -> None:
    touch(root, "a.JPG", "notes.txt", ".DS_Store", ".thumbs/a.jpg", "a.gif")
    listing = list_photos(root, root / "out")
    assert list(pairs(listing, root)) == ["a.JPG"]
    assert reasons(listing) == {"notes.txt": "no picture", "a.gif": "no picture"}


def test_results_and_masks_inside_of_the_folder_are_no_photos(root: Path) -> None:
    touch(root, "a.jpg", "masks/a.png", "restored/a.png")
    listing = list_photos(root, root / "restored", masks=root / "masks")
    assert pairs(listing, root) == {"a.jpg": "masks/a.png"}
    assert listing.left_out == []


@pytest.mark.parametrize("output", ["scans", "masks", "scans/../masks"])
def test_results_do_not_go_among_the_photos_or_the_masks(root: Path, output: str) -> None:
    touch(root, "scans/a.jpg", "masks/a.png")
    with pytest.raises(OutputError, match="itself"):
        list_photos(root / "scans", root / output, masks=root / "masks")


def test_missing_folders_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        list_photos(root / "none", root / "out")
    with pytest.raises(InputError, match="--masks"):
        list_photos(root, root / "out", masks=root / "none")


def test_circular_links_are_not_followed(root: Path) -> None:
    touch(root, "sub/a.jpg")
    (root / "sub/again").symlink_to(root)
    listing = list_photos(root, root / "out")
    assert pairs(listing, root) == {"sub/a.jpg": None}
    assert reasons(listing) == {"sub/again": "no picture"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(root: Path) -> None:
    touch(root, "a.jpg", "locked/b.jpg")
    (root / "locked").chmod(0)
    listing = list_photos(root, root / "out")
    (root / "locked").chmod(0o755)
    assert reasons(listing) == {"locked": "unreadable"}


def test_a_mask_drawn_on_a_mac_finds_its_photo(root: Path) -> None:
    name = "Müller"
    touch(root, f"scans/{unicodedata.normalize('NFC', name)}.jpg")
    touch(root, f"masks/{unicodedata.normalize('NFD', name)}.png")
    listing = list_photos(root / "scans", root / "out", masks=root / "masks")
    assert len(listing.items) == 1
    assert listing.left_out == []


@pytest.mark.skipif(os.name == "nt", reason="such names are not possible")
def test_a_name_may_be_any_bytes(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n\x1b[2J.jpg")
    touch(root, name)
    listing = list_photos(root, root / "out")
    assert listing.items[0].photo == name
    assert shown(name) == "caf\\xe9\\n\\x1b[2J.jpg"


@settings(max_examples=40)
@given(st.lists(st.from_regex(r"[a-c_.]{1,4}\.(jpg|png|tif)", fullmatch=True), unique=True))
def test_every_picture_is_either_done_or_left_out(names: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        visible = {name for name in names if not name.startswith(".")}
        touch(root, *visible)
        listing = list_photos(root, root / "out")
        photos = {item.photo for item in listing.items}
        left_out = {each.name for each in listing.left_out}
        assert photos | left_out >= {name for name in visible if "_mask." not in name}
        assert not photos & left_out
        assert len({item.output for item in listing.items}) == len(listing.items)
