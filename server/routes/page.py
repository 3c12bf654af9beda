"""The page, and a browser's way in."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, redirect

from server.door import cookie_name
from server.schemas import LaunchQuery
from server.security import COOKIE_S
from server.service import service

page = APIBlueprint("page", __name__, enable_openapi=False)


@page.get("/")
def index() -> Response:
    """The page: public, since it holds nothing but itself."""
    return current_app.send_static_file("index.html")


@page.get("/launch")
@page.input(LaunchQuery, location="query", arg_name="query")
def launch(query: dict[str, Any]) -> Any:
    """Trade a launch code for a cookie; the code does not stay in the address bar."""
    here = service()
    response = redirect("/", code=303)
    response.set_cookie(
        cookie_name(here.port),
        here.gate.trade(query["code"]),
        max_age=COOKIE_S,
        httponly=True,
        samesite="Strict",
    )
    return response
