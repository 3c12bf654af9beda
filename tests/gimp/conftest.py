"""A real GIMP of each version, a real service, and a real screen that nobody sees."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gimp_screen import Screen
from installed_gimp import HERE, Gimp

from server.client import ClientError

VERSIONS = ("3.0", "3.2")


@pytest.hookimpl(tryfirst=True)  # before any are deselected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests; those of a group run one after the other, with one GIMP and one service."""
    for item in items:
        if HERE in item.path.parents:
            version = item.callspec.params["gimp"] if hasattr(item, "callspec") else ""
            if item.get_closest_marker("newest_gimp") and version != VERSIONS[-1]:
                item.add_marker(pytest.mark.exhaustive)
            item.add_marker(pytest.mark.gimp)
            item.add_marker(pytest.mark.slow)
            kind = "windows" if "screen" in getattr(item, "fixturenames", ()) else "console"
            item.add_marker(pytest.mark.xdist_group(f"gimp {kind} {version}"))


@pytest.fixture(scope="session", params=VERSIONS)
def gimp(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gimp]:
    """GIMP with the plug-in installed."""
    # It waits for the one that tests/run.sh began, or makes it.
    made = subprocess.run(
        [HERE / "make_root.sh", request.param], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no GIMP {request.param} here: {made.stderr.strip()}")
    folder = tmp_path_factory.mktemp(f"gimp-{request.param}")
    installed = Gimp(request.param, Path(made.stdout.strip()), folder)
    installed.learn_plug_ins()
    yield installed
    installed.close()


@pytest.fixture(scope="session")
def shared_screen(gimp: Gimp) -> Iterator[Screen]:
    """A screen with a window manager."""
    screen = Screen(gimp)
    try:
        screen.begin()
        yield screen
    finally:
        screen.close()


@pytest.fixture
def screen(shared_screen: Screen) -> Iterator[Screen]:
    """The screen, with no photograph open, and without values of an earlier test."""
    shared_screen.variables = {}
    for path in (shared_screen.gimp.config / "plug-in-settings").glob("*.last"):
        path.unlink()
    yield shared_screen
    shared_screen.leave_photograph()


@pytest.fixture
def jobs(gimp: Gimp) -> Callable[[], Sequence[dict[str, Any]]]:
    """The jobs of the service, the latest first."""

    def listed() -> Sequence[dict[str, Any]]:
        try:
            with gimp.client() as client:
                return client.jobs()
        except ClientError:
            return []

    return listed
