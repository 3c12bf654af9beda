"""The WSGI application: it connects routes, authentication and errors."""

from __future__ import annotations

import logging
import time
from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from dip import __version__
from server.errors import CODE_OF_STATUS, ServiceError
from server.http.auth import PUBLIC, RESPONSE_HEADERS, RequestCredentials, cookie_value
from server.http.context import EXTENSION, Service, service
from server.http.routes import refusals
from server.http.routes.detections import detections
from server.http.routes.displays import displays
from server.http.routes.events import events
from server.http.routes.jobs import jobs
from server.http.routes.meta import meta
from server.http.routes.page import page
from server.http.static_files import CACHE_FOREVER
from server.http.uploads import UploadRequest, discard_uploads, refuse_repeated
from server.http.wsgi import USER_KEY
from server.jobs.job import OWNER
from server.jobs.transitions import JOB_UNKNOWN

_log = logging.getLogger(__name__)
_EVERYWHERE = (
    "bad_request", "token_required", "host_refused", "origin_refused", "request_timeout",
    "parameter_invalid", "headers_too_large", "internal",
)  # fmt: skip


def create_app(parts: Service) -> APIFlask:
    """Create the application of a service."""
    app = APIFlask(
        __name__,
        title="Deep Image Prior restoration",
        version=__version__,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # the page's files have their own route
    )
    app.request_class = UploadRequest
    app.config.update(
        MAX_CONTENT_LENGTH=parts.settings.max_request_bytes,
        AUTO_404_RESPONSE=False,
        AUTO_SERVERS=False,
    )
    app.security_schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    app.url_map.merge_slashes = False  # no redirects
    app.extensions[EXTENSION] = parts
    app.before_request(_authenticate)
    app.before_request(_check_query)
    app.after_request(_complete_response)
    app.teardown_request(lambda error: discard_uploads())
    app.error_processor(_answer_library)  # first: APIFlask also registers HTTPException here
    app.register_error_handler(ServiceError, _answer)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_fault)
    app.spec_processor(_complete_spec)
    for blueprint in (jobs, events, detections, displays, meta, page):
        app.register_blueprint(blueprint)
    return app


def _authenticate() -> None:
    g.began = time.monotonic()
    here = service()
    user = request.environ.get(USER_KEY)  # the HTTP server has authenticated it
    g.user = here.authenticator.check(_credentials(here)) if user is None else user
    job_id = (request.view_args or {}).get("job_id")
    if g.user != OWNER and job_id is not None and here.store.get(job_id).owner != g.user:
        raise ServiceError("job_unknown", JOB_UNKNOWN)  # the same answer as for no job


def _check_query() -> None:
    names = [name for name, _ in request.args.items(multi=True)]
    refuse_repeated(names, "The address has two parameters")


def _credentials(here: Service) -> RequestCredentials:
    headers = request.headers
    return RequestCredentials(
        method=request.method,
        path=request.path,
        host=request.environ.get("HTTP_HOST"),
        origin=headers.get("Origin"),
        fetch_site=headers.get("Sec-Fetch-Site"),
        authorization=headers.get("Authorization"),
        cookie=cookie_value(headers.get("Cookie"), here.port),
        has_body=bool(request.content_length),
    )


def _complete_response(response: Response) -> Response:
    cached = response.headers.get("Cache-Control") == CACHE_FOREVER
    response.headers.update(RESPONSE_HEADERS)
    if cached:
        response.headers["Cache-Control"] = CACHE_FOREVER
    important = request.method not in ("GET", "HEAD") or response.status_code >= 400
    _log.log(
        logging.INFO if important else logging.DEBUG,
        "%s %.200s %d in %.1f ms",
        request.method,
        request.path,  # without the query, which may contain a launch code
        response.status_code,
        1000 * (time.monotonic() - g.get("began", time.monotonic())),
        extra={"job": (request.view_args or {}).get("job_id")},
    )
    return response


def _answer(error: ServiceError) -> Any:
    return error.body(), error.status, error.headers()


def _answer_http(error: HTTPException) -> Any:
    status = error.code or 500
    if status == 413 and (request.content_length or 0) < (request.max_content_length or 0):
        return _answer(
            ServiceError("too_many_parts", "The form has too many fields, or a field is too long.")
        )
    if 300 <= status < 400:
        return error.get_response()
    code = CODE_OF_STATUS.get(status, "internal" if status >= 500 else "bad_request")
    body, status, headers = _answer(ServiceError(code, f"{error.name}."))
    for name in ("Allow", "Content-Range"):
        value = error.get_response().headers.get(name)
        if value:
            headers[name] = value
    return body, status, headers


def _answer_library(error: HTTPError) -> Any:
    """Answer with an error of APIFlask, mostly from validation."""
    problems = []
    for fields in (error.detail or {}).values():
        for name, messages in fields.items() if isinstance(fields, dict) else ():
            texts = messages if isinstance(messages, list) else [str(messages)]
            problems.append(f"{name}: {' '.join(str(text) for text in texts)}")
    code = CODE_OF_STATUS.get(error.status_code, "bad_request")
    return _answer(ServiceError(code, "; ".join(problems) or str(error.message)))


def _answer_fault(error: Exception) -> Any:
    # The outermost handler: it catches and logs every other exception.
    _log.error("a request failed: %s %s", request.method, request.path, exc_info=error)
    return _answer(ServiceError("internal", f"The request failed: {type(error).__name__}."))


def _complete_spec(spec: Any) -> Any:
    """Add the errors and the security of every path."""
    spec["security"] = [{"bearer": []}]
    error = {"$ref": "#/components/schemas/ErrorOut"}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if method == "get" and PUBLIC.fullmatch(path):
                operation["security"] = []
            for status, answer in refusals(*_EVERYWHERE).items():
                answer["content"] = {"application/json": {"schema": error}}
                operation["responses"].setdefault(str(status), answer)
            if "405" not in operation["responses"]:
                operation["responses"]["405"] = {
                    "description": "`error.code` is `method_not_allowed`.",
                    "content": {"application/json": {"schema": error}},
                }
    return spec
