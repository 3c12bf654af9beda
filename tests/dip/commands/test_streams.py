"""`-` in place of a file name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dip.image_io import read_photo

QUICK = ["--iterations", 2, "--threads", 1]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_photo_comes_from_standard_input_and_its_result_goes_to_standard_output(
    files: Path, photo: np.ndarray, mask: np.ndarray
) -> None:
    words = ["restore", "-", "-o", "-", "--mask", files / "mask.png", *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "dip", *map(str, words)],
        input=(files / "photo.png").read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result = read_photo(done.stdout).pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])
    assert (result != photo).any()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_result_that_standard_output_does_not_take_is_kept(
    files: Path, photo: np.ndarray, mask: np.ndarray
) -> None:
    words = ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK]
    words += ["-o", "-", "--quiet"]
    command = " ".join([sys.executable, "-m", "dip", *map(str, words)])
    done = subprocess.run(
        ["sh", "-c", f"{command} >/dev/full"], cwd=files, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    (spare,) = files.glob("dip_restored_*.png")
    assert (done.returncode, str(spare) in done.stderr) == (5, True), done.stderr
    assert done.stderr.count("cannot be written") == 1
    np.testing.assert_array_equal(read_photo(spare).pixels[~mask], photo[~mask])
    # A measurement of coverage would open its own file as standard output.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    closed = subprocess.run(
        ["sh", "-c", f"{command} >&-"], cwd=files, env=plain, capture_output=True, check=False
    )
    assert (closed.returncode, b"output is closed" in closed.stderr) == (5, True), closed.stderr


@pytest.mark.parametrize(
    ("words", "status", "seen"),
    [(["-", "--mask", "m.png"], 5, "has no name"), (["-", "--mask", "-", "-o", "-"], 3, "both -")],
)
def test_streams_that_make_no_sense_are_refused(
    here: Run, words: list[str], status: int, seen: str
) -> None:
    done = here("restore", *words)
    assert (done.returncode, seen in done.stderr) == (status, True)
