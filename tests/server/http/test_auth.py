"""Authentication: known attacks, tried over real connections."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from raw_requests import CREDENTIALS, TOKEN, get, post, status

from server.errors import ServiceError
from server.http.app import create_app
from server.http.auth import PUBLIC, Authenticator, RequestCredentials, cookie_name

# --- DNS rebinding -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8777", 200),
        ("[::1]:1", 200),
        ("attacker.example", 403),
        ("attacker.example:8777", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("localhost@attacker.example", 403),
        ("localhost.", 403),
        ("0.0.0.0", 403),
        ("", 403),
        (None, 403),
        ("localhost\r\nHost: attacker.example", 403),
    ],
)
def test_only_a_loopback_name_in_host_is_answered(
    served: Any, host: str | None, expected: int
) -> None:
    for path in ("/v1/health", "/", "/v1/jobs"):
        answer = served.exchange(get(path, host))
        assert status(answer) == expected
        assert (b'"host_refused"' in answer) == (expected == 403)


def test_an_old_client_without_host_is_refused_too(served: Any) -> None:
    assert status(served.exchange(b"GET /v1/health HTTP/1.0\r\n\r\n")) == 403


def test_a_configured_name_is_answered(serve: Callable[..., Any]) -> None:
    served = serve(allowed_hosts=("photos.lan",))
    assert status(served.exchange(get("/v1/jobs", "Photos.lan:80"))) == 200
    assert status(served.exchange(get("/v1/jobs", "other.lan"))) == 403


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("192.168.1.5", ("photos.lan", "192.168.1.5")),
        ("fe80::1", ("photos.lan", "[fe80::1]")),
        ("[fe80::1]", ("photos.lan", "[fe80::1]")),
        ("0.0.0.0", ("photos.lan",)),  # 0.0.0.0 is the name of no host
        ("::", ("photos.lan",)),
    ],
)
def test_an_address_that_was_named_to_listen_on_is_a_configured_name(
    serve: Callable[..., Any], host: str, names: tuple[str, ...]
) -> None:
    served = serve(host=host, expose=True, allowed_hosts=("photos.lan",))
    assert served.service.settings.host_names == names
    for name in names:
        assert status(served.exchange(get("/v1/jobs", f"{name}:8777"))) == 200
    assert status(served.exchange(get("/v1/jobs", "192.168.1.6"))) == 403


# --- A web page that posts to localhost ----------------------------------------------------------


def test_every_route_but_the_public_ones_needs_the_token(service: Any) -> None:
    app = create_app(service)
    client = app.test_client()
    asked = 0
    for rule in app.url_map.iter_rules():
        path = re.sub("<[^>]+>", "x", rule.rule)
        for method in rule.methods or ():
            if PUBLIC.fullmatch(path) and method in ("GET", "HEAD", "OPTIONS"):
                continue
            response = client.open(path, method=method, headers={"Host": "localhost"})
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            asked += 1
    assert asked > 20
    files = {f"/static/0123456789abcdef/{name}" for name in ("app.js", "view/stage.js")}
    public = {"/", "/launch", "/v1/health"} | files
    assert {each for each in public if PUBLIC.fullmatch(each)} == public
    for secret in ("/openapi.json", "/static/0123456789abcdef/../app.py"):
        assert not PUBLIC.fullmatch(secret)


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Authorization: Bearer wrong\r\n",
        b"Authorization: Bearer\r\n",
        b"Authorization: Basic " + TOKEN.encode() + b"\r\n",
        f"Authorization: Bearer {TOKEN}x\r\n".encode(),
        f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n".encode(),
        "Authorization: Bearer café\r\n".encode(),
        b"Cookie: dip_session_0=1.1\r\n",
    ],
)
def test_anything_but_the_token_is_refused(served: Any, headers: bytes) -> None:
    answer = served.exchange(get("/v1/jobs", more=headers))
    assert status(answer) == 401
    assert b'"token_required"' in answer


def test_a_token_in_the_address_is_not_looked_at(served: Any) -> None:
    for path in (f"/v1/jobs?token={TOKEN}", f"/v1/jobs?access_token={TOKEN}"):
        assert status(served.exchange(get(path, more=b""))) == 401


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Origin: http://localhost", 200),
        ("Origin: http://attacker.example", 403),
        ("Origin: https://localhost", 403),
        ("Origin: http://localhost:1", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Sec-Fetch-Site: nonsense", 403),
    ],
)
def test_pages_of_other_origins_are_refused_even_with_the_token(
    served: Any, header: str, expected: int
) -> None:
    for path in ("/v1/jobs", "/v1/health"):
        answer = served.exchange(get(path, more=CREDENTIALS + header.encode() + b"\r\n"))
        assert status(answer) == expected


def test_no_answer_ever_allows_another_origin(served: Any) -> None:
    for path, method in itertools.product(
        ("/v1/jobs", "/v1/health", "/"), ("GET", "OPTIONS", "POST")
    ):
        for origin in ("http://attacker.example", f"http://127.0.0.1:{served.port}"):
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for headers in (preflight, {**preflight, **served.headers}):
                response = requests.request(method, served.url + path, headers=headers, timeout=60)
                assert not any(
                    name.lower().startswith("access-control") for name in response.headers
                )
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert (
                    "default-src 'none'; script-src 'self'; style-src 'self'; "
                    in response.headers["Content-Security-Policy"]
                )
                assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_with_or_without_a_body_is_authenticated_once(
    served: Any, image_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, checked = Authenticator.check, []

    def count(self: Authenticator, credentials: RequestCredentials) -> str:
        checked.append((credentials.method, credentials.has_body))
        return check(self, credentials)

    monkeypatch.setattr(Authenticator, "check", count)
    url, headers = served.url + "/v1/jobs", {**served.headers, "dip.user": "ada"}
    job = requests.post(url, files={"image": image_file}, headers=headers, timeout=60).json()
    assert job["user"] == ""  # no header reaches the server's own entry
    assert requests.get(url, headers=headers, timeout=60).status_code == 200
    assert checked == [("POST", True), ("GET", False)]


# --- Token theft ---------------------------------------------------------------------------------


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(right)
        return left == right

    monkeypatch.setattr("server.http.auth.hmac.compare_digest", compare)
    credentials = RequestCredentials(
        method="GET", path="/v1/jobs", host="localhost", authorization=f"Bearer {TOKEN}"
    )
    Authenticator(TOKEN).check(credentials)
    assert compared == [TOKEN.encode()]


def test_a_launch_code_works_once_and_gives_a_cookie_that_scripts_cannot_read(served: Any) -> None:
    made = requests.post(served.url + "/v1/launch", headers=served.headers, timeout=60)
    link = served.url + made.json()["url"]
    first = requests.get(link, allow_redirects=False, timeout=60)
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    assert re.search("HttpOnly.*SameSite=Strict", first.headers["Set-Cookie"])
    again = requests.get(link, allow_redirects=False, timeout=60)
    assert again.status_code == 401
    assert again.json()["error"]["code"] == "launch_code_spent"
    assert "Set-Cookie" not in again.headers
    cookie = {"Cookie": first.headers["Set-Cookie"].split(";")[0]}
    jobs = served.url + "/v1/jobs"
    assert requests.get(jobs, headers=cookie, timeout=60).status_code == 200
    # Alone it changes nothing: the browser has to say which page asks.
    stop = jobs + "/x/stop"
    assert requests.post(stop, headers=cookie, timeout=60).status_code == 403
    ours = {**cookie, "Origin": served.url}
    assert requests.post(stop, headers=ours, timeout=60).status_code == 404
    ours = {**cookie, "Sec-Fetch-Site": "same-origin"}
    assert requests.post(stop, headers=ours, timeout=60).status_code == 404
    forged = {"Cookie": cookie["Cookie"][:-1] + "0"}
    forged["Cookie"] += "1" if forged == cookie else ""
    assert requests.get(jobs, headers=forged, timeout=60).status_code == 401


def test_launch_codes_and_cookies_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(TOKEN)
    code, cookie = authenticator.launch_code(), authenticator.trade(authenticator.launch_code())
    credentials = RequestCredentials(method="GET", path="/v1/jobs", host="localhost", cookie=cookie)
    authenticator.check(credentials)
    with pytest.raises(ServiceError):
        Authenticator("u" * 43).check(credentials)  # another service's
    now, wall = time.monotonic(), time.time()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    with pytest.raises(ServiceError, match="already used, or is too old"):
        authenticator.trade(code)
    monkeypatch.setattr(time, "time", lambda: wall + 13 * 3600)
    with pytest.raises(ServiceError, match="no token"):
        authenticator.check(credentials)
    for nonsense in ("", ".", "9999999999", "-1.x", "٣.x", "9" * 40 + ".x"):
        with pytest.raises(ServiceError):
            authenticator.check(dataclasses.replace(credentials, cookie=nonsense))


def test_two_services_on_one_host_have_cookies_of_their_own() -> None:
    assert cookie_name(1) != cookie_name(2)


def test_neither_token_nor_launch_code_is_ever_logged(real: Any) -> None:
    made = requests.post(real.url + "/v1/launch", headers=real.headers, timeout=60).json()
    requests.get(real.url + made["url"], timeout=60)
    requests.get(real.url + f"/v1/nothing?token={real.token}", headers=real.headers, timeout=60)
    requests.get(real.url + f"/v1/jobs/x?code={real.token}", timeout=60)
    logged = str(real.log())
    assert "/launch" in logged
    assert real.token not in logged
    assert made["url"].partition("code=")[2] not in logged


# --- Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/../../etc/passwd",
        "/v1/jobs/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/jobs/%2e%2e/result",
        "/v1/jobs/..%5c..%5cx/result",
        "/v1/jobs/%00/result",
        "/v1/jobs/" + "a" * 5000,
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/0123456789abcdef/view/../../../app.py",
        "/static/0123456789abcdef/view/%2e%2e/%2e%2e/%2e%2e/app.py",
        "/static/0123456789abcdef/%2fetc%2fpasswd",
        "/static/%2fetc%2fpasswd",
        "//etc/passwd",
    ],
)
def test_paths_lead_nowhere(served: Any, path: str) -> None:
    answer = served.exchange(get(path))
    assert status(answer) in (404, 400)
    assert b"root:" not in answer
    assert b"import" not in answer


def test_an_id_of_a_client_never_becomes_a_path(served: Any) -> None:
    """Not even the id of a real folder: only ids of the store are used."""
    secret = served.service.files.folder / "secret"
    secret.mkdir()
    (secret / "result.unet.1").write_bytes(b"secret")
    for kind in ("", "/result", "/preview", "/events"):
        assert status(served.exchange(get("/v1/jobs/secret" + kind))) == 404
    assert status(served.exchange(get("/v1/jobs/secret").replace(b"GET", b"DELETE", 1))) == 404
    assert secret.exists()


# --- Injection -----------------------------------------------------------------------------------


def test_headers_cannot_be_injected(served: Any, image_file: bytes) -> None:
    evil = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a\r\nSet-Cookie: x=1"\r\n'
    )
    body = evil + b"Content-Type: image/png\r\nX-Evil: 1\r\n\r\n" + image_file + b"\r\n--b--\r\n"
    headers = (
        b"Content-Type: multipart/form-data; boundary=b\r\nIdempotency-Key: a%0d%0aX-Evil: 1\r\n"
        + f"Content-Length: {len(body)}\r\n".encode()
    )
    answers = [served.exchange(post("/v1/jobs", headers, body))]
    for path in ("/v1/jobs/%0d%0aX-Evil:%201", "/launch?code=%0d%0aX-Evil:%201"):
        answers.append(served.exchange(get(path)))
    for answer in answers:
        assert status(answer) in (202, 401, 404, 422)
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"x-evil" not in head
        assert b"set-cookie" not in head


def test_a_request_cannot_be_hidden_in_another(served: Any) -> None:
    """Content-Length against Transfer-Encoding: the rest is never run as a request."""
    hidden = get("/v1/capabilities")
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    answer = served.exchange(post("/v1/launch", both, b"0\r\n\r\n" + hidden))
    assert answer.count(b"HTTP/1.1 ") == 1


# --- Addresses -----------------------------------------------------------------------------------


def test_the_real_service_listens_on_loopback_only(real: Any) -> None:
    listening = [
        each.laddr.ip
        for each in psutil.Process(real.process.pid).net_connections()
        if each.status == "LISTEN"
    ]
    assert listening == ["127.0.0.1"]


def test_what_lies_in_the_folder_is_for_its_owner_only(real: Any, image_file: bytes) -> None:
    folder = real.settings.data_dir
    with real.client() as client:
        client.delete(client.submit(image_file)["id"])
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_dip_serve_refuses_a_token_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 43)
    (tmp_path / "token").chmod(0o644)
    code = (
        "import sys; from pathlib import Path; from server.commands.serve import serve;"
        "from server.settings import ServerSettings;"
        f"serve(ServerSettings(data_dir=Path({str(tmp_path)!r}), port=0))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=Path.cwd()
    )
    assert answer.returncode == 1
    assert f"chmod 600 {tmp_path / 'token'}" in answer.stderr
