"""`dip batch` as its users meet it: folders, kills, reruns."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from dip import cli
from dip.image_io import read_photo, write_photo

QUICK = ["--iterations", "2", "--device", "cpu"]
Pixels = npt.NDArray[Any]
Ran = subprocess.CompletedProcess[str]


class Archive:
    """A folder with photos and masks, and batches over it."""

    def __init__(self, folder: Path, photo: Pixels, mask: Pixels) -> None:
        self.folder, self.photo, self.mask = folder, photo, mask.astype(np.uint8) * 255
        (folder / "scans").mkdir()
        (folder / "masks").mkdir()

    def put(self, name: str, photo: Pixels | None = None) -> None:
        """Add a photo and its mask."""
        path = self.folder / "scans" / name
        path.parent.mkdir(exist_ok=True)
        write_photo(path, self.photo if photo is None else photo)
        mask = self.folder / "masks" / Path(name).with_suffix(".png")
        mask.parent.mkdir(exist_ok=True)
        write_photo(mask, self.mask)

    def words(self, *options: object) -> list[str]:
        here = [str(self.folder / each) for each in ("scans", "masks", "out")]
        return ["batch", here[0], "--masks", here[1], "-o", here[2], *QUICK, *map(str, options)]

    def start(self, *options: object, **given: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "dip", *self.words(*options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **given,
        )

    def manifest(self) -> list[dict[str, Any]]:
        path = self.folder / "out/manifest.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def done(self) -> list[str]:
        return sorted(each["photo"] for each in self.manifest() if each["outcome"] == "done")

    def result(self, name: str) -> bytes:
        return (self.folder / "out" / name).read_bytes()


@pytest.fixture
def archive(tmp_path: Path, photo: Pixels, mask: Pixels) -> Archive:
    return Archive(tmp_path, photo, mask)


@pytest.fixture
def run(archive: Archive, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a batch from this process; the fits have processes of their own all the same."""

    def run(*options: object) -> Ran:
        words = archive.words(*options)
        capfd.readouterr()
        return subprocess.CompletedProcess(words, cli.main(words), *capfd.readouterr())

    return run


Run = Callable[..., Ran]


def test_an_archive_is_restored_and_what_cannot_be_is_named_first(
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

    began = time.monotonic()
    again = run()
    assert again.returncode == 11
    assert "0 photos to restore, 2 done before, 4 files left out" in again.stderr
    assert time.monotonic() - began < 10
    assert len(archive.manifest()) == 2


@pytest.mark.slow
def test_the_result_does_not_depend_on_how_many_work(archive: Archive, run: Run) -> None:
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        archive.put(name, np.roll(archive.photo, number, axis=1))
    results = []
    for workers in (1, 2, 3):
        assert run("--workers", workers).returncode == 0
        results.append([archive.result(name) for name in names])
        shutil.rmtree(archive.folder / "out")
    assert results[0] == results[1] == results[2]
    single = archive.folder / "single.png"
    words = ["restore", archive.folder / "scans/1.png", "--mask", archive.folder / "masks/1.png"]
    assert cli.main([*map(str, words), "-o", str(single), *QUICK, "--threads", "1"]) == 0
    assert single.read_bytes() == results[0][1]


@pytest.mark.slow
def test_only_what_changed_is_done_again(archive: Archive, run: Run) -> None:
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


CRASHING = (
    "import sys\n"
    "if 'dip.batch.fit_worker' in sys.orig_argv:\n"
    "    import os, signal\n"
    "    from dip import image_io\n"
    "    decode = image_io.decode_photo\n"
    "    def crash(data, name='image', *rest):\n"
    "        if name == 'b.png': os.kill(os.getpid(), signal.SIGSEGV)\n"
    "        return decode(data, name, *rest)\n"
    "    image_io.decode_photo = crash\n"
)


@pytest.mark.slow
def test_a_photo_that_crashes_the_image_library_costs_itself(
    archive: Archive, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        archive.put(name)
    (tmp_path / "sitecustomize.py").write_text(CRASHING)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        ran = run()
    assert ran.returncode == 11
    assert "dip: b.png: The process ended by SIGSEGV" in ran.stderr
    assert archive.done() == ["a.png", "c.png"]
    assert "b.png" in (archive.folder / "out/report.html").read_text()
    # It is not tried again by itself, only when asked for.
    quiet = run()
    assert quiet.returncode == 11
    assert "0 photos to restore, 2 done before, 1 failed before" in quiet.stderr
    assert run("--retry-failed").returncode == 0
    assert archive.done() == ["a.png", "b.png", "c.png"]
    assert len(archive.manifest()) == 3


def children_of(batch: subprocess.Popen[str]) -> list[psutil.Process]:
    return [each for each in psutil.Process(batch.pid).children() if is_child(each)]


def is_child(process: psutil.Process) -> bool:
    try:
        return "dip.batch.fit_worker" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended just now
        return False


def wait_for_children(batch: subprocess.Popen[str]) -> list[psutil.Process]:
    ends = time.monotonic() + 60
    while not (children := children_of(batch)):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return children


@pytest.mark.slow
def test_a_fit_that_is_killed_for_want_of_memory_is_tried_once_more(archive: Archive) -> None:
    archive.put("a.png")
    archive.put("b.png")
    batch = archive.start("--iterations", 60, "--workers", 1)
    children = wait_for_children(batch)
    time.sleep(3)
    children[0].kill()
    said = batch.communicate(timeout=200)[1]
    assert batch.returncode == 0, said
    assert archive.done() == ["a.png", "b.png"]


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_ends_as_if_it_never_was(
    archive: Archive, run: Run
) -> None:
    names = [f"{number:02}.png" for number in range(16)]
    for number, name in enumerate(names):
        archive.put(name, np.roll(archive.photo, number, axis=1))
    chance = random.Random(1)
    out = archive.folder / "out"
    kills = 0
    while len(archive.done()) < len(names) - 2:
        batch = archive.start("--workers", 2)
        goal = len(archive.done()) + chance.randint(0, 5)
        ends = time.monotonic() + 120
        while len(archive.done()) < goal and batch.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1))
        children = children_of(batch) if batch.poll() is None else []
        batch.kill()
        batch.communicate()
        kills += batch.returncode == -signal.SIGKILL
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive  # nobody goes on without it
        known = archive.done()
        assert len(known) == len(set(known))
        for result in out.rglob("[0-9]*.png"):
            read_photo(result)  # whole, or not there
        assert all((out / name).exists() for name in known)
    batch = archive.start("--workers", 2)
    said = batch.communicate(timeout=200)[1]
    assert batch.returncode == 0, said
    assert kills >= 2
    assert archive.done() == names
    assert len(archive.manifest()) == len(names)
    assert not list(out.rglob("*.part"))
    results = [archive.result(name) for name in names]
    shutil.rmtree(out)
    assert run().returncode == 0
    assert results == [archive.result(name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"]
)
def test_stopped_it_says_how_to_go_on(archive: Archive, number: int, status: int) -> None:
    archive.put("a.png")
    archive.put("b.png")
    batch = archive.start("--iterations", 100_000)
    wait_for_children(batch)
    time.sleep(2)
    children = children_of(batch)
    batch.send_signal(number)
    began = time.monotonic()
    told, said = batch.communicate(timeout=60)
    assert batch.returncode == status
    assert time.monotonic() - began < 20
    assert told.endswith("report.html\n")
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.slow
def test_two_batches_do_not_share_a_folder(archive: Archive, run: Run) -> None:
    archive.put("a.png")
    batch = archive.start("--iterations", 100_000)
    wait_for_children(batch)
    ran = run()
    assert ran.returncode == 5
    assert f"Another batch (process {batch.pid} on " in ran.stderr
    batch.kill()
    batch.communicate()
    after = run()
    assert after.returncode == 0
    assert f"process {batch.pid}) did not end properly" in after.stderr


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
    assert "begun for 8 s on this machine" in ran.stderr
    assert not (archive.folder / "out").exists()
    assert run().returncode == 0
    archive.put("e.png")
    later = run("--dry-run")
    assert "1 photos at" in later.stderr
    assert "the mean of 4 done before" in later.stderr
    assert len(archive.manifest()) == 4


def test_into_a_folder_of_somebody_elses_nothing_is_written_over(
    archive: Archive, run: Run
) -> None:
    archive.put("a.png")
    (archive.folder / "out").mkdir()
    (archive.folder / "out/a.png").write_bytes(b"precious")
    ran = run()
    assert ran.returncode == 11
    assert "a.png is there already, and no batch wrote it" in ran.stderr
    assert archive.result("a.png") == b"precious"


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.mark.slow
def test_a_full_disk_ends_it_and_what_is_done_stays_done(archive: Archive, run: Run) -> None:
    for number in range(3):
        archive.put(f"{number}.png")
    out = archive.folder / "out"
    out.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(out)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mounting).returncode:
        pytest.skip("only root of a Linux machine makes a small disk")
    try:
        fill_up(out / "filler")
        ran = run()
        assert ran.returncode == 5
        assert "No space left" in ran.stderr
        (out / "filler").unlink()
        assert run().returncode == 0
        assert archive.done() == ["0.png", "1.png", "2.png"]
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.slow
def test_fits_wait_for_memory_where_there_is_little(
    archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        archive.put(f"{number}.png")
    # Long enough for the second process to come while the first fit still goes on.
    ran = run("--workers", 2, "--max-memory-mb", 600, "--iterations", 100)
    assert ran.returncode == 0
    assert "memory for fewer than 2 fits at once" in ran.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "0"], "workers is 0"),
        (["--mask-pattern", "mask.png"], "mask pattern"),
        (["--iterations", "-3"], "iterations is -3"),
    ],
)
def test_options_that_cannot_be_meant(
    archive: Archive, run: Run, options: list[str], says: str
) -> None:
    archive.put("a.png")
    ran = run(*options)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert not (archive.folder / "out").exists()


@pytest.mark.parametrize("text", ["GPU", "=1", "GPU=x", "GPU=0", "GPU=nan"])
def test_resources_that_are_none(archive: Archive, text: str) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(archive.words("--resources", text))
    assert left.value.code == 2


@pytest.mark.slow
def test_ten_hundred_files_are_listed_and_known_again_quickly(archive: Archive, run: Run) -> None:
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
