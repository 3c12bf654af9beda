"""Contexts of a browser: cookies and storage of their own, and a watch over their pages."""

from __future__ import annotations

from typing import Any

PATIENCE_MS = 300_000
"""Timeout for pages: other tests may keep the machine busy."""

FAR = "gpu.test"
"""A second name of this machine, so that a service looks remote to the browser."""

SWITCHES = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--host-resolver-rules=MAP {FAR} 127.0.0.1",
]  # fmt: skip

_WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""

_SHORT_JOBS = """
// Short jobs on one thread; "best" is for tests that need a job which runs until it is stopped.
const originalFetch = window.fetch;
window.fetch = (path, options) => {
  const form = options?.body;
  if (path === "/v1/jobs" && form instanceof FormData) {
    form.set("threads", "1");
    form.set("iterations", form.get("preset") === "best" ? "100000" : "4");
  }
  return originalFetch(path, options);
};
"""


class Contexts:
    """Makes browser contexts with cookies and storage of their own.

    An error or a warning in the console fails the test, unless it starts with a text in the
    context's list `expected`; so does a request to another host.
    """

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium
        self.made: list[Any] = []

    def make(self, size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, **options
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH)
        context.add_init_script(_SHORT_JOBS)
        forget_messages(context)
        context.on("console", lambda message: _record_error(context, message))
        context.on("weberror", lambda fault: context.console_errors.append(str(fault.error)))
        context.on("request", lambda request: context.requests.append(request.url))
        self.made.append(context)
        return context

    def close(self) -> None:
        for context in self.made:
            context.close()

    def check(self) -> None:
        for context in self.made:
            check_messages(context)


def forget_messages(context: Any) -> None:
    context.console_errors, context.requests = [], []
    # Caused by tests that read pixels of the stage.
    context.expected = ["Canvas2D: Multiple readback operations"]


def check_messages(context: Any) -> None:
    ours = ("http://127.0.0.1:", f"http://{FAR}:", "blob:")
    elsewhere = [url for url in context.requests if not url.startswith(ours)]
    expected = tuple(context.expected)
    unexpected = [each for each in context.console_errors if not each.startswith(expected)]
    assert unexpected == [], f"in the console: {unexpected}"
    assert elsewhere == [], "the page sent requests to another host"


def _record_error(context: Any, message: Any) -> None:
    if message.type in ("error", "warning"):
        context.console_errors.append(message.text)
