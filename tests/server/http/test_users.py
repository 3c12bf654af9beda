"""Colleagues: tokens of their own, jobs that the others do not see, and turns that are fair."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from dip.config import Settings
from dip.errors import SettingError
from server.errors import ServiceError, ServiceFailure
from server.http.auth import Authenticator, RequestCredentials
from server.http.context import Service
from server.http.users import Users
from server.jobs.job import State
from server.jobs.parameters import JobParameters
from server.jobs.store import Store

PARAMETERS = JobParameters(settings=Settings())


@pytest.fixture
def users(service: Service) -> Users:
    """As `dip tokens` sees them, in another process."""
    return Users(service.settings.users_file)


@pytest.fixture
def http_as(
    service: Service, users: Users, http_of: Callable[[Service], FlaskClient]
) -> Callable[[str], FlaskClient]:
    """A client of a new user."""

    def make(name: str) -> FlaskClient:
        client = http_of(service)
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {users.add(name)}"
        return client

    return make


def submit(http: FlaskClient, image: bytes, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return http.post("/v1/jobs", data={"image": (io.BytesIO(image), "i")}, headers=headers)


# --- Tokens --------------------------------------------------------------------------------------


def test_only_the_hash_of_a_token_is_kept_where_others_cannot_read_it(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    token = Users(path).add("ada")
    name, _, secret = token.partition(".")
    assert (name, len(secret)) == ("ada", 43)
    assert secret not in path.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o640)
        with pytest.raises(ServiceFailure, match="can read"):
            Users(path)


@pytest.mark.parametrize("name", ["", "Ada", "a.b", "-a", "a b", "ä", "a" * 33, "../a"])
def test_a_name_is_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match="not a valid user name"):
        Users(tmp_path / "users.json").add(name)
    assert list(tmp_path.glob("users.json")) == []


def test_a_name_is_given_once(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.add("ada")
    with pytest.raises(SettingError, match="already"):
        users.add("ada")
    with pytest.raises(SettingError, match="no user bob"):
        users.remove("bob")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ada": 1}', '{"ada": {"sha256": "x"}}'])
def test_a_file_of_something_else_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users.json"
    users = Users(path)
    users.add("ada")
    path.write_text(text)
    assert users.digest("ada") is None
    with pytest.raises(ServiceFailure, match="no list of users"):
        Users(path)


def test_a_token_works_at_once_and_not_after_its_removal(
    users: Users, http_as: Callable[[str], FlaskClient]
) -> None:
    http = http_as("ada")
    assert http.get("/v1/jobs").status_code == 200
    link = http.post("/v1/launch").get_json()["url"]
    cookie = http.get(link).headers["Set-Cookie"].partition(";")[0]
    late = http.post("/v1/launch").get_json()["url"]
    token = http.environ_base.pop("HTTP_AUTHORIZATION")
    http.environ_base["HTTP_COOKIE"] = cookie
    assert http.get("/v1/jobs").status_code == 200
    users.remove("ada")
    assert http.get("/v1/jobs").status_code == 401
    assert http.get(late).status_code == 401
    http.environ_base["HTTP_AUTHORIZATION"] = token
    assert http.get("/v1/jobs").status_code == 401
    users.add("ada")  # another token: the old one and its cookie stay dead
    assert http.get("/v1/jobs").status_code == 401
    del http.environ_base["HTTP_AUTHORIZATION"]
    assert http.get("/v1/jobs").status_code == 401


def test_a_cookie_names_its_user_and_cannot_be_renamed(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.add("ada")
    users.add("bob")
    authenticator = Authenticator("t" * 43, digest=users.digest)
    cookie = authenticator.trade(authenticator.launch_code("ada"))

    def user_of(cookie: str) -> str:
        return authenticator.check(
            RequestCredentials(method="GET", path="/v1/jobs", host="localhost", cookie=cookie)
        )

    assert user_of(cookie) == "ada"
    assert user_of(authenticator.trade(authenticator.launch_code())) == ""
    expires, _, signature = cookie.split(".")
    for forged in (
        cookie.replace("ada", "bob"),
        f"{expires}.{signature}",
        f"{expires}..{signature}",
        f"{expires}.eve.{signature}",
        f"{expires}.ada.bob.{signature}",
    ):
        with pytest.raises(ServiceError):
            user_of(forged)


def test_health_proves_itself_to_a_user_and_tells_nobody_who_is_one(
    users: Users, http: FlaskClient
) -> None:
    import hashlib
    import hmac

    token = users.add("ada")
    proofs = [
        http.get("/v1/health", query_string={"challenge": "c" * 16, **query}).get_json()["proof"]
        for query in ({}, {"user": "ada"}, {"user": "eve"}, {"user": "eve"})
    ]
    key = hashlib.sha256(token.encode()).hexdigest().encode()
    message = b"dip-restore health " + b"c" * 16
    assert proofs[1] == hmac.new(key, message, hashlib.sha256).hexdigest()
    assert proofs[2] == proofs[3]
    assert len(set(proofs)) == 3


# --- Jobs ----------------------------------------------------------------------------------------


def test_a_job_of_another_user_does_not_exist(
    service: Service, http: FlaskClient, http_as: Callable[[str], FlaskClient], image_file: bytes
) -> None:
    ada, bob = http_as("ada"), http_as("bob")
    mine = submit(ada, image_file).get_json()
    assert mine["user"] == "ada"
    url = mine["url"]
    asked = 0
    for rule in ada.application.url_map.iter_rules():
        if "job_id" not in rule.arguments:
            continue
        path = rule.rule.replace("<job_id>", mine["id"])
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answers = [
                bob.open(each, method=method) for each in (path, path.replace(mine["id"], "0" * 32))
            ]
            assert [answer.status_code for answer in answers] == [404, 404], (method, path)
            assert answers[0].data == answers[1].data
            asked += 1
    assert asked > 10
    assert bob.get("/v1/jobs").get_json()["jobs"] == []
    assert ada.get(url).get_json()["state"] == "queued"
    assert [job["id"] for job in ada.get("/v1/jobs").get_json()["jobs"]] == [mine["id"]]
    # The owner of the service sees to all of them.
    assert [job["user"] for job in http.get("/v1/jobs").get_json()["jobs"]] == ["ada"]
    owners = submit(http, image_file).get_json()
    assert ada.get(owners["url"]).status_code == 404
    assert http.delete(url).status_code == 202


def test_a_stream_ends_with_the_token(
    users: Users, http_as: Callable[[str], FlaskClient], image_file: bytes
) -> None:
    ada = http_as("ada")
    url = submit(ada, image_file).get_json()["events_url"]
    stream = ada.get(url, buffered=False).response
    assert b"retry" in next(iter(stream))
    assert b"queued" in next(iter(stream))
    users.remove("ada")
    assert list(stream) == []


def test_a_key_is_its_users_own(
    http_as: Callable[[str], FlaskClient], http: FlaskClient, image_file: bytes
) -> None:
    clients = [http_as("ada"), http_as("bob"), http]
    ids = [submit(client, image_file, key="ada:1").get_json()["id"] for client in clients]
    assert len(set(ids)) == 3
    assert submit(clients[0], image_file, key="ada:1").get_json()["id"] == ids[0]
    assert submit(clients[2], image_file, key="1").get_json()["id"] not in ids


def test_nobody_fills_the_queue_for_the_others(
    make_service: Callable[..., Service], http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:  # fmt: skip
    service = make_service(max_queued_each=2)
    users = Users(service.settings.users_file)
    clients = []
    for name in ("ada", "bob"):
        clients.append(http_of(service))
        clients[-1].environ_base["HTTP_AUTHORIZATION"] = f"Bearer {users.add(name)}"
    answers = [submit(clients[0], image_file) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert "2 of your jobs" in answers[2].get_json()["error"]["message"]
    assert len(list(service.files.folder.iterdir())) == 2
    assert clients[0].get("/v1/capabilities").get_json()["limits"]["queued_jobs"] == 2
    assert submit(clients[1], image_file).status_code == 202
    assert [submit(http_of(service), image_file).status_code for _ in range(3)] == [202] * 3


def test_users_take_turns_even_if_they_forget_what_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    for owner in "aaaabbc":
        store.add(f"{owner}{store.count(State.QUEUED)}", PARAMETERS, owner=owner)
    taken, ahead = "", [store.ahead(job) for job in reversed(store.jobs())]
    #               a0 a1 a2 a3 b4 b5 c6
    assert ahead == [0, 3, 5, 6, 1, 4, 2]
    while (job := store.claim()) is not None:
        taken += job.owner
        store.finish(job, [], stopped=False, notes=[])
        store.forget(job.id)
        time.sleep(0.002)  # the clock of some systems is no finer
    assert taken == "abcabaa"
    store.add("a9", PARAMETERS, owner="a")
    store.add("b9", PARAMETERS, owner="b")
    claimed = store.claim()
    assert claimed is not None
    assert claimed.owner == "b"  # b's last turn is longer ago
    store.close()


# --- The command line ----------------------------------------------------------------------------


def test_the_administrator_gives_and_takes_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    def tokens(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "dip", "tokens", *words, "--data-dir", str(folder)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    status, token = tokens("add", "ada")
    assert status == 0
    assert token.startswith("ada.")
    assert tokens("add", "ada")[0] == 2
    status, listed = tokens("list")
    assert listed.split()[0] == "ada"
    assert token.strip() not in listed
    assert tokens("remove", "ada") == (0, "")
    assert json.loads((folder / "users.json").read_text()) == {}
    assert tokens("remove", "ada")[0] == 2
