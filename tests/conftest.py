"""Pictures that tests share: small, seeded, made here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from image_headers import png_claiming

# Threads that wait without spinning: tests must not take minutes on a machine that is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No property depends on how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell that runs the tests in the background has them ignore Ctrl+C, `nohup` a hangup, and
# every child with them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exhaustive", action="store_true", help="run the tests marked `exhaustive` as well"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the exhaustive variants unless they are asked for; begin with slow tests."""
    if not config.option.exhaustive:
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]
    if hasattr(config, "workerinput"):  # of xdist: short tests at the end share out evenly
        items.sort(key=_turn)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Check that xdist knows the groups: without them each test starts services of its own."""
    if getattr(session.config.option, "loadgroup", False):
        grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
        if any("@" not in item.nodeid for item in grouped):
            raise pytest.UsageError("pytest-xdist ignores the groups of tests: install pytest<9.1")


def _turn(item: pytest.Item) -> int:
    """Groups come first, since the tests of a group run one after the other.

    GIMP's windows begin, since they wait most and take longest; the console of GIMP comes later,
    when GIMP has been installed.
    """
    if item.get_closest_marker("gimp"):
        return 0 if "screen" in getattr(item, "fixturenames", ()) else 3
    if item.get_closest_marker("browser"):
        return 1
    if item.get_closest_marker("xdist_group"):
        return 2
    return 4 if item.get_closest_marker("slow") else 5


@pytest.fixture(scope="session")
def exhaustive(pytestconfig: pytest.Config) -> bool:
    """Whether tests do as much as they can, not as much as they must."""
    return bool(pytestconfig.option.exhaustive)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit on one thread unless told otherwise: two wait for each other where others work too."""
    monkeypatch.setattr("dip.machine.device.cores", lambda: 1)


@pytest.fixture(scope="session")
def make_certificate() -> Callable[..., tuple[Path, Path]]:
    """Make a certificate of this machine that signs itself, and its key, in a folder."""

    def make(folder: Path, name: str = "server") -> tuple[Path, Path]:
        if shutil.which("openssl") is None:
            pytest.skip("openssl makes the certificate, and is not here")
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", names),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        return certificate, key

    return make


@pytest.fixture(scope="session")
def deep_bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG of 190 megapixels, RGBA of 16 bit: 1.5 MB that decode to 1.5 GB."""
    side = 13_780
    row_bytes = 1 + 8 * side
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)  # blocks that can be repeated
    block = packer.compress(bytes(130 * row_bytes)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (side * row_bytes % 65521 << 16) + 1  # Adler-32 of zeros
    packed = b"\x78\x9c" + side // 130 * block + b"\x03\x00" + checksum.to_bytes(4, "big")
    path = tmp_path_factory.mktemp("bomb") / "deep.png"
    path.write_bytes(png_claiming(side, side, depth=16, colours=6, compressed=packed))
    return path


@pytest.fixture
def photo() -> npt.NDArray[np.uint8]:
    """Smooth colours with an edge and a little noise: (48, 64, 3) uint8."""
    y, x = np.mgrid[:48, :64] / 64
    planes = [0.2 + 0.6 * x, 0.8 - 0.5 * y, np.where(x + y > 0.8, 0.7, 0.3)]
    noise = np.random.default_rng(0).normal(0, 0.01, (48, 64, 3))
    pixels: npt.NDArray[np.uint8] = np.rint(255 * np.clip(np.stack(planes, -1) + noise, 0, 1))
    return pixels.astype(np.uint8)


@pytest.fixture
def mask() -> npt.NDArray[np.bool_]:
    """A scratch and a small hole: (48, 64) bool."""
    damage = np.zeros((48, 64), dtype=bool)
    damage[10:13, 8:50] = True
    damage[30:38, 40:50] = True
    return damage
