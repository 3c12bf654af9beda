"""A Dask scheduler and its workers as processes of their own, on free ports of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from dip import cli
from dip.image_io import write_photo

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

HERE = Path(__file__).resolve().parent
START_S = 300.0
Batch = subprocess.Popen[str]


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of a file run one after the other: each has up to six processes."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"cluster {item.path.stem}"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Grid:
    """A scheduler and workers that can be killed, stopped and started one by one."""

    def __init__(
        self,
        folder: Path,
        *,
        scheme: str = "tcp",
        host: str = "127.0.0.1",
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = free_port()
        self.address = f"{scheme}://{host}:{self.port}"
        self.options = list(options)
        self.prefix = list(prefix)
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.scheduler_log = Path()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.started = 0

    def start_scheduler(self) -> None:
        place = ["--host", self.host, "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start("scheduler", *place, *self.options, prefix=self.prefix)
        self.wait_for("scheduler", "Scheduler at:")
        self.scheduler_log = max(self.folder.glob("scheduler*.log"))

    def start_worker(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        wait: bool = True,
        nanny: bool = False,
    ) -> subprocess.Popen[bytes]:
        local = self.folder / f"worker{self.started}"
        worker = self._start(
            "worker",
            self.address,
            *("--nthreads", "1", "--no-dashboard", "--local-directory", str(local)),
            "--nanny" if nanny else "--no-nanny",
            *self.options,
            *options,
            environment=environment,
            prefix=prefix,
        )
        self.workers.append(worker)
        if wait:
            self.wait_for(f"worker{self.started - 1}", "Registered to")
        return worker

    def wait_for(self, name: str, text: str, timeout_s: float = START_S) -> None:
        ends = time.monotonic() + timeout_s
        while text not in self.log(name):
            assert time.monotonic() < ends, self.log(name)
            time.sleep(0.1)

    def log(self, name: str) -> str:
        found = sorted(self.folder.glob(f"{name}*.log"))
        return found[-1].read_text(errors="replace") if found else ""

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        end(self.scheduler)

    def take_scheduler(self, earlier: Grid) -> None:
        """Use the scheduler of an earlier grid."""
        self.scheduler, self.port, self.address = earlier.scheduler, earlier.port, earlier.address
        self.scheduler_log = earlier.scheduler_log

    def has_scheduler(self) -> bool:
        """Whether the scheduler runs, and knows of no worker any more."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            return False
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            said = self.scheduler_log.read_text(errors="replace")
            if said.count("Register worker") == said.count("Remove worker"):
                return True
            time.sleep(0.1)
        return False

    def end_workers(self) -> None:
        for each in self.workers:
            end_with_children(each)

    def close(self) -> None:
        self.end_workers()
        if self.scheduler is not None:
            end_with_children(self.scheduler)

    def _start(
        self,
        role: str,
        *options: str,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        name = f"{role}{self.started if role == 'worker' else f'-{time.monotonic_ns():020}'}"
        self.started += role == "worker"
        # Fits of one machine share its memory by a folder there: these share it with no others.
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", role, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(temporary), **(environment or {})},
            )


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


def end_with_children(process: subprocess.Popen[bytes]) -> None:
    inner = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    end(process)
    for each in inner:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


@pytest.fixture
def make_grid(tmp_path: Path) -> Iterator[Callable[..., Grid]]:
    """Make a scheduler, by the arguments of `Grid`."""
    made: list[Grid] = []

    def make(**given: Any) -> Grid:
        folder = tmp_path / "grid"
        folder.mkdir()
        made.append(Grid(folder, **given))
        made[0].start_scheduler()
        return made[0]

    try:
        yield make
    finally:
        for each in made:
            each.close()


@pytest.fixture(scope="module")
def latest_grid() -> Iterator[list[Grid]]:
    """The grid of the test before: its scheduler is used again, since a start takes seconds."""
    grids: list[Grid] = []
    yield grids
    for each in grids:
        each.close()


@pytest.fixture
def grid(tmp_path: Path, latest_grid: list[Grid]) -> Iterator[Grid]:
    """A scheduler without workers yet."""
    folder = tmp_path / "grid"
    folder.mkdir()
    new = Grid(folder)
    earlier = latest_grid.pop() if latest_grid else None
    if earlier is not None and earlier.has_scheduler():
        new.take_scheduler(earlier)
    else:
        if earlier is not None:
            earlier.close()
        new.start_scheduler()
    latest_grid.append(new)
    yield new
    new.end_workers()


class Archive:
    """A folder with photos and masks, and batches over it."""

    QUICK = ("--iterations", "3", "--device", "cpu")

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capfd = folder, capfd

    def fill(self, count: int) -> None:
        """Photos in scans/ and their masks in masks/, every third pair in a sub-folder."""
        y, x = np.mgrid[:40, :48] / 48
        for number in range(count):
            random = np.random.default_rng(number)
            edge = np.where(x + y > 0.8, 0.7, 0.3)
            planes = [0.2 + 0.6 * x * random.random(), 0.8 - 0.5 * y, edge]
            noise = random.normal(0, 0.01, (40, 48, 3))
            pixels = np.rint(255 * np.clip(np.stack(planes, -1) + noise, 0, 1)).astype(np.uint8)
            mask = np.zeros((40, 48), np.uint8)
            top = int(random.integers(4, 30))
            mask[top : top + 4, 6:40] = 255
            place = "box/" if number % 3 == 2 else ""
            for kind, samples in (("scans", pixels), ("masks", mask)):
                (self.folder / kind / place).mkdir(parents=True, exist_ok=True)
                suffix = "jpg" if kind == "scans" else "png"
                write_photo(self.folder / kind / f"{place}p{number:03}.{suffix}", samples)

    def photos(self) -> list[str]:
        scans = self.folder / "scans"
        return sorted(str(path.relative_to(scans)) for path in scans.rglob("*.jpg"))

    def start(self, output: str, *options: str, prefix: Sequence[str] = ()) -> Batch:
        command = ["-m", "dip", "batch", "scans", "--masks", "masks", "-o", output]
        return subprocess.Popen(
            [*prefix, sys.executable, *command, *self.QUICK, *options],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, batch: Batch, timeout_s: float = 900) -> tuple[int, str]:
        """Exit status and error output."""
        try:
            said = batch.communicate(timeout=timeout_s)[1]
        except subprocess.TimeoutExpired:
            batch.kill()
            raise AssertionError(batch.communicate()[1]) from None
        return batch.returncode, said

    def run(self, output: str, *options: str, prefix: Sequence[str] = ()) -> tuple[int, str]:
        return self.end(self.start(output, *options, prefix=prefix))

    def run_here(self, output: str, *options: str) -> tuple[int, str]:
        """Like `run`, from this process, which has loaded Dask already."""
        scans, masks, out = (str(self.folder / name) for name in ("scans", "masks", output))
        self._capfd.readouterr()
        status = cli.main(["batch", scans, "--masks", masks, "-o", out, *self.QUICK, *options])
        return status, self._capfd.readouterr().err

    def manifest(self, output: str) -> list[dict[str, Any]]:
        try:
            lines = (self.folder / output / "manifest.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def wait_until(self, output: str, count: int, batch: Batch) -> None:
        """Wait until so many photos are in the manifest."""
        ends = time.monotonic() + 300
        while len(self.manifest(output)) < count:
            assert batch.poll() is None, batch.communicate()
            assert time.monotonic() < ends, f"{len(self.manifest(output))} of {count}"
            time.sleep(0.1)

    def results(self, output: str) -> dict[str, bytes]:
        here = self.folder / output
        return {
            str(path.relative_to(here)): path.read_bytes() for path in sorted(here.rglob("p*.png"))
        }

    def environment_with(self, code: str) -> dict[str, str]:
        """For a process that runs this code before anything else."""
        place = self.folder / "custom"
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(code)
        root = str(Path(__file__).resolve().parents[2])
        before = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(place), root, before]))}


@pytest.fixture
def archive(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Archive:
    return Archive(tmp_path, capfd)
