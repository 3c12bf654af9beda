"""The manifest: outcomes that are still valid, and lines that are incomplete."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from dip.batch.manifest import Manifest, digest, digest_of_settings, stamp_of
from dip.batch.pairing import Item
from dip.errors import OutputError

SETTINGS = {"seed": 0, "preset": "fast", "max_memory_mb": 100}
SETTINGS_HASH = digest_of_settings(SETTINGS, "png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("scans", "masks", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def put(root: Path, name: str = "a") -> Item:
    """A photo, its mask and its result."""
    (root / f"scans/{name}.jpg").write_bytes(b"photo of " + name.encode())
    (root / f"masks/{name}.png").write_bytes(b"mask")
    (root / f"out/{name}.png").write_bytes(b"result")
    return Item(
        photo=f"{name}.jpg",
        mask=str(root / f"masks/{name}.png"),
        output=f"{name}.png",
        file_format="png",
    )


def record(root: Path, item: Item, **other: Any) -> dict[str, Any]:
    photo, mask = root / "scans" / item.photo, Path(item.mask or "")
    return {
        "photo": item.photo,
        "mask": item.mask,
        "output": item.output,
        "outcome": "done",
        "photo_sha256": digest(photo.read_bytes()),
        "photo_stamp": stamp_of(photo),
        "mask_sha256": digest(mask.read_bytes()),
        "mask_stamp": stamp_of(mask),
        "settings_sha256": SETTINGS_HASH,
        "seconds": 1.5,
        **other,
    }


def outcome(root: Path, item: Item, settings: str = SETTINGS_HASH) -> str | None:
    manifest = Manifest(root / "out/manifest.jsonl")
    return manifest.outcome_of(item, settings, root / "scans", root / "out")


@pytest.fixture
def item(root: Path) -> Item:
    made = put(root)
    manifest = Manifest(root / "out/manifest.jsonl")
    manifest.append(record(root, made))
    manifest.close()
    return made


def test_a_written_record_is_found_again(root: Path, item: Item) -> None:
    assert outcome(root, item) == "done"
    assert Manifest(root / "out/manifest.jsonl").seconds_with(SETTINGS_HASH) == [1.5]


@pytest.mark.parametrize("which", ["scans/a.jpg", "masks/a.png"])
def test_a_changed_photo_or_mask_is_restored_again(root: Path, item: Item, which: str) -> None:
    (root / which).write_bytes(b"changed!")
    assert outcome(root, item) is None


def test_a_change_with_the_same_size_and_time_is_detected(root: Path, item: Item) -> None:
    path = root / "scans/a.jpg"
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert outcome(root, item) is None


def test_the_same_photo_with_another_time_is_not_restored_again(root: Path, item: Item) -> None:
    os.utime(root / "scans/a.jpg", (1, 1))
    assert outcome(root, item) == "done"


def test_a_missing_result_is_restored_again(root: Path, item: Item) -> None:
    (root / "out/a.png").unlink()
    assert outcome(root, item) is None


def test_other_settings_invalidate_a_result_and_another_memory_limit_does_not(
    root: Path, item: Item
) -> None:
    assert outcome(root, item, digest_of_settings({**SETTINGS, "seed": 1}, "png")) is None
    assert outcome(root, item, digest_of_settings({**SETTINGS, "max_memory_mb": 5}, "png")) == (
        "done"
    )
    assert digest_of_settings(SETTINGS, "tiff") != SETTINGS_HASH


def test_a_mask_that_is_no_longer_used_invalidates_the_result(root: Path, item: Item) -> None:
    without = Item(photo=item.photo, mask=None, output=item.output, file_format="png")
    assert outcome(root, without) is None


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_an_incomplete_last_line_is_ignored(root: Path, item: Item, cut: int) -> None:
    path = root / "out/manifest.jsonl"
    other = put(root, "b")
    whole = path.read_bytes()
    manifest = Manifest(path)
    manifest.append(record(root, other))
    manifest.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert outcome(root, item) == "done"
    # Without its line end only, it is whole: JSON tells.
    assert outcome(root, other) == ("done" if cut == 1 else None)
    again = Manifest(path)
    again.append(record(root, other))
    again.close()
    assert outcome(root, other) == "done"
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("rubbish", [b"[]", b"null", b'{"format": 1}', b"\xff\x00", b"{}{}"])
def test_invalid_lines_are_ignored(root: Path, item: Item, rubbish: bytes) -> None:
    path = root / "out/manifest.jsonl"
    path.write_bytes(rubbish + b"\n" + path.read_bytes())
    assert outcome(root, item) == "done"


def test_a_photo_has_one_line_after_it_was_restored_again(root: Path, item: Item) -> None:
    path = root / "out/manifest.jsonl"
    other = put(root, "b")
    manifest = Manifest(path)
    manifest.append(record(root, other))
    manifest.append(record(root, item, outcome="failed"))
    assert len(path.read_text().splitlines()) == 3
    assert [each["photo"] for each in manifest.latest()] == ["b.jpg", "a.jpg"]
    manifest.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["photo"], line["outcome"]) for line in lines] == [
        ("b.jpg", "done"),
        ("a.jpg", "failed"),
    ]
    assert sorted(each.name for each in (root / "out").iterdir()) == [
        "a.png", "b.png", "manifest.jsonl",
    ]  # fmt: skip


def test_a_manifest_of_a_newer_version_is_refused(root: Path) -> None:
    path = root / "out/manifest.jsonl"
    path.write_text('{"format": 99}\n')
    with pytest.raises(OutputError, match="newer"):
        Manifest(path)
    assert path.read_text() == '{"format": 99}\n'


def test_written_records_take_no_memory(root: Path, item: Item) -> None:
    manifest = Manifest(root / "manifest.jsonl")
    line = record(root, item)
    manifest.append(line)
    tracemalloc.start()
    try:
        for number in range(500):
            manifest.append({**line, "photo": f"{number}.png", "output": f"out{number}.png"})
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    manifest.close()
    assert kept_bytes < 50_000
    assert len(Manifest(root / "manifest.jsonl")) == 501


def test_a_full_disk_is_reported(root: Path, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    manifest = Manifest(root / "out/manifest.jsonl")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        manifest.append(record(root, item))
    manifest.close()
