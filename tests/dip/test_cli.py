"""The command line as a process: how it starts, and the exit status it ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dip import cli
from dip.commands.lists import ListCommand
from dip.machine.device import environment_for_cpu


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dip", *map(str, arguments)]


def dip(*arguments: object, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120, **given
    )


def test_a_reader_that_stops_early_sees_no_traceback() -> None:
    process = subprocess.Popen(
        command("presets"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 141
    assert stderr == ""


def test_the_status_of_a_refusal_is_that_of_the_process(tmp_path: Path) -> None:
    done = dip("restore", tmp_path / "missing.png", "-o", tmp_path / "restored.png")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 2


def test_a_fault_of_the_program_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ListCommand, args: object) -> int:
        raise RuntimeError("a wire is loose")

    monkeypatch.setattr(ListCommand, "run", fail)
    assert cli.main(["networks"]) == 1
    said = capsys.readouterr().err
    assert "RuntimeError: a wire is loose" in said
    assert "a fault in dip, not in your picture" in said


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is a device of Linux")
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_an_error_stream_that_cannot_be_written_to_changes_nothing(stderr: str) -> None:
    line = " ".join([*command("restore", "missing.png"), stderr])
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout == ""


# --- How it starts ------------------------------------------------------------------------------


def test_help_imports_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "from dip.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'scipy', 'PIL', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("restore", "compare", "bench", "demo", "networks", "presets", "doctor"):
        assert name in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's allocator is set on Linux")
@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        (["restore", "no such.png", "-o", "a b.png"], 2),
        (["restore", "--help"], 1),
        (["networks"], 1),
    ],
)
def test_a_command_that_fits_restarts_once_with_its_arguments(
    tmp_path: Path, arguments: list[str], starts: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "print('started', sys.orig_argv[1:], 'DIP_RESTARTED' in os.environ, flush=True)"
    )
    wanted = environment_for_cpu()
    bare = {name: value for name, value in os.environ.items() if name not in PREPARED}
    paths = os.pathsep.join([str(tmp_path), bare.get("PYTHONPATH", "")])
    done = dip(*arguments, env={**bare, "PYTHONPATH": paths})
    seen = [line for line in done.stdout.splitlines() if line.startswith("started")]
    words = repr(command(*arguments)[1:])
    assert seen == [f"started {words} {n == 1}" for n in range(starts)]
    assert wanted.keys() <= PREPARED


PREPARED = {
    "DIP_RESTARTED",
    "GOMP_SPINCOUNT",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_ARENA_MAX",
}


def test_the_doctor_finds_a_prepared_process_on_this_machine() -> None:
    bare = {name: value for name, value in os.environ.items() if name not in PREPARED}
    done = dip("doctor", env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "large buffers are reused" in done.stdout
    assert "a small fit works" in done.stdout


def run_with_output(output: int | None, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m dip` with a standard output of this kind; None closes it."""
    return subprocess.run(
        [sys.executable, "-m", "dip", *words],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=(lambda: os.close(1)) if output is None else None,
    )


@pytest.mark.parametrize("word", ["networks", "--help"])
def test_a_full_standard_output_is_named(word: str) -> None:
    with open("/dev/full", "w") as full:
        done = run_with_output(full.fileno(), word)
    assert "Traceback" not in done.stderr
    if word == "networks":  # argparse ignores it
        assert done.returncode == 5
        assert "Standard output cannot be written: No space left" in done.stderr


def test_a_closed_standard_output_does_no_harm(tmp_path: Path) -> None:
    done = run_with_output(None, "networks")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_early_ctrl_c_ends_the_process_silently() -> None:
    for delay_s in (0.02, 0.1, 0.2, 0.4):
        child = subprocess.Popen(
            [sys.executable, "-m", "dip", "restore", "none.png", "--mask", "none.png"],
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay_s)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        # Before the first line of dip, the interpreter itself may complain.
        assert str(Path(cli.__file__).parent) not in said, said
