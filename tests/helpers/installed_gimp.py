"""A GIMP with the plug-in installed, in a folder that make_root.sh made, and its console."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gimp_plugin import install
from server.client import Client, ClientError

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = CHECKOUT / "tests/gimp"

BATCH_TIMEOUT_S, TIMEOUT_S = 1800, 600
"""Generous: continuous integration may be slow, and busy."""


class Gimp:
    """An installed GIMP.

    Parameters
    ----------
    version : str
    root : Path
        The folder to change into.
    folder : Path
        Where everything is kept that a test needs to share with it.
    """

    def __init__(self, version: str, root: Path, folder: Path) -> None:
        self.version, self.root, self.folder = version, root, folder
        self.config = folder / "config"
        self.data_dir = folder / "service"
        self.checkout = str(CHECKOUT)
        self._console: Console | None = None
        self.config.mkdir()
        self.command = [
            "/usr/sbin/chroot", "/host", "/usr/bin/env",
            f"PYTHONPATH={CHECKOUT}", "OMP_WAIT_POLICY=PASSIVE", sys.executable, "-m", "dip",
        ]  # fmt: skip
        """What starts `dip`, from inside."""
        install.install(self.config, self.command)
        number = {"3.0": "3.0.4", "3.2": "3.2.6"}[version]
        (self.config / "gimprc").write_text(
            f'(config-version "{number}")\n(show-welcome-dialog no)\n'
            "(check-updates no)\n(save-document-history no)\n"
            '(prev-language "C.UTF-8")\n'  # else all plug-ins are asked anew
        )

    # --- The service -----------------------------------------------------------------------------

    def dip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dip` out here, on the same service."""
        return subprocess.run(
            [sys.executable, "-m", "dip", *arguments],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "DIP_DATA_DIR": str(self.data_dir)},
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    def client(self) -> Client:
        return Client.find(self.data_dir, retry_timeout_s=10)

    def is_ready(self) -> bool:
        """Whether the service runs, with torch loaded."""
        try:
            with self.client() as client:
                return str(client.health()["worker"]) == "idle"
        except ClientError:
            return False

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
        self.dip("stop")

    # --- Inside ----------------------------------------------------------------------------------

    def inside(self, *command: str, **variables: str) -> list[str]:
        """A command line that runs something in there."""
        settings = {
            "DIP_DATA_DIR": str(self.data_dir),
            "GIMP3_DIRECTORY": str(self.config),
            "HOME": str(self.folder),
            **variables,
        }
        pairs = [f"{name}={value}" for name, value in settings.items()]
        enter = str(HERE / "enter_root.sh")
        return [enter, str(self.root), str(self.folder), "env", *pairs, *command]

    def learn_plug_ins(self) -> None:
        """Have GIMP know its own plug-ins, as after its first start, which asks each of them.

        What it was told is kept beside its root, for further tests.
        """
        known, ours = Path(f"{self.root}.pluginrc"), self.config / "pluginrc"
        made = (self.root / ".made_of").stat().st_mtime
        with Path(f"{known}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not known.exists() or known.stat().st_mtime < made:
                self.batch_alone("nothing", {})
                shutil.copyfile(ours, known)
        shutil.copyfile(known, ours)

    def remember(self, **values: str | int | float) -> None:
        """As if a run before had been with these values."""
        folder = self.config / "plug-in-settings"
        folder.mkdir(exist_ok=True)
        lines = [
            f"({name.replace('_', '-')} {json.dumps(value)})" for name, value in values.items()
        ]
        (folder / "GimpProcedureConfigRun-dip-restore.last").write_text("\n".join(lines) + "\n")

    def batch(self, case: str, timeout_s: float = BATCH_TIMEOUT_S, **given: Any) -> Any:
        """Run a case of inside/ in a GIMP without windows, and return its value.

        The GIMP is the same for all of them: a start takes some seconds.
        """
        if self._console is None or not self._console.is_there():
            self._console = Console(self)
        return self._console.run(case, given, timeout_s)

    def batch_alone(self, case: str, variables: dict[str, str], **given: Any) -> Any:
        """Like `batch`, in a GIMP of its own with these environment variables."""
        console = Console(self, **variables)
        try:
            return console.run(case, given, BATCH_TIMEOUT_S)
        finally:
            console.close()

    def share_scripts(self) -> None:
        """Copy inside/ to where GIMP sees it."""
        shutil.copytree(HERE / "inside", self.folder / "inside", dirs_exist_ok=True)

    def call(self, case: str, given: dict[str, Any], answer: Path) -> str:
        """A line of Python that runs a case of inside/ in GIMP."""
        folder = str(self.folder)
        return (
            f"import sys; sys.path.insert(0, {folder!r}); import inside; "
            f"inside.call({case!r}, {given!r}, {str(answer)!r})"
        )


class Requests:
    """Cases of inside/ that one GIMP is asked for, one after the other, by files in a folder."""

    def __init__(self, gimp: Gimp) -> None:
        gimp.share_scripts()
        self.folder = Path(tempfile.mkdtemp(prefix="requests", dir=gimp.folder))
        self._asked = 0
        given = {"requests": str(self.folder), "tests": os.getpid()}
        self.line = gimp.call("serve", given, self.folder / "end.json")
        """The line of Python that has GIMP answer them."""

    def ask(self, case: str, given: dict[str, Any]) -> Path:
        """Ask for a case; the path of the answer, which exists as soon as the case has ended."""
        answer = self.folder / f"answer{self._asked}.json"
        part = self.folder / "part"
        part.write_text(json.dumps({"case": case, "given": given, "answer": str(answer)}))
        part.rename(self.folder / f"{self._asked}.json")
        self._asked += 1
        return answer


class Console:
    """A GIMP without windows that runs cases of inside/."""

    def __init__(self, gimp: Gimp, **variables: str) -> None:
        self._requests = Requests(gimp)
        self._log = (self._requests.folder / "log").open("ab")
        self._process = subprocess.Popen(
            gimp.inside(
                "gimp-console", "--no-interface", "--no-splash", "--no-data",
                "--batch-interpreter=python-fu-eval", "-b", self._requests.line, "--quit",
                **variables,
            ),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def run(self, case: str, given: dict[str, Any], timeout_s: float) -> Any:
        answer = self._requests.ask(case, given)
        ends = time.monotonic() + timeout_s
        while not answer.exists():
            assert self._process.poll() is None, f"GIMP ended: {self.said()}"
            assert time.monotonic() < ends, f"no answer in {timeout_s:.0f} s: {self.said()}"
            time.sleep(0.05)
        found = json.loads(answer.read_text())
        assert found["error"] is None, f"{found['error']}\n{self.said()}"
        return found["value"]

    def is_there(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return (self._requests.folder / "log").read_text(errors="replace")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
