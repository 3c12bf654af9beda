"""`dip submit|jobs|watch|fetch|cancel`, and the service's part of `dip doctor`."""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dip import cli
from dip.commands import doctor
from dip.image_io import read_photo
from dip.machine.locks import LockFile
from server.client import Client
from server.commands import COMMANDS, jobs
from server.commands.doctor import check_service
from server.commands.jobs import _line


@pytest.fixture
def dip(real: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv("DIP_DATA_DIR", str(real.settings.data_dir))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        return cli.main([str(argument) for argument in arguments])

    return run


@pytest.fixture
def files(tmp_path: Path, image_file: bytes, mask_file: bytes) -> list[Path]:
    for name, data in (("photo.png", image_file), ("mask.png", mask_file)):
        (tmp_path / name).write_bytes(data)
    return [tmp_path / "photo.png", tmp_path / "mask.png"]


def test_the_commands_are_part_of_dip(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"    {name}" in shown for name in COMMANDS)


def test_dip_works_where_the_service_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = importlib.import_module

    def without_server(name: str) -> Any:
        if name.startswith("server"):
            raise ModuleNotFoundError(name="server")
        return real_import(name)

    monkeypatch.setattr("importlib.import_module", without_server)
    actions = cli.build_parser()._subparsers
    assert actions is not None
    commands = actions._group_actions[0].choices
    assert "restore" in commands
    assert "serve" not in commands


def test_a_photo_is_submitted_watched_and_fetched(
    dip: Callable[..., int], real: Any, files: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    photo, mask = files
    options = ("--preset", "fast", "--iterations", 2, "--network", "both", "--seed", 3)
    assert (
        dip(
            "submit", photo, "--mask", mask, *options, "--texture", 0.25, "--time", 600, "--grow", 1
        )
        == 0
    )
    job_id = capsys.readouterr().out.strip()
    with real.client() as client:
        assert client.job(job_id)["parameters"]["texture"] == 0.25
        assert client.job(job_id)["parameters"]["time_s"] == 600
        assert client.job(job_id)["parameters"]["grow"] == 1
    assert dip("watch", job_id[:10]) == 0
    assert "segnet: 2 iterations in" in capsys.readouterr().err
    assert dip("jobs", "--all") == 0
    line = next(each for each in capsys.readouterr().out.splitlines() if job_id in each)
    assert "done" in line
    assert "both fast" in line
    assert "  photo.png  " in line
    assert dip("fetch", job_id, "--network", "segnet") == 0
    named = tmp_path / "photo_restored_segnet.png"
    assert capsys.readouterr().out.strip() == named.name
    assert dip("fetch", job_id, "--network", "segnet") == 5
    assert f"-o {named.name}" in capsys.readouterr().err
    assert dip("fetch", job_id, "-o", tmp_path / "mine.png") == 0
    assert read_photo(named).pixels.shape == read_photo(tmp_path / "mine.png").pixels.shape
    assert dip("fetch", job_id, "-o", tmp_path / "no" / "folder.png") == 5
    assert dip("cancel", job_id) == 0
    assert "already ended" in capsys.readouterr().err


def test_a_job_that_fails_stops_the_command_as_dip_restore_would(
    dip: Callable[..., int], files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dip("submit", files[0], "--watch") == 4  # that of mask_empty
    captured = capsys.readouterr()
    assert "no transparency" in captured.err
    assert dip("jobs", "--all") == 0
    assert "There is no mask" in capsys.readouterr().out


def test_a_listed_job_shows_local_time_and_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    job: dict[str, Any] = {
        "id": "abc", "photo": "", "user": "", "created": "2026-01-31T23:30:00.000Z",
        "state": "running",
        "parameters": {"network": "both", "preset": "fast"}, "progress": {"fraction": 0.071},
        "error": None,
    }  # fmt: skip
    try:
        assert _line(job) == "abc  2026-02-01 01:30:00  running    both fast         7 %"
        assert _line({**job, "photo": "Großmutter 1931.tif"}).startswith(
            "abc  Großmutter 1931.tif  2026"
        )
        cancelled = {**job, "state": "cancelled", "error": {"message": "It was cancelled."}}
        assert _line(cancelled).endswith("  both fast         It was cancelled.")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_running_job_is_cancelled(
    dip: Callable[..., int], files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dip("submit", files[0], "--mask", files[1], "--iterations", 100_000)
    job_id = capsys.readouterr().out.strip()
    dip("jobs")
    assert job_id in capsys.readouterr().out
    assert dip("cancel", job_id) == 0
    assert dip("watch", job_id) == 9
    assert "cancelled" in capsys.readouterr().err
    dip("jobs")
    assert job_id not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("submit", "nothing.png"), 3, "There is no file"),
        (("watch", "zz"), 9, "No job begins with zz"),
        (("fetch", "zz"), 9, "No job begins"),
        (("submit", "photo.png", "--seed", -1), 9, "seed: Must be"),
        (("submit", "photo.png", "--texture", 2), 9, "texture: Must be"),
    ],
)
def test_what_goes_wrong_is_said_in_words(
    dip: Callable[..., int], files: list[Path], capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...], status: int, said: str,
) -> None:  # fmt: skip
    assert dip(*arguments) == status
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_without_a_service_every_command_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path))
    for arguments in (["jobs"], ["watch", "x"], ["fetch", "x"], ["cancel", "x"]):
        assert cli.main(arguments) == 9
        assert "dip serve" in capsys.readouterr().err


# --- The check-up --------------------------------------------------------------------------------


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port in place of the default port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    monkeypatch.setattr("server.commands.doctor.DEFAULT_PORT", port)
    return port


def test_the_check_up_includes_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    free_port: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path))
    cli.build_parser()
    monkeypatch.setattr(doctor, "CHECKS", {"service": doctor.CHECKS["service"]})
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("ok    service    not running")


def test_a_running_service_is_well(dip: Callable[..., int], real: Any, until: Any) -> None:
    with real.client() as client:
        until(lambda: client.health()["worker"] == "idle")
    finding = check_service()
    assert finding.status == "ok"
    assert real.url in finding.seen
    assert "computes on cpu" in finding.seen


def test_an_absent_service_is_no_illness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    for folder in (tmp_path / "never made", tmp_path):
        monkeypatch.setenv("DIP_DATA_DIR", str(folder))
        finding = check_service()
        assert (finding.status, "`dip serve` starts it" in finding.seen) == ("ok", True)
    (tmp_path / "server.json").write_text(f'{{"url": "http://127.0.0.1:{free_port}"}}')
    (tmp_path / "token").write_text("x" * 43)
    assert check_service().status == "ok"  # it was killed


def test_another_program_on_the_port_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr("server.commands.doctor.DEFAULT_PORT", port)
        finding = check_service()
    assert finding.status == "warn"
    assert str(port) in finding.seen
    assert "--port 0" in finding.advice


def test_a_service_that_hangs_is_an_illness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path))
    lock = LockFile(tmp_path / "lock")
    assert lock.acquire()
    finding = check_service()
    lock.release()
    assert finding.status == "fail"
    assert "dip stop" in finding.advice


def test_a_service_of_another_user_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Any
) -> None:
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path))
    (tmp_path / "server.json").write_text(f'{{"url": "{real.url}"}}')
    (tmp_path / "token").write_text("x" * 43)
    finding = check_service()
    assert finding.status == "fail"
    assert "does not know this token" in finding.seen


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"version": "0.0.0"}, "warn", "but this command is"),
        ({"problems": [{"message": "The disk is full.", "hint": "Free it."}]}, "warn", "is full"),
    ],
)
def test_what_a_service_complains_of_is_passed_on(
    dip: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any], status: str, said: str,
) -> None:  # fmt: skip
    health = Client.health
    monkeypatch.setattr(Client, "health", lambda client: {**health(client), **changes})
    finding = check_service()
    assert (finding.status, said in finding.seen) == (status, True)
    assert finding.advice


def test_events_of_an_older_service_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    data = {
        "network": "unet", "attempt": 1, "iteration": 5, "iterations": 5, "region": 0,
        "regions": 1, "loss": 0.5, "validation_psnr_db": None, "note": None,
    }  # fmt: skip  # without "run" and "fraction"
    event = SimpleNamespace(kind="progress", data=data)
    client = SimpleNamespace(events=lambda job: [event], wait=lambda job: {"results": []})
    assert jobs._watch(client, "abc") == 0  # type: ignore[arg-type]
    assert "5/5" in capfd.readouterr().err
