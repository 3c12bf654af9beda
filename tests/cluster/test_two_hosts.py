"""Two hosts that share nothing but a cable, as network namespaces; and the same over TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Archive = Any
Grid = Any


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """The names of two namespaces with a cable between them: 10.77.0.1 and 10.77.0.2."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root of a Linux machine with iproute2 makes network namespaces")
    names = f"dip-a-{os.getpid()}", f"dip-b-{os.getpid()}"
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "wire", "netns", names[0], "type", "veth",
               "peer", "name", "wire", "netns", names[1])  # fmt: skip
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def on_the_second(name: str, archive: Archive) -> list[str]:
    """Words before a command that runs it on a host of another name, without the photos."""
    hide = " && ".join(
        f'mount -t tmpfs none "{archive.folder / each}"' for each in ("scans", "masks")
    )
    script = f'hostname second && {hide} && exec "$@"'
    unshare = ["unshare", "--mount", "--uts", "sh", "-c", script, "sh"]
    return ["ip", "netns", "exec", name, *unshare]


def test_photos_go_over_the_network_and_come_back(
    hosts: tuple[str, str], archive: Archive, make_grid: Any
) -> None:
    first, second = hosts
    archive.fill(8)
    here = ["ip", "netns", "exec", first]
    grid = make_grid(host="10.77.0.1", prefix=here)
    grid.start_worker("--host", "10.77.0.2", prefix=on_the_second(second, archive))
    batch = archive.start("out", "--cluster", grid.address, prefix=here)
    archive.wait_until("out", 2, batch)
    ip("-n", second, "link", "set", "wire", "down")
    time.sleep(3)
    ip("-n", second, "link", "set", "wire", "up")
    status, said = archive.end(batch)
    assert status == 0, said
    assert "shared disk" not in said
    records = archive.manifest("out")
    assert sorted(record["photo"] for record in records) == archive.photos()
    assert {record["host"] for record in records} == {"second"}
    assert archive.run("alone")[0] == 0
    assert archive.results("out") == archive.results("alone")


def test_a_client_without_a_certificate_is_refused_over_tls(
    archive: Archive, make_grid: Any, make_certificate: Any, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    archive.fill(2)
    files = {"ca-file": certificate, "cert": certificate, "key": key}
    options = [word for name, path in files.items() for word in (f"--tls-{name}", str(path))]
    grid = make_grid(scheme="tls", options=options)
    grid.start_worker()
    ours = ["--tls-ca", certificate, "--tls-cert", certificate, "--tls-key", key]
    status, said = archive.run("out", "--cluster", grid.address, *map(str, ours))
    assert status == 0, said
    assert len(archive.results("out")) == 2
    for address, given in (
        (grid.address.replace("tls://", "tcp://"), []),
        (grid.address, ["--tls-ca", str(certificate)]),
    ):
        status, said = archive.run("other", "--cluster", address, *given)
        assert status == 9, said
        assert "Traceback" not in said
