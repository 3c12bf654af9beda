"""What `dip doctor` says of the service."""

from __future__ import annotations

from dip import __version__
from dip.doctor import Finding


def check_service() -> Finding:
    """Ask the running service how it is; that none is running is no illness."""
    from server.client import Client, ClientError, Unreachable

    try:
        with Client.find(patience_s=1) as client:
            health = client.health()
            devices = client.capabilities()["devices"]
            url = client.url
    except Unreachable as error:
        return Finding("ok", f"not running ({error.message}) `dip serve` starts it")
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
