"""What `dip doctor` says of the service."""

from __future__ import annotations

import socket
from pathlib import Path

from dip import __version__
from dip.commands.doctor import Finding
from dip.machine.locks import LockFile
from server.settings import DEFAULT_PORT


def check_service() -> Finding:
    """Ask the running service how it is; that none is running is no illness."""
    from server.client import Client, ClientError, Unreachable, default_data_dir

    folder = default_data_dir()
    try:
        with Client.find(folder, retry_timeout_s=1) as client:
            health = client.health()
            devices = client.capabilities()["devices"]
            url = client.url
    except Unreachable as error:
        return _absent(folder, error.message)
    except ClientError as error:
        return Finding("fail", error.message, error.hint)
    seen = (
        f"{health['version']} at {url}, worker {health['worker']}, {health['queued']} jobs waiting"
    )
    if health["problems"]:
        problem = health["problems"][0]
        return Finding("warn", f"{seen}; {problem['message']}", problem["hint"])
    if health["version"] != __version__:
        return Finding(
            "warn", f"{seen}, but this is {__version__}", "Restart it: dip stop, then dip serve."
        )
    return Finding("ok", f"{seen}, computes on {', '.join(devices or ['?'])}")


def _absent(folder: Path, message: str) -> Finding:
    """Nobody answers: because there is no service, or because it hangs?"""
    lock = LockFile(folder / "lock")
    if folder.is_dir() and not lock.acquire():
        return Finding(
            "fail",
            f"A service holds {folder}, and does not answer.",
            "End it with `dip stop`, then start it again: dip serve",
        )
    lock.release()
    if _answers(DEFAULT_PORT):
        return Finding(
            "warn",
            f"not running, and another program has its port {DEFAULT_PORT}",
            "Start it at another: dip serve --port 0",
        )
    return Finding("ok", f"not running ({message}) `dip serve` starts it")


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
