"""Who may send a request, decided by its head, before its body."""

from __future__ import annotations

from server.errors import ServiceError
from server.http.auth import Authenticator, RequestCredentials, cookie_value
from server.http.request_head import RequestHead
from server.jobs.files import check_free_space
from server.settings import ServerSettings

UPLOAD_PATHS = frozenset({"/v1/jobs", "/v1/restore", "/v1/display", "/v1/detections"})
"""Only these take files; elsewhere a body has a small limit."""


def takes_upload(head: RequestHead) -> bool:
    """Whether a request may have a body of any size up to the service's limit."""
    content_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        head.method == "POST"
        and head.path in UPLOAD_PATHS
        and content_type == "multipart/form-data"
    )


class Admission:
    """Authenticates requests, and refuses bodies for which there is no room.

    Parameters
    ----------
    settings : ServerSettings
    authenticator : Authenticator
    port : int
        The port of the service; it is part of the cookie's name.
    """

    def __init__(self, settings: ServerSettings, authenticator: Authenticator, port: int) -> None:
        self._settings, self._authenticator, self._port = settings, authenticator, port

    def admit(self, head: RequestHead) -> tuple[str, bool]:
        """The user of a request, and whether the request has shown that it is this user's.

        Raises
        ------
        ServiceError
            `host_refused`, `origin_refused`, `token_required`, `body_too_large`, `disk_full`.
        """
        credentials = credentials_of(head, self._port)
        user = self._authenticator.check(credentials)
        if takes_upload(head):
            size, most = head.body_bytes or 0, self._settings.max_request_bytes
            if size > most:
                raise ServiceError("body_too_large", f"The body has {size} bytes, above {most}.")
            check_free_space(self._settings.data_dir, self._settings.reserve_bytes + size)
        return user, not credentials.is_public


def credentials_of(head: RequestHead, port: int) -> RequestCredentials:
    """The parts of a request that authentication uses."""
    get = head.headers.get
    return RequestCredentials(
        method=head.method,
        path=head.path,
        host=get("host"),
        origin=get("origin"),
        fetch_site=get("sec-fetch-site"),
        authorization=get("authorization"),
        cookie=cookie_value(get("cookie"), port),
        has_body=head.has_body,
    )
