"""The state of the service, its capabilities, and links to its page."""

from __future__ import annotations

import platform
from typing import Any

from apiflask import APIBlueprint

from dip import __version__
from dip.config import DEFAULT_TEXTURE, GROW_AUTO, MAX_GROWTH_PX, NETWORKS
from dip.presets import PRESETS
from dip.regions.rules import DAMAGE_KINDS, DEFAULT_SENSITIVITY, MOSTLY_ABOVE
from server.errors import MEANINGS
from server.http.context import Service, service, user
from server.http.routes import refusals
from server.http.schemas import CapabilitiesOut, HealthOut, HealthQuery, LaunchOut
from server.jobs.files import free_space_problem
from server.jobs.job import State
from server.jobs.parameters import (
    FORMATS,
    MAX_DECODED_BYTES,
    PARTS,
    SAMPLE_BYTES,
)

API_VERSION = 1

meta = APIBlueprint("meta", __name__, url_prefix="/v1")


@meta.get("/health")
@meta.input(HealthQuery, location="query", arg_name="query")
@meta.output(HealthOut)
def health(query: dict[str, Any]) -> Any:
    """Get the state of the service; needs no token."""
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
    """List the accepted values, and start the worker: a client that asks will soon submit a job."""
    here = service()
    here.dispatcher.wake()
    settings = here.settings
    worker = here.store.status("worker") or {}
    return {
        "networks": NETWORKS,
        "presets": {name: preset.description for name, preset in PRESETS.items()},
        "devices": worker.get("devices"),
        "texture": DEFAULT_TEXTURE,
        "grow": [GROW_AUTO],
        "formats": {
            "image": ["png", "tiff", "jpeg", "webp", "jp2", "heif", "raw"],
            "samples": [*SAMPLE_BYTES],
            "result": [*PARTS],
            "format": [*FORMATS],
        },
        "limits": {
            "body_bytes": settings.max_body_bytes,
            "pixels": settings.max_pixels,
            "decoded_bytes": MAX_DECODED_BYTES,
            "mask_share": MOSTLY_ABOVE,
            "grow_px": MAX_GROWTH_PX,
            "queued_jobs": settings.max_queued_each if user() else settings.max_queued,
            "streams": settings.max_streams,
            "lease_min_s": settings.lease_min_s,
            "lease_max_s": settings.lease_max_s,
            "keep_days": settings.keep_days,
            "keep_bytes": settings.keep_bytes,
        },
        "kinds": [*DAMAGE_KINDS],
        "sensitivity": DEFAULT_SENSITIVITY,
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
    """Create a link that opens the page signed in; valid once, for a minute."""
    return {"url": f"/launch?code={service().authenticator.launch_code(user())}"}


def _problems(here: Service) -> list[dict[str, str]]:
    problems = []
    full = free_space_problem(here.settings.data_dir, here.settings.reserve_bytes)
    if full is not None:
        hint = MEANINGS["disk_full"].hint
        problems.append({"code": "disk_full", "message": full, "hint": hint})
    trouble = here.dispatcher.trouble()
    if trouble is not None:
        problems.append(trouble)
    return problems
