"""`dip batch`: folders, reruns, exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dip import cli
from dip.image_io import read_photo, write_photo

Archive = Any  # see conftest.py
QUICK = ["--iterations", "2", "--device", "cpu"]
Pixels = npt.NDArray[Any]
Ran = subprocess.CompletedProcess[str]


Run = Callable[..., Ran]


def test_an_archive_is_restored_and_unusable_files_are_named_first(
    archive: Archive, run: Run, mask: Pixels
) -> None:
    deep = archive.photo.astype(np.uint16) * 257
    archive.put("a.jpg")
    archive.put("box/deep.tif", deep)
    archive.put("empty.png")
    (archive.folder / "scans/empty.png").write_bytes(b"")
    archive.put("small.png", archive.photo[:30])
    write_photo(archive.folder / "scans/lonely.png", archive.photo)
    (archive.folder / "scans/notes.txt").touch()

    ran = run()
    assert ran.returncode == 11
    assert ran.stdout == f"{archive.folder / 'out/report.html'}\n"
    before, _, after = ran.stderr.partition("dip: 2 photos to restore, 4 files left out")
    for name, why in (
        ("empty.png", "0 bytes"),
        ("small.png", "its mask is 64×48 px, the photo 64×30 px"),
        ("lonely.png", "no mask"),
        ("notes.txt", "does not end like"),
    ):
        assert any(name in line and why in line for line in before.splitlines())
    assert "2 restored, 0 failed, 4 left out" in after

    restored = read_photo(archive.folder / "out/box/deep.tif").pixels
    assert restored.dtype == np.uint16
    assert np.array_equal(restored[~mask], deep[~mask])
    assert not np.array_equal(restored[mask], deep[mask])
    assert archive.done() == ["a.jpg", "box/deep.tif"]
    record = archive.manifest()[0]
    assert record["settings"]["threads"] == 1
    assert set(record["versions"]) == {"dip", "torch", "python"}
    assert record["figures"]["iterations"] == 2
    assert record["host"]

    again = run()
    assert again.returncode == 11
    assert "0 photos to restore, 2 done before, 4 files left out" in again.stderr
    assert len(archive.manifest()) == 2


def test_a_photo_whose_mask_may_be_inverted_is_named_and_skipped_until_it_is_confirmed(
    archive: Archive, run: Run
) -> None:
    archive.put("a.png")
    archive.put("inverted.png")
    write_photo(archive.folder / "masks/inverted.png", 255 - archive.mask)
    ran = run()
    assert ran.returncode == 11
    assert "inverted.png: The mask marks 9" in ran.stderr
    assert "1 restored, 1 failed" in ran.stderr
    assert archive.done() == ["a.png"]
    assert not (archive.folder / "out/inverted.png").exists()
    assert "0 photos to restore, 1 done before, 1 failed before" in run().stderr
    confirmed = run("--yes")
    assert confirmed.returncode == 0
    assert "1 photos to restore, 1 done before" in confirmed.stderr
    assert archive.done() == ["a.png", "inverted.png"]


@pytest.mark.slow
def test_the_result_does_not_depend_on_how_many_work(archive: Archive, run: Run) -> None:
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        archive.put(name, np.roll(archive.photo, number, axis=1))
    results = []
    for workers in (1, 2):
        assert run("--workers", workers).returncode == 0
        results.append([archive.result(name) for name in names])
        shutil.rmtree(archive.folder / "out")
    assert results[0] == results[1]
    single = archive.folder / "single.png"
    words = ["restore", archive.folder / "scans/1.png", "--mask", archive.folder / "masks/1.png"]
    assert cli.main([*map(str, words), "-o", str(single), *QUICK, "--threads", "1"]) == 0
    assert single.read_bytes() == results[0][1]


@pytest.mark.slow
def test_only_changed_photos_are_restored_again(archive: Archive, run: Run) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        archive.put(name)
    assert run().returncode == 0
    write_photo(archive.folder / "scans/a.png", archive.photo[::-1].copy())
    write_photo(archive.folder / "masks/b.png", np.roll(archive.mask, 1, axis=0))
    (archive.folder / "out/c.png").unlink()
    assert "3 photos to restore, 1 done before" in run().stderr
    assert archive.done() == ["a.png", "b.png", "c.png", "d.png"]
    assert "4 photos to restore" in run("--seed", 7, "--workers", 1).stderr
    assert archive.done() == ["a.png", "b.png", "c.png", "d.png"]  # each once
    assert {each["settings"]["seed"] for each in archive.manifest()} == {7}


@pytest.mark.slow
def test_transparency_is_a_mask_where_there_is_none(archive: Archive, run: Run) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[20:24, 10:40] = 0
    for place in ("scans", "masks"):
        shutil.rmtree(archive.folder / place)
        (archive.folder / place).mkdir()
    write_photo(archive.folder / "scans/holes.png", np.concatenate([archive.photo, alpha], 2))
    write_photo(archive.folder / "scans/opaque.png", archive.photo)
    words = [word for word in archive.words() if word != str(archive.folder / "masks")]
    words.remove("--masks")
    assert cli.main(words) == 11
    assert archive.done() == ["holes.png"]
    assert read_photo(archive.folder / "out/holes.png").pixels[..., 3].min() == 255
    assert "opaque.png" in (archive.folder / "out/left_out.txt").read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_on_a_terminal_only_failures_and_the_summary_stay(archive: Archive) -> None:
    import pty

    archive.put("a.png")
    archive.put("b.png")
    archive.put("small.png", archive.photo[:30])
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dip", *archive.words("--workers", 1)],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(terminal)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the process has closed its end
        while block := os.read(controller, 4096):
            written += block
    os.close(controller)
    assert process.wait(timeout=60) == 11
    assert b"dip: 0 of 2" in written
    assert b"  1  a.png" in written
    # Each "up one line and wipe" takes back one line; the cursor ends below the plan.
    lines = written.decode().replace("\r", "").split("\n")
    assert lines[0].startswith("dip: left out: small.png")
    assert lines[1] == "dip: 2 photos to restore, 1 files left out"
    assert lines[-2].split("\x1b[2K")[-1].startswith("dip: 2 restored, 0 failed, 1 left out")


@pytest.mark.slow
def test_a_dry_run_says_how_long_and_writes_nothing(archive: Archive, run: Run) -> None:
    for name in ("a.png", "b.png", "c.png", "box/d.png"):
        archive.put(name)
    ran = run("--dry-run")
    assert ran.returncode == 0
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == [
        "a.png", "b.png", "c.png", "box/d.png",
    ]  # fmt: skip
    assert "4 photos at" in ran.stderr
    assert "trials of 8 s on this machine" in ran.stderr
    assert not (archive.folder / "out").exists()
    assert run().returncode == 0
    archive.put("e.png")
    later = run("--dry-run")
    assert "1 photos at" in later.stderr
    assert "the mean of 4 done before" in later.stderr
    assert len(archive.manifest()) == 4


def test_a_file_that_no_batch_wrote_is_not_overwritten(archive: Archive, run: Run) -> None:
    archive.put("a.png")
    (archive.folder / "out").mkdir()
    (archive.folder / "out/a.png").write_bytes(b"precious")
    ran = run()
    assert ran.returncode == 11
    assert "a.png exists already, and no batch wrote it" in ran.stderr
    assert archive.result("a.png") == b"precious"


@pytest.mark.slow
def test_fits_wait_for_memory_where_there_is_little(
    archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        archive.put(f"{number}.png")
    # Long enough for the second process to come while the first fit still goes on.
    ran = run("--workers", 2, "--max-memory-mb", 600, "--iterations", 150)
    assert ran.returncode == 0
    assert "the memory is too small for 2 fits at once" in ran.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "0"], "workers is 0"),
        (["--mask-pattern", "mask.png"], "mask pattern"),
        (["--iterations", "-3"], "iterations is -3"),
    ],
)
def test_options_out_of_range_are_refused(
    archive: Archive, run: Run, options: list[str], says: str
) -> None:
    archive.put("a.png")
    ran = run(*options)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert not (archive.folder / "out").exists()


@pytest.mark.parametrize("text", ["GPU", "=1", "GPU=x", "GPU=0", "GPU=nan"])
def test_malformed_resources_are_refused(archive: Archive, text: str) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(archive.words("--resources", text))
    assert left.value.code == 2


@pytest.mark.slow
def test_a_thousand_files_are_listed_and_found_done_quickly(archive: Archive, run: Run) -> None:
    """The smaller edition of `tests/benchmarks/bench_batch.py files`."""
    archive.put("first.png")
    assert run().returncode == 0
    record = archive.manifest()[0]
    lines = []
    for number in range(1000):
        for place, old in (("scans", "first.png"), ("masks", "first.png"), ("out", "first.png")):
            os.link(archive.folder / place / old, archive.folder / place / f"{number}.png")
        lines.append(json.dumps({**record, "photo": f"{number}.png", "output": f"{number}.png"}))
    with (archive.folder / "out/manifest.jsonl").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
    ran = run()
    assert ran.returncode == 0
    assert "0 photos to restore, 1001 done before" in ran.stderr
