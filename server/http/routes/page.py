"""The page, its files, and signing in."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, redirect, request

from server.errors import ServiceError
from server.http.auth import COOKIE_S, cookie_name
from server.http.context import service
from server.http.schemas import LaunchQuery
from server.http.static_files import CACHE_FOREVER, Assets

_EXTENSION = "dip_assets"

page = APIBlueprint("page", __name__, enable_openapi=False)
page.record(lambda state: state.app.extensions.setdefault(_EXTENSION, Assets.read()))


@page.get("/")
def index() -> Response:
    """The page; public, since it contains no data of jobs."""
    return Response(_assets().page, mimetype="text/html")


@page.route("/*", methods=["OPTIONS"], provide_automatic_options=False)
def options() -> Response:
    """The methods of the service as a whole: `OPTIONS *`."""
    return Response(headers={"Allow": "GET, HEAD, POST, DELETE, OPTIONS"})


@page.get("/static/<version>/<path:name>")
def asset(version: str, name: str) -> Response:
    """A script, a style sheet or an image of the page; also public."""
    assets = _assets()
    found = assets.files.get(name) if version == assets.version else None
    if found is None:
        raise ServiceError("not_found", "There is no such file.", "Load the page again.")
    response = Response(found.data, content_type=found.media_type)
    response.headers["Cache-Control"] = CACHE_FOREVER
    return response


@page.get("/launch")
@page.input(LaunchQuery, location="query", arg_name="query")
def launch(query: dict[str, Any]) -> Any:
    """Exchange a launch code for a cookie; the redirect removes the code from the address bar."""
    here = service()
    try:
        cookie = here.authenticator.trade(query["code"])
    except ServiceError as error:
        if "text/html" not in request.headers.get("Accept", ""):
            raise
        # A person who opens the link a second time sees the page, which explains how to sign in.
        return Response(_assets().page, status=error.status, mimetype="text/html")
    response = redirect("/", code=303)
    response.set_cookie(
        cookie_name(here.port),
        cookie,
        max_age=COOKIE_S,
        secure=here.settings.encrypted,
        httponly=True,
        samesite="Strict",
    )
    return response


def _assets() -> Assets:
    found: Assets = current_app.extensions[_EXTENSION]
    return found
