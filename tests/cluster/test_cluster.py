"""A batch over a real scheduler and real workers, which come and go."""

from __future__ import annotations

import itertools
import signal
import socket
import threading
import time
from typing import Any

import psutil
import pytest
from crashing_reader import crashing_at

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Grid = Any
Archive = Any


LONG_FITS = """
import sys
if "dip.batch.fit_worker" in sys.orig_argv:
    import time
    from dip.restore import Restoration
    steps = Restoration.__iter__
    def long(self):
        with open({path!r}, "a") as file:
            file.write("begun\\n")
        time.sleep({seconds})
        yield from steps(self)
    Restoration.__iter__ = long
"""


def with_long_fits(archive: Archive, seconds: float) -> dict[str, str]:
    """The environment of a worker whose fits take so much longer, without any work.

    The file begun has a line for each fit that has begun.
    """
    code = LONG_FITS.format(path=str(archive.folder / "begun"), seconds=seconds)
    environment: dict[str, str] = archive.environment_with(code)
    return environment


def test_a_batch_survives_lost_workers_and_a_lost_scheduler(
    grid: Grid, archive: Archive, exhaustive: bool
) -> None:
    count = 60 if exhaustive else 10
    archive.fill(count)
    slow = with_long_fits(archive, 0.5)
    first, _ = grid.start_worker(environment=slow), grid.start_worker(environment=slow)
    batch = archive.start("out", "--cluster", grid.address)
    archive.wait_until("out", count // 8, batch)
    first.kill()  # killed with a photo in hand
    archive.wait_until("out", count // 4, batch)
    grid.kill_scheduler()
    for worker in grid.workers:
        worker.kill()
    time.sleep(2)
    grid.start_scheduler()
    late = [grid.start_worker(wait=False, environment=slow) for _ in range(2)]
    archive.wait_until("out", count * 3 // 5, batch)
    late[0].kill()

    status, said = archive.end(batch)
    assert status == 0, said
    assert "cut off" in said
    assert "is back" in said
    done = archive.manifest("out")
    assert sorted(record["photo"] for record in done) == archive.photos()
    assert {record["outcome"] for record in done} == {"done"}

    assert archive.run("alone", "--workers", "1")[0] == 0
    assert archive.results("out") == archive.results("alone")
    assert len(archive.results("out")) == count


@pytest.mark.exhaustive  # a lost scheduler is tested always
def test_a_scheduler_that_is_cut_off_while_its_workers_stay(grid: Grid, archive: Archive) -> None:
    """Such workers end, and come back when their nanny or service manager starts them again."""
    archive.fill(6)
    grid.start_worker(environment=with_long_fits(archive, 0.5))
    batch = archive.start("out", "--cluster", grid.address)
    archive.wait_until("out", 2, batch)
    grid.kill_scheduler()
    grid.start_scheduler()
    grid.start_worker(wait=False)
    status, said = archive.end(batch)
    assert status == 0, said
    assert len(archive.manifest("out")) == 6


def test_the_rest_of_a_killed_batch_is_done_by_the_next_one(grid: Grid, archive: Archive) -> None:
    archive.fill(4)
    grid.start_worker(environment=with_long_fits(archive, 0.5))
    batch = archive.start("out", "--cluster", grid.address)
    archive.wait_until("out", 2, batch)
    batch.kill()
    batch.communicate()
    done = len(archive.manifest("out"))
    status, said = archive.run("out", "--cluster", grid.address)
    assert status == 0, said
    assert f"{4 - done} photos to restore, {done} done before" in said
    assert sorted(record["photo"] for record in archive.manifest("out")) == archive.photos()


@pytest.mark.exhaustive
def test_a_worker_that_its_nanny_starts_again_goes_on(grid: Grid, archive: Archive) -> None:
    archive.fill(10)
    nanny = grid.start_worker(nanny=True)
    batch = archive.start("out", "--cluster", grid.address)
    archive.wait_until("out", 3, batch)
    inner = [
        each
        for each in psutil.Process(nanny.pid).children(recursive=True)
        if "dip.batch.fit_worker" in each.cmdline()
    ]
    worker = inner[0].parent()
    assert worker.pid != nanny.pid
    worker.kill()
    psutil.wait_procs([*inner, worker], timeout=120)
    assert not inner[0].is_running()  # it does not outlive its worker
    status, said = archive.end(batch)
    assert status == 0, said
    assert sorted(record["photo"] for record in archive.manifest("out")) == archive.photos()


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive), signal.SIGKILL],
    ids=["Ctrl-C", "kill -9"],
)
def test_workers_do_not_go_on_for_a_batch_that_is_gone(
    grid: Grid, archive: Archive, number: int
) -> None:
    archive.fill(1)
    worker = psutil.Process(grid.start_worker().pid)
    batch = archive.start("out", "--cluster", grid.address, "--iterations", "1000000")
    ends = time.monotonic() + 300
    while not worker.children():
        assert time.monotonic() < ends
        time.sleep(0.1)
    (fitting,) = worker.children()
    time.sleep(5)
    batch.send_signal(number)
    status, said = archive.end(batch)
    assert status == (130 if number == signal.SIGINT else -9), said
    assert "Traceback" not in said
    psutil.wait_procs([fitting], timeout=120)
    assert not fitting.is_running()
    assert worker.is_running()


WITHOUT_DISK = (
    "import pathlib\n"
    "read = pathlib.Path.read_bytes\n"
    "def refuse(self):\n"
    "    if self.suffix == '.jpg': raise FileNotFoundError(2, 'not here', str(self))\n"
    "    return read(self)\n"
    "pathlib.Path.read_bytes = refuse\n"
)


@pytest.mark.exhaustive  # the way between two hosts is tested always
def test_photos_travel_as_bytes_where_workers_cannot_read_them(
    grid: Grid, archive: Archive
) -> None:
    """The worker cannot open files with the suffix .jpg."""
    archive.fill(4)
    grid.start_worker(environment=archive.environment_with(WITHOUT_DISK))
    status, said = archive.run("out", "--cluster", grid.address)
    assert status == 0, said
    assert "shared disk" not in said
    assert archive.run("alone", "--workers", "1")[0] == 0
    assert archive.results("out") == archive.results("alone")
    hashes = [
        [
            (each["photo"], each["photo_sha256"], each["mask_sha256"])
            for each in sorted(archive.manifest(name), key=lambda record: str(record["photo"]))
        ]
        for name in ("out", "alone")
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.exhaustive
def test_a_new_worker_without_the_disk_is_sent_bytes(grid: Grid, archive: Archive) -> None:
    archive.fill(10)
    seeing = grid.start_worker()
    batch = archive.start("out", "--cluster", grid.address)
    archive.wait_until("out", 2, batch)
    grid.start_worker(environment=archive.environment_with(WITHOUT_DISK))
    seeing.kill()
    status, said = archive.end(batch)
    assert status == 0, said
    assert len(archive.manifest("out")) == 10


TIMED = """
import sys
if "dip.batch.fit_worker" in sys.orig_argv:
    import time
    from dip.restore import Restoration
    steps = Restoration.__iter__
    def timed(self):
        began = time.time()
        yield from steps(self)
        time.sleep(1.5)
        with open({path!r}, "a") as file:
            file.write(f"{{began}} {{time.time()}}\\n")
    Restoration.__iter__ = timed
"""


@pytest.mark.parametrize("limit_mb", [500, pytest.param(100_000, marks=pytest.mark.exhaustive)])
def test_fits_on_one_machine_share_its_memory(grid: Grid, archive: Archive, limit_mb: int) -> None:
    """Each takes about 350 MB: of two workers, one waits for the other, or none does."""
    archive.fill(3)
    times = archive.folder / "times"
    timed = archive.environment_with(TIMED.format(path=str(times)))
    for _ in range(2):
        grid.start_worker(environment=timed)
    limit = ("--max-memory-mb", str(limit_mb))
    status, said = archive.run_here("out", "--cluster", grid.address, *limit)
    assert status == 0, said
    spans = sorted(tuple(map(float, line.split())) for line in times.read_text().splitlines())
    assert len(spans) >= 3
    overlaps = [before[1] > after[0] for before, after in itertools.pairwise(spans)]
    assert any(overlaps) == (limit_mb > 1000)


# --- Refusals -----------------------------------------------------------------------------------


OTHER_VERSION = "import dip\ndip.__version__ = '9.9.9'\n"
WITHOUT_DIP = (
    "import sys\n"
    "class Without:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] == 'dip':\n"
    "            raise ModuleNotFoundError(\"No module named 'dip'\", name='dip')\n"
    "sys.meta_path.insert(0, Without())\n"
)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        pytest.param(OTHER_VERSION, "dip 9.9.9", marks=pytest.mark.exhaustive),
        (WITHOUT_DIP, "No module named 'dip'"),
    ],
    ids=["another version", "no dip"],
)
def test_incompatible_workers_are_named_before_the_first_photo(
    grid: Grid, archive: Archive, code: str, says: str
) -> None:
    archive.fill(2)
    grid.start_worker()
    grid.start_worker(environment=archive.environment_with(code))
    status, said = archive.run_here("out", "--cluster", grid.address)
    assert status == 9
    assert says in said
    assert archive.manifest("out") == []


@pytest.mark.exhaustive
def test_incompatible_workers_that_come_later_are_given_nothing(
    grid: Grid, archive: Archive
) -> None:
    archive.fill(14)
    grid.start_worker()
    slowly = ["--iterations", "40"]
    batch = archive.start("out", "--cluster", grid.address, *slowly)
    archive.wait_until("out", 2, batch)
    for code in (OTHER_VERSION, WITHOUT_DIP):
        grid.start_worker(environment=archive.environment_with(code))
    status, said = archive.end(batch)
    assert status == 0, said
    assert said.count("is given nothing") == 2
    assert len(archive.manifest("out")) == 14


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_scheduler_at_the_address(archive: Archive) -> None:
    archive.fill(1)
    address = f"tcp://127.0.0.1:{unused_port()}"
    status, said = archive.run("out", "--cluster", address)
    assert status == 9
    assert "No Dask scheduler answers" in said


def test_a_cluster_without_a_gpu_is_not_given_photos_that_need_one(
    grid: Grid, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.fill(2)
    grid.start_worker()
    status, said = archive.run_here("out", "--cluster", grid.address, "--resources", "GPU=1")
    assert status == 9
    assert "no workers with GPU=1" in said
    grid.start_worker("--resources", "GPU=1", "--name", "has-one")
    status, said = archive.run_here("out", "--cluster", grid.address, "--resources", "GPU=1")
    assert status == 0, said
    assert "1 photos at a time" in said
    assert "run_remote" not in grid.log("worker0")


# --- Failures -----------------------------------------------------------------------------------


@pytest.mark.exhaustive  # a batch without a cluster is tested always
def test_a_photo_that_crashes_the_image_library_costs_itself(grid: Grid, archive: Archive) -> None:
    archive.fill(5)
    crashing = archive.environment_with(crashing_at("p002.jpg"))
    worker = grid.start_worker(environment=crashing)
    status, said = archive.run_here("out", "--cluster", grid.address)
    assert status == 11
    assert worker.poll() is None
    outcomes = {each["photo"]: each for each in archive.manifest("out")}
    assert [name for name, each in outcomes.items() if each["outcome"] == "failed"] == [
        "box/p002.jpg"
    ]
    assert outcomes["box/p002.jpg"]["error"]["code"] == "process_died"
    assert "SIGSEGV" in said


def test_a_photo_of_a_frozen_worker_is_late_and_sent_to_another(
    grid: Grid, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip.cluster.batch.LATE_AFTER_S", 5.0)
    monkeypatch.setattr("dip.cluster.connection.SILENT_S", 10_000.0)
    said = run_while_a_worker_freezes(grid, archive)
    assert "is late" in said
    assert "no sign of life" not in said


@pytest.mark.exhaustive  # jobs of a silent worker are tested always
def test_photos_of_a_silent_worker_are_done_by_others(
    grid: Grid, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip.cluster.batch.LATE_AFTER_S", 10_000.0)
    monkeypatch.setattr("dip.cluster.connection.SILENT_S", 15.0)
    said = run_while_a_worker_freezes(grid, archive)
    assert said.count("no sign of life") == 1


def run_while_a_worker_freezes(grid: Grid, archive: Archive) -> str:
    """Freeze one of two workers during a photo; the output of the batch."""
    archive.fill(6)
    begun = archive.folder / "begun"
    still = grid.start_worker(environment=with_long_fits(archive, 2))
    grid.start_worker()

    def freeze() -> None:
        ends = time.monotonic() + 300
        while not begun.exists() and time.monotonic() < ends:
            time.sleep(0.05)
        still.send_signal(signal.SIGSTOP)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    status, said = archive.run_here("out", "--cluster", grid.address)
    freezing.join()
    assert status == 0, said
    assert begun.exists()
    assert len(archive.manifest("out")) == 6
    return said


@pytest.mark.exhaustive
def test_a_worker_whose_fits_take_long_is_not_given_up(
    grid: Grid, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip.cluster.connection.SILENT_S", 12.0)
    archive.fill(2)
    begun = archive.folder / "begun"
    for _ in range(2):
        grid.start_worker(environment=with_long_fits(archive, 20))
    status, said = archive.run_here("out", "--cluster", grid.address)
    assert status == 0, said
    assert "no sign of life" not in said
    assert begun.read_text().count("begun") == 2
