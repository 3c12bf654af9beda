"""Signing a browser in: a code that works once, then a cookie that scripts cannot read."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
UNAUTHORISED = "Failed to load resource: the server responded with a status of 401"


def test_dip_serve_open_signs_a_browser_in(
    service: Any, new_context: Callable[..., Any], tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 >{tmp_path}/opened\n")
    browser.chmod(0o700)
    subprocess.run(
        service.command("serve", "--open"),
        env={**os.environ, "BROWSER": f"{browser} %s"},
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )
    link = (tmp_path / "opened").read_text().strip()

    context = new_context()
    page = context.new_page()
    page.goto(link)
    page.wait_for_selector("#presets label")
    assert page.url == f"{service.url}/"  # without the code
    assert page.is_hidden("#sign-in")
    steps = page.locator("#empty .steps strong").all_text_contents()
    assert steps == ["Mark the damage", "Restore", "Download"]
    (cookie,) = context.cookies()
    assert cookie["name"] == f"dip_session_{service.port}"
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""

    # The link works only once.
    other = new_context()
    other.expected.append(UNAUTHORISED)
    late = other.new_page()
    answer = late.goto(link)
    assert answer.status == 401
    late.wait_for_selector("#sign-in")
    assert "dip serve --open" in late.inner_text("#sign-in")
    assert "already used" in late.inner_text("#sign-in")
    assert late.url == f"{service.url}/"
    assert other.cookies() == []


def test_a_signed_out_page_continues_when_another_tab_signs_in(
    service: Any, new_context: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    context = new_context()
    context.expected.append(UNAUTHORISED)
    page = context.new_page()
    page.goto(service.url)
    page.wait_for_selector("#sign-in:visible")
    # The bare address says what this is, and what to do; nothing else is in the way.
    assert page.inner_text("#sign-in h2") == "Restore damaged photos on your own computer"
    assert "Click the link that dip serve printed" in page.inner_text("#sign-in")
    for hidden in ("nav", "aside", "#token", "#zoom", "#open"):
        assert page.is_hidden(hidden)
    open_page(context)
    page.wait_for_selector("#presets label")
    page.wait_for_selector("#sign-in", state="hidden")


def test_dip_serve_prints_a_link_in_a_terminal_and_in_no_log(
    new_context: Callable[..., Any], serve_with: Callable[..., Any], tmp_path: Path
) -> None:
    terminal, inside = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dip", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=inside,
    )
    os.close(inside)
    try:
        shown = ""
        while "launch?code=" not in shown or not shown.endswith("\n"):
            shown += os.read(terminal, 1000).decode()
        found = re.search(r"Open the page.*: (http\S+)", shown)
        assert found is not None
        page = new_context().new_page()
        page.goto(found[1])
        page.wait_for_selector("#presets label")
        # The three steps are on the first screen.
        steps = [each.inner_text().split("\n")[0] for each in page.locator(".steps li").all()]
        assert steps == ["Mark the damage", "Restore", "Download"]
        page.goto("about:blank")
    finally:
        process.terminate()
        process.wait(60)
        os.close(terminal)
    for log in (tmp_path / "data").glob("*.log*"):
        assert "code=" not in log.read_text()


def test_a_token_signs_in_until_it_is_removed(
    service: Any, new_context: Callable[..., Any]
) -> None:
    def tokens(*words: str) -> str:
        done = subprocess.run(
            service.command("tokens", *words), check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    token = tokens("add", "ada")
    try:
        context = new_context()
        context.expected.append(UNAUTHORISED)
        page = context.new_page()
        page.goto(service.url)
        page.wait_for_selector("#sign-in:visible")
        page.click("#token-details summary")
        page.fill("#token", "ada.nonsense")
        page.click("#token-form button")
        page.wait_for_selector("#token-refused:not(:empty)")
        page.fill("#token", f" {token} ")
        page.keyboard.press("Enter")
        page.wait_for_selector("#presets label")
        assert page.url == f"{service.url}/"
        assert page.is_hidden("#sign-in")
        assert ".ada." in context.cookies()[0]["value"]
    finally:
        tokens("remove", "ada")
    page.reload()
    page.wait_for_selector("#sign-in:visible")


@pytest.mark.parametrize("cluster", [(), ("--cluster", "tcp://127.0.0.1:1")])
def test_the_page_says_where_photos_go(
    new_context: Callable[..., Any],
    serve_with: Callable[..., Any],
    far: str,
    cluster: tuple[str, ...],
) -> None:
    if cluster:
        pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    served = serve_with("--allowed-host", far, *cluster)
    texts = {}
    for host in ("127.0.0.1", far):
        context = new_context()
        context.expected.append("The Cross-Origin-Opener-Policy header")  # for want of TLS
        page = context.new_page()
        with served.client() as client:
            page.goto(client.launch().replace("127.0.0.1", host))
        page.wait_for_selector("#whereabouts:not(:empty)")
        texts[host] = page.inner_text("#empty")
    for host, text in texts.items():
        assert ("Nothing leaves this machine." in text) == (host != far and not cluster), text
        assert (f"Your photos go to {far}" in text) == (host == far), text
        assert ("cluster" in text) == bool(cluster), text


def test_pages_of_other_sites_cannot_use_the_cookie(
    service: Any, page: Any, serve_elsewhere: Callable[[str], str]
) -> None:
    """A form and a script of another origin, in a browser that is signed in."""
    form = (
        f'<form method="post" action="{service.url}/v1/launch"><button>Go</button></form>'
        f'<script>fetch("{service.url}/v1/jobs", {{credentials: "include"}})'
        '.then(() => document.title = "read", () => document.title = "refused")</script>'
    )
    page.context.expected += [
        "Failed to load resource",
        "Access to fetch at",
    ]
    other = page.context.new_page()
    other.goto(serve_elsewhere(form))
    other.wait_for_function("() => document.title !== ''")
    assert other.title() == "refused"
    with other.expect_navigation() as navigation:
        other.click("button")
    assert navigation.value.status == 403
    page.reload()  # this service's own page still works
    page.wait_for_selector("#presets label")


def test_the_page_is_small_and_loads_each_file_once(open_page: Callable[..., Any]) -> None:
    page = open_page()
    sizes = page.evaluate(
        """() => performance.getEntries().filter((each) => each.transferSize)
          .map((each) => [each.name, each.transferSize])"""
    )
    scripts = [name for name, _ in sizes if name.endswith((".js", ".css"))]
    assert len(scripts) > 10
    assert len(set(scripts)) == len(scripts)
    assert sum(size for _, size in sizes) < 300_000
    # The second time only the page itself is transferred.
    page.reload()
    page.wait_for_selector("#presets label")
    again = page.evaluate(
        """() => performance.getEntriesByType("resource")
          .filter((each) => each.name.includes("/static/") && each.transferSize).length"""
    )
    assert again == 0
