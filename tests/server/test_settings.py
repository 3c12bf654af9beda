"""The settings of the service, and the values that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dip.cluster.options import ClusterSettings
from dip.errors import SettingError
from server.settings import ServerSettings, is_loopback


def test_settings_travel_as_json(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    cluster = ClusterSettings(
        address="tls://gpu.lan:8786", resources={"GPU": 1.0}, certificate=certificate
    )
    for settings in (
        ServerSettings(data_dir=tmp_path),
        ServerSettings(data_dir=tmp_path, cluster=cluster, allowed_hosts=("photos.lan",)),
    ):
        assert ServerSettings.from_json(settings.as_json()) == settings


@pytest.mark.parametrize(
    "address", ["tls://gpu.lan:8786", "tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1"]
)
def test_a_cluster_is_reached_over_tls_or_on_this_machine(address: str) -> None:
    ServerSettings(cluster=ClusterSettings(address=address))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://gpu.lan:8786", "not encrypted"),
        ("tcp://10.0.0.7:8786", "not encrypted"),
        ("gpu.lan:8786", "not the address of a scheduler"),
        ("tls://gpu.lan", "not the address of a scheduler"),
        ("ucx://127.0.0.1:1", "not the address of a scheduler"),
    ],
)
def test_a_bare_port_of_another_machine_is_refused(address: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        ServerSettings(cluster=ClusterSettings(address=address))


def test_a_certificate_that_is_not_there_is_named_at_once() -> None:
    cluster = ClusterSettings(address="tls://gpu.lan:8786", ca=Path("nowhere.pem"))
    with pytest.raises(SettingError, match=r"nowhere\.pem"):
        ServerSettings(cluster=cluster)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True),
        ("[::1]", True), ("0.0.0.0", False), ("::", False), ("192.168.1.5", False),
        ("photos.lan", False), ("", False),
    ],
)  # fmt: skip
def test_another_address_needs_a_clear_word(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    if not loopback:
        with pytest.raises(SettingError, match="Other machines") as caught:
            ServerSettings(host=host)
        assert "--expose" in caught.value.hint
        assert "nothing is encrypted" in caught.value.message
        ServerSettings(host=host, expose=True)
