"""The examples of server/README.md, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip.image_io import encode_photo, read_photo
from server.commands import COMMANDS
from server.settings import DEFAULT_PORT

pytestmark = pytest.mark.xdist_group("readme")  # they share a costly fixture

README = (Path(__file__).resolve().parents[2] / "server/README.md").read_text()
SECTION = README.split("## Over HTTP\n")[1].split("\n## ")[0]


def example(language: str, place: int = 0) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found[place])


@pytest.fixture(scope="module")
def home(
    start_service: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int]]:
    """A home folder with a service in it: at the usual port, unless another program has that."""
    home = tmp_path_factory.mktemp("home")
    folder = home / ".local/state/dip-restore"
    try:
        service = start_service(folder, port=DEFAULT_PORT)
    except AssertionError:  # it says that the port cannot be had
        service = start_service(folder)
    yield home, service.port
    service.stop()


def run_in(folder: Path, home: Path, command: list[str]) -> None:
    """Run a command of the user with this HOME."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the README names the folder on Linux")
@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_example_returns_a_restored_picture(
    home: tuple[Path, int], tmp_path: Path, language: str, photo: np.ndarray, mask: np.ndarray
) -> None:
    if language == "sh" and shutil.which("curl") is None:
        pytest.skip("there is no curl")
    photo, mask = photo[16:48, 8:56], mask[16:48, 8:56]  # a fit as short as it can be
    (tmp_path / "photo.jpg").write_bytes(encode_photo(photo, "jpeg"))
    (tmp_path / "mask.png").write_bytes(encode_photo(mask, "png"))
    text = example(language).replace(f":{DEFAULT_PORT}/", f":{home[1]}/")
    command = ["sh", "-c", text] if language == "sh" else [sys.executable, "-c", text]
    run_in(tmp_path, home[0], command)
    given, restored = (read_photo(tmp_path / name) for name in ("photo.jpg", "restored.png"))
    np.testing.assert_array_equal(restored.pixels[mask == 0], given.pixels[mask == 0])
    assert (restored.pixels[mask > 0] != given.pixels[mask > 0]).any()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the README names the folder on Linux")
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_example_finds_damage(home: tuple[Path, int], tmp_path: Path) -> None:
    photo = np.full((96, 96, 3), 90, np.uint8)
    photo += np.random.default_rng(0).integers(0, 4, photo.shape, dtype=np.uint8)
    photo[40:43, 50:53] = 250
    (tmp_path / "photo.jpg").write_bytes(encode_photo(photo, "jpeg"))
    text = example("sh", 1).replace(f":{DEFAULT_PORT}", f":{home[1]}")
    run_in(tmp_path, home[0], ["sh", "-e", "-c", text])
    for name in ("first.png", "found.png"):
        assert read_photo(tmp_path / name).pixels[41, 51] == 255
        assert read_photo(tmp_path / name).pixels[:20].max() == 0


def test_every_command_and_path_that_is_named_exists(http: Any) -> None:
    named = set(re.findall(r"`(?:\.venv/bin/)?dip ([a-z]+)", SECTION))
    assert {"submit", "jobs", "watch", "fetch", "cancel", "stop", "serve"} <= named
    assert named <= set(COMMANDS)
    paths = http.get("/openapi.json").get_json()["paths"]
    asked = re.findall(r"`([A-Z]+) (/v1/[\w/]+)`", SECTION)
    assert len(asked) == 11
    for method, path in asked:
        assert method.lower() in paths[path.replace("ID", "{job_id}")]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_the_openssl_line_makes_a_certificate_that_is_accepted(tmp_path: Path) -> None:
    (line,) = re.findall(r"^    (openssl .*\\\n.*)$", README, re.MULTILINE)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "gpu.pem", tmp_path / "gpu.key")
