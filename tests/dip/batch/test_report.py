"""The report page and the contact sheet of a batch."""

from __future__ import annotations

import html.parser
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from PIL import Image

from dip.batch import report
from dip.batch.files import before_after_path
from dip.batch.manifest import Manifest
from dip.batch.pairing import LeftOut
from dip.batch.report import write_report

HOSTILE = "<img src=x onerror=alert(1)>\"'&.jpg"


class Page(html.parser.HTMLParser):
    """The page as a browser parses it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        found = [attributes.get(attribute) for each, attributes in self.tags if each == tag]
        return [value for value in found if value is not None]


def record(photo: str, validation: float | None, **other: Any) -> dict[str, Any]:
    figures = {"validation_psnr_db": validation, "iterations": 5, "notes": ["in tiles <b>"]}
    return {
        "photo": photo,
        "output": os.path.splitext(photo)[0] + ".png",
        "outcome": "done",
        "photo_sha256": "p",
        "photo_stamp": None,
        "mask_sha256": None,
        "mask_stamp": None,
        "settings_sha256": "s",
        "seconds": 61.0,
        "host": "here",
        "figures": figures,
        **other,
    }


def failed(photo: str) -> dict[str, Any]:
    error = {"code": "x", "message": "It broke <i>.", "hint": "Mend it."}
    return record(photo, None, outcome="failed", error=error, figures={})


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    made = Manifest(tmp_path / "manifest.jsonl")
    for each in (record("good.jpg", 40.0), record("bad.jpg", 12.5), record("none.jpg", None)):
        made.append(each)
    return made


def read(tmp_path: Path) -> Page:
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_worst_result_comes_first_and_unmeasured_ones_last(
    tmp_path: Path, manifest: Manifest
) -> None:
    assert write_report(tmp_path, manifest, []) == tmp_path / "report.html"
    page = read(tmp_path)
    assert page.all("img", "src") == [
        f"./{before_after_path(name)}" for name in ("bad.jpg", "good.jpg", "none.jpg")
    ]
    assert "3 restored, 0 failed, 0 left out" in page.text
    assert "validation 12.5 dB, 5 iterations, 1 min 01 s" in page.text
    manifest.close()


def test_names_cannot_become_part_of_the_page(tmp_path: Path, manifest: Manifest) -> None:
    manifest.append(record(HOSTILE, 1.0))
    manifest.append(failed("<script>alert(2)</script>.jpg"))
    write_report(tmp_path, manifest, [LeftOut("<svg onload=x>", "unpaired", "no <mask>")])
    page = read(tmp_path)
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "svg", "i", "b", "mask"}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    for expected in (HOSTILE, "<script>alert(2)</script>.jpg", "<svg onload=x>", "It broke <i>."):
        assert expected in page.text
    assert (tmp_path / "left_out.txt").read_text() == "<svg onload=x>: unpaired: no <mask>\n"
    manifest.close()


@pytest.mark.parametrize("name", ["a b#c?d%20.jpg", "javascript:alert(1).jpg", "//host/a.jpg"])
def test_every_address_is_relative_to_the_page(
    tmp_path: Path, manifest: Manifest, name: str
) -> None:
    manifest.append(record(name, 1.0))
    write_report(tmp_path, manifest, [])
    page = read(tmp_path)
    addresses = page.all("a", "href") + page.all("img", "src") + page.all("link", "href")
    assert all(each.startswith("./") or each == "manifest.jsonl" for each in addresses)
    expected = "./" + os.path.splitext(name)[0] + ".png"
    assert expected in [unquote_to_bytes(each).decode() for each in addresses]
    text = (tmp_path / "report.html").read_text()
    assert "http" not in text
    assert "url(" not in text
    manifest.close()


def test_names_of_any_bytes_are_shown_and_linked(tmp_path: Path, manifest: Manifest) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    manifest.append(record(name, 1.0))
    write_report(tmp_path, manifest, [LeftOut(name, "unpaired", "none")])
    page = read(tmp_path)
    assert b"./caf\xe9.png" in [unquote_to_bytes(each) for each in page.all("a", "href")]
    assert "caf\\xe9.jpg" in page.text
    manifest.close()


def test_the_contact_sheet_shows_the_worst_first(tmp_path: Path, manifest: Manifest) -> None:
    for name, colour in (("bad.jpg", "red"), ("good.jpg", "blue")):
        path = tmp_path / before_after_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (656, 400), colour).save(path)
    write_report(tmp_path, manifest, [])  # the third picture is not there
    with Image.open(tmp_path / "contact_sheet.jpg") as sheet:
        red, _, blue = sheet.getpixel((100, 100))  # type: ignore[misc]
        assert red > 200 > 100 > blue
        red, _, blue = sheet.getpixel((100 + 416, 100))  # type: ignore[misc]
        assert blue > 200 > 100 > red
    manifest.close()


def test_a_large_archive_gets_a_page_of_bounded_size(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_ROWS", 5)
    for number in range(20):
        manifest.append(record(f"{number}.jpg", float(number)))
        manifest.append(failed(f"f{number}.jpg"))
    left_out = [LeftOut(f"l{number}", "unpaired", "none") for number in range(9)]
    write_report(tmp_path, manifest, left_out)
    page = read(tmp_path)
    assert len(page.all("img", "src")) == 5
    assert "Failed (the first 5 of 20)" in page.text
    assert "Left out (the first 5 of 9)" in page.text
    assert "the first 5 of 23" in page.text
    assert len((tmp_path / "left_out.txt").read_text().splitlines()) == 9
    manifest.close()


def test_nothing_done_is_a_page_as_well(tmp_path: Path) -> None:
    write_report(tmp_path, Manifest(tmp_path / "manifest.jsonl"), [])
    assert "0 restored" in read(tmp_path).text
    assert not (tmp_path / "contact_sheet.jpg").exists()


def test_captions_keep_the_end_of_a_long_name() -> None:
    from dip.panels import font

    fitted = report._fitting("x" * 300 + "end.jpg", font(15))
    assert fitted.startswith("…")
    assert fitted.endswith("end.jpg")
    assert font(15).getlength(fitted) <= report.CELL_PX[0]
