"""Results keep what their photos had, and a result that cannot be written is not thrown away."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from further_formats import EXIF, FURTHER
from PIL import Image
from tagged_photos import profile, with_chunks

from dip.errors import OutputError
from dip.image_io import losses, read_photo, write_photo, write_result

QUICK = ["--iterations", 2, "--threads", 1]
ENDLESS = ["--iterations", 100_000, "--threads", 1]

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Archive = Any  # see conftest.py


def task(files: Path, *more: object) -> list[object]:
    """The words that restore the photo of the folder."""
    return ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK, *more]


def test_things_that_the_format_cannot_hold_are_named_before_the_work(
    files: Path, here: Run, photo: np.ndarray
) -> None:
    Image.fromarray(photo).save(files / "photo.jpg", icc_profile=profile() + bytes(4), comment=b"x")
    words = ["restore", files / "photo.jpg", "--mask", files / "mask.png", "-o", files / "r.png"]
    done = here(*words, *QUICK)
    assert done.returncode == 0
    before = done.stderr.splitlines()[0]
    assert "a PNG file cannot hold the JPEG comment" in before
    assert "4 bytes too long and was cut" in before
    with Image.open(files / "r.png") as result:
        assert result.info["icc_profile"] == profile()


# --- Results that cannot be written ---------------------------------------------------------------


def test_a_full_disk_is_refused_before_the_work(
    files: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dip.image_io.writing.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000)
    )
    done = here(*task(files, "-o", files / "restored.png"))
    assert done.returncode == 5
    assert "0 MB of free space; the result may take" in done.stderr
    assert not (files / "restored.png").exists()


@pytest.mark.parametrize(
    "name", [252 * "x" + ".png", 81 * "写" + "_" * 9 + ".png", "circle.png"], ids=len
)
def test_a_name_that_cannot_be_is_refused_before_the_work(
    files: Path, here: Run, name: str
) -> None:
    if name == "circle.png":
        (files / name).symlink_to(files / "other.png")
        (files / "other.png").symlink_to(files / name)
    done = here(*task(files, "-o", files / name))
    assert done.returncode == 5
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_beside_a_photo_with_a_long_name(files: Path, here: Run) -> None:
    for name in (81 * "写" + ".png", 251 * "x" + ".png"):
        (files / "photo.png").rename(files / name)
        done = here("restore", files / name, "--mask", files / "mask.png", *QUICK)
        (files / name).rename(files / "photo.png")
        assert done.returncode == 5
        assert "File name too long" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_hint_names_the_whole_path(files: Path, here: Run) -> None:
    (files / "photo_restored.png").touch()
    done = here("restore", files / "photo.png", "--mask", files / "mask.png", *QUICK)
    assert f"-o {files / 'photo_restored.png'}." in done.stderr


@pytest.mark.slow
def test_a_result_that_cannot_be_written_lies_beside_as_tiff(
    files: Path, photo: np.ndarray, mask: np.ndarray
) -> None:
    output, preview = files / "restored.png", files / "preview.png"
    words = ["restore", files / "photo.png", "--mask", files / "mask.png", *ENDLESS]
    words += ["-o", output, "--preview", preview]
    command = [sys.executable, "-m", "dip", *map(str, words)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline, seen = time.monotonic() + 120, set[int]()
    while len(seen) < 2 and time.monotonic() < deadline:  # the first preview comes before the fit
        if preview.exists():
            seen.add(preview.stat().st_ino)
        time.sleep(0.02)
    output.mkdir()
    (output / "in the way").touch()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 5, said
    (spare,) = files.glob("dip_restored_*.tif")
    assert str(spare) in said
    result = read_photo(spare).pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])


def test_a_result_does_not_replace_one_that_came_meanwhile(
    files: Path, here: Run, photo: np.ndarray, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dip.commands.progress import Progress

    output, follow = files / "photo_restored.png", Progress.follow

    def slow(*given: Any) -> Any:
        output.write_bytes(b"of another process")
        return follow(*given)

    monkeypatch.setattr(Progress, "follow", slow)
    words = ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK]
    done = here(*words)
    assert (done.returncode, "File exists" in done.stderr) == (5, True)
    assert output.read_bytes() == b"of another process"
    (spare,) = files.glob("dip_restored_*.tif")
    np.testing.assert_array_equal(read_photo(spare).pixels[~mask], photo[~mask])
    named = here(*words, "-o", output)  # a name that the user chose is replaced
    assert named.returncode == 0
    np.testing.assert_array_equal(read_photo(output).pixels[~mask], photo[~mask])


def test_a_result_elsewhere_keeps_its_metadata(tmp_path: Path, photo: np.ndarray) -> None:
    write_photo(tmp_path / "photo.png", photo)
    data = with_chunks((tmp_path / "photo.png").read_bytes(), (b"eXIf", EXIF))
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"lies in .*\.tif, as TIFF"):
        write_result(tmp_path / "taken.png", photo, read_photo(data))
    (spare,) = tmp_path.glob("dip_restored_*.tif")
    assert read_photo(spare).metadata.exif is not None


def test_a_batch_keeps_a_result_for_which_the_disk_became_too_small(
    archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dip.image_io import replacing

    archive.put("a.png")
    home = archive.folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    flush = replacing.flush

    def full(path: Path) -> None:
        if path.parent.is_relative_to(archive.folder / "out") and path.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(path)

    monkeypatch.setattr(replacing, "flush", full)
    ran = run()
    assert (ran.returncode, "No space left" in ran.stderr) == (5, True)
    (spare,) = home.glob("dip_restored_*.png")
    assert str(spare) in ran.stderr
    assert read_photo(spare).pixels.shape == archive.photo.shape


def test_a_result_whose_folder_is_gone_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray
) -> None:
    write_photo(tmp_path / "photo.png", photo)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(OutputError, match=r"The result lies in .*dip_restored_\w+\.tif"):
        write_result(tmp_path / "gone" / "restored.png", photo, read_photo(tmp_path / "photo.png"))
    (spare,) = tmp_path.glob("dip_restored_*.tif")
    np.testing.assert_array_equal(read_photo(spare).pixels, photo)


def test_a_batch_refuses_a_taken_name_before_the_fit(archive: Archive, run: Run) -> None:
    for name in ("box/a.png", 251 * "x" + ".png"):
        archive.put(name)
    (archive.folder / "out").mkdir()
    (archive.folder / "out/box").touch()  # no folder
    ran = run("--format", "webp")
    assert ran.returncode == 11
    seen = {each["photo"][:5]: each["error"]["message"] for each in archive.manifest()}
    assert "cannot be created: File exists" in seen["box/a"]
    assert "File name too long" in seen["xxxxx"]
    assert not [each for each in archive.manifest() if each["figures"]]


def test_a_batch_keeps_a_result_whose_name_is_taken_meanwhile(
    archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dip.batch.files import ResultWriter

    archive.put("a.png")
    write = ResultWriter.write

    def late(self: ResultWriter, *given: Any, **more: Any) -> None:
        (self.output / "a.png").mkdir()
        write(self, *given, **more)

    monkeypatch.setattr(ResultWriter, "write", late)
    assert run().returncode == 11
    (record,) = archive.manifest()
    assert record["outcome"] == "failed"
    spare = Path(record["error"]["message"].partition("The result lies in ")[2].rstrip("."))
    assert read_photo(spare).pixels.shape == archive.photo.shape
    assert not losses(read_photo(spare), "png")


def test_a_batch_stops_before_a_fit_that_the_disk_has_no_room_for(
    archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.put("a.png")
    monkeypatch.setattr(
        "dip.batch.files.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000)
    )
    ran = run()
    assert (ran.returncode, "0 MB of free space" in ran.stderr) == (5, True)
    assert not archive.manifest()


# --- Pages ----------------------------------------------------------------------------------------


def pages_file(path: Path, *pages: np.ndarray) -> Path:
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    return path


@pytest.mark.parametrize(
    ("page", "masks", "restored"),
    [(None, 2, (0, 1)), ("all", 1, (0, 1)), (None, 1, (0,)), (2, 1, (1,)), (1, 2, (0,))],
)
def test_the_pages_of_a_tiff_are_restored(
    files: Path, here: Run, photo: np.ndarray, mask: np.ndarray,
    page: Any, masks: int, restored: tuple[int, ...],
) -> None:  # fmt: skip
    pages = [photo, photo[::-1].astype(np.uint16) * 257]
    source = pages_file(files / "photo.tif", *pages)
    damage = [mask.astype(np.uint8) * 255, mask[::-1].astype(np.uint8) * 255][:masks]
    mask_file = pages_file(files / "mask.tif", *damage)
    options = [] if page is None else ["--page", page]
    words = ["restore", source, "--mask", mask_file, "-o", files / "r.tif", *QUICK, *options]
    done = here(*words)
    assert done.returncode == 0, done.stderr
    with tifffile.TiffFile(files / "r.tif") as file:
        results = [each.asarray() for each in file.pages]
    for number, (before, after) in enumerate(zip(pages, results, strict=True)):
        where = mask if number == 0 or masks == 1 else mask[::-1]
        np.testing.assert_array_equal(after[~where], before[~where])
        assert (after != before).any() == (number in restored)


@pytest.mark.parametrize(
    ("options", "status", "seen"),
    [
        (["--page", 3, "-o", "r.tif"], 3, "no page 3"),
        (["--page", "all", "-o", "r.png"], 5, "cannot hold 2 pages"),
        (["--page", "0", "-o", "r.tif"], 2, "no page: give a number from 1, or all"),
    ],
)
def test_wrong_pages_are_refused(
    files: Path, here: Run, photo: np.ndarray, options: list[object], status: int, seen: str
) -> None:
    source = pages_file(files / "photo.tif", photo, photo)
    options = [files / each if str(each).startswith("r.") else each for each in options]
    done = here("restore", source, "--mask", files / "mask.png", *QUICK, *options)
    assert (done.returncode, seen in done.stderr) == (status, True), done.stderr


def test_a_page_with_an_unusable_mask_is_refused_before_any_page_is_fitted(
    files: Path, here: Run, photo: np.ndarray, mask: np.ndarray
) -> None:
    source = pages_file(files / "photo.tif", photo, photo)
    damage = mask.astype(np.uint8) * 255
    masks = pages_file(files / "mask.tif", damage, np.zeros_like(damage))
    done = here("restore", source, "--mask", masks, "-o", files / "r.tif", *QUICK)
    assert (done.returncode, "Nothing is marked" in done.stderr) == (4, True), done.stderr
    assert not (files / "r.tif").exists()


def test_a_signal_ends_the_fits_of_all_pages_and_leaves_no_page_unfilled(
    files: Path, here: Run, photo: np.ndarray, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dip.commands.progress import Progress

    follow, begun = Progress.follow, []

    def interrupted(*given: Any) -> Any:
        begun.append(given)
        for step in follow(*given):
            if len(begun) == 1 and step.iteration:
                signal.raise_signal(signal.SIGINT)
            yield step

    monkeypatch.setattr(Progress, "follow", interrupted)
    source = pages_file(files / "photo.tif", photo, photo)
    words = ["restore", source, "--mask", files / "mask.png", "--page", "all", *ENDLESS]
    assert here(*words, "-o", files / "r.tif").returncode == 130
    assert len(begun) == 2
    for page in (0, 1):
        after = read_photo(files / "r.tif", page=page).pixels
        assert (after != photo)[mask].any(axis=-1).mean() > 0.5
        np.testing.assert_array_equal(after[~mask], photo[~mask])


def test_a_batch_restores_pages_and_further_formats(
    archive: Archive, run: Run, photo: np.ndarray, mask: np.ndarray
) -> None:
    scans, masks = archive.folder / "scans", archive.folder / "masks"
    pages = [photo, photo[::-1].astype(np.uint16) * 257]
    pages_file(scans / "pages.tif", *pages)
    damage = [mask.astype(np.uint8) * 255, mask[::-1].astype(np.uint8) * 255]
    pages_file(masks / "pages.tif", *damage)
    for suffix, encode in FURTHER.items():
        (scans / f"{suffix}.{suffix}").write_bytes(encode(photo))
        write_photo(masks / f"{suffix}.png", damage[0])
    assert run().returncode == 0
    records = {each["photo"]: each for each in archive.manifest()}
    assert records["pages.tif"]["figures"]["iterations"] == 4
    for suffix in FURTHER:
        before = read_photo(scans / f"{suffix}.{suffix}")
        after = read_photo(archive.folder / "out" / f"{suffix}.png")
        np.testing.assert_array_equal(after.pixels[~mask], before.pixels[~mask])
        assert before.metadata.exif is not None
        assert after.metadata.exif == before.metadata.exif
    changed = []
    for chosen, status in ([], 0), (["--page", "2"], 11):  # the others have no page 2
        assert run(*chosen).returncode == status
        with tifffile.TiffFile(archive.folder / "out/pages.tif") as file:
            after = [each.asarray() for each in file.pages]
        changed.append([(a != b).any() for a, b in zip(after, pages, strict=True)])
    assert changed == [[True, True], [False, True]]
    assert {each["photo"]: each["page"] for each in archive.manifest()}["pages.tif"] == "2"
