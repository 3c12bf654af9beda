"""How the service is, and what it can do."""

from __future__ import annotations

import platform
import shutil
from typing import Any

from apiflask import APIBlueprint

from dip import __version__
from dip.config import NETWORKS
from dip.presets import PRESETS
from server.http.context import Service, service, user
from server.http.routes import refusals
from server.http.schemas import CapabilitiesOut, HealthOut, HealthQuery, LaunchOut
from server.jobs.job import State
from server.jobs.parameters import FORMATS, PARTS, SAMPLE_BYTES

API_VERSION = 1

meta = APIBlueprint("meta", __name__, url_prefix="/v1")


@meta.get("/health")
@meta.input(HealthQuery, location="query", arg_name="query")
@meta.output(HealthOut)
def health(query: dict[str, Any]) -> Any:
    """Say how the service is; needs no token."""
    here = service()
    problems = _problems(here)
    answer = {
        "service": "dip-restore",
        "api": API_VERSION,
        "version": __version__,
        "status": "degraded" if problems else "ok",
        "worker": here.dispatcher.state(),
        "queued": here.store.count(State.QUEUED),
        "running": here.store.count(State.RUNNING),
        "problems": problems,
    }
    if "challenge" in query:
        answer["proof"] = here.authenticator.proof(query["challenge"], query["user"])
    return answer


@meta.get("/capabilities")
@meta.output(CapabilitiesOut)
def capabilities() -> Any:
    """Say what can be asked for. Whoever asks is about to: the worker is made ready."""
    here = service()
    here.dispatcher.wake()
    settings = here.settings
    worker = here.store.status("worker") or {}
    return {
        "networks": NETWORKS,
        "presets": {name: preset.description for name, preset in PRESETS.items()},
        "devices": worker.get("devices"),
        "formats": {
            "image": ["png", "tiff", "jpeg", "webp", "raw"],
            "samples": [*SAMPLE_BYTES],
            "result": [*PARTS],
            "format": [*FORMATS],
        },
        "limits": {
            "body_bytes": settings.max_body_bytes,
            "pixels": settings.max_pixels,
            "queued_jobs": settings.max_queued_each if user() else settings.max_queued,
            "streams": settings.max_streams,
            "lease_min_s": settings.lease_min_s,
            "lease_max_s": settings.lease_max_s,
            "keep_days": settings.keep_days,
            "keep_bytes": settings.keep_bytes,
        },
        "versions": {
            "dip": __version__,
            "api": str(API_VERSION),
            "python": platform.python_version(),
            **worker.get("versions", {}),
        },
        "worker": {"state": here.dispatcher.state(), **worker},
        "cluster": settings.cluster is not None,
    }


@meta.post("/launch")
@meta.output(LaunchOut)
@meta.doc(responses=refusals("token_required"))
def make_launch_code() -> Any:
    """Make a link that opens the page, signed in; it works once, within a minute."""
    return {"url": f"/launch?code={service().authenticator.launch_code(user())}"}


def _problems(here: Service) -> list[dict[str, str]]:
    problems = []
    free = shutil.disk_usage(here.settings.data_dir).free
    if free < here.settings.reserve_bytes:
        problems.append(
            {
                "code": "disk_full",
                "message": f"{free / 1e6:.0f} MB are free on the disk with the jobs.",
                "hint": "Free some space, or delete finished jobs; no job is taken until then.",
            }
        )
    trouble = here.dispatcher.trouble()
    if trouble is not None:
        problems.append(trouble)
    return problems
