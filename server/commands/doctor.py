"""The check of the service by `dip doctor`."""

from __future__ import annotations

import socket
from pathlib import Path

from dip import __version__
from dip.commands.doctor import Finding
from dip.machine.locks import LockFile
from server.settings import DEFAULT_PORT


def check_service() -> Finding:
    """Check the running service. No running service is no fault."""
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
    summary = (
        f"{health['version']} at {url}, worker {health['worker']}, {health['queued']} jobs waiting"
    )
    if health["problems"]:
        problem = health["problems"][0]
        return Finding("warn", f"{summary}; {problem['message']}", problem["hint"])
    if health["version"] != __version__:
        return Finding(
            "warn",
            f"{summary}, but this command is {__version__}",
            "Restart it: dip stop, then dip serve.",
        )
    return Finding("ok", f"{summary}, computes on {', '.join(devices or ['?'])}")


def _absent(folder: Path, message: str) -> Finding:
    """The finding where no service answers: none runs, or one hangs."""
    lock = LockFile(folder / "lock")
    if folder.is_dir() and not lock.acquire():
        return Finding(
            "fail",
            f"The service of {folder} runs, but does not answer.",
            "Restart it: dip stop, then dip serve.",
        )
    lock.release()
    if _answers(DEFAULT_PORT):
        return Finding(
            "warn",
            f"not running, and another program uses its port {DEFAULT_PORT}",
            "Start it at a free port: dip serve --port 0",
        )
    return Finding("ok", f"not running ({message}) `dip serve` starts it")


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
