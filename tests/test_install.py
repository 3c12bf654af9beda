"""install.sh with an imitation of Python: its calls of pip, its errors, and its second run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a bash script")

ROOT = Path(__file__).parents[1]
CPU_INDEX = (ROOT / "install.sh").read_text().split("CPU_INDEX=")[1].split()[0]

# Records each call and creates the files that install.sh expects. FAULT makes one call fail.
FAKE_PYTHON = r"""#!/bin/bash
call=${*//$'\n'/ }
echo "$call" >>"$CALLS"
fault() {
    case $FAULT in
        "$1 fails") echo "ERROR: No matching distribution found for $1"; exit 1 ;;
        "$1 is killed") kill -KILL $$ ;;
        "$1 hangs") sleep 60 ;;
    esac
}
case $call in
    *version_info*) [[ $FAULT != "Python is old" ]] ;;
    *ensurepip*) [[ $FAULT != "there is no venv" ]] ;;
    *python_version*) echo 3.12.1 ;;
    "-m venv --clear "*)
        rm -rf "$4"
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        fault venv
        ;;
    *'version("torch")'*) cat .venv/torch ;;
    "-m pip config list")
        [[ -z $CONFIGURED ]] && exit
        echo "global.index-url='$CONFIGURED'"
        seq 100000 # more than a pipe holds: a reader that stops early makes this fail
        ;;
    *urlopen*) [[ $FAULT != "there is no network" ]] ;;
    "-m pip install "*torch==2.13.0)
        fault torch
        echo 2.13.0+cpu >.venv/torch
        ;;
    "-m pip install "*)
        fault dip
        cat >.venv/bin/dip <<'END'
#!/bin/bash
echo "dip $*" >>"$CALLS"
case "$FAULT $1" in
    "the demo fails demo" | "GIMP fails gimp") exit 1 ;;
    *" serve") [[ -z $REAL_PYTHON ]] || exec "$REAL_PYTHON" -m dip "$@" ;;
esac
END
        chmod +x .venv/bin/dip
        ;;
    "-c import torch") [[ $FAULT != "torch does not load" ]] ;;
    *) echo "unexpected: $call" >&2; exit 99 ;;
esac
"""


class Installation:
    """A copy of the project in a folder of its own, and the recorded calls of Python."""

    def __init__(self, place: Path, tools: Path) -> None:
        self.place, self.tools, self.calls = place, tools, tools / "calls"
        place.mkdir(parents=True)
        for name in ("install.sh", "pyproject.toml"):
            shutil.copy(ROOT / name, place)
        tools.mkdir(exist_ok=True)
        self.add_tool("python", FAKE_PYTHON)

    def add_tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(script)
        path.chmod(0o755)

    def start(self, *options: str, fault: str = "", **changes: str) -> subprocess.Popen[str]:
        self.calls.write_text("")
        environment = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "HOME": str(self.tools),
            "PYTHON": str(self.tools / "python"),
            "CALLS": str(self.calls),
            "CONFIGURED": "",
            "FAULT": fault,
            "REAL_PYTHON": "",
        }
        return subprocess.Popen(
            [str(self.place / "install.sh"), *options],
            env={**environment, **changes},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str, **more: Any) -> tuple[int, str]:
        process = self.start(*options, **more)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    @property
    def installed(self) -> list[str]:
        """The arguments of each call of pip install."""
        lines = self.calls.read_text().splitlines()
        start = "-m pip install --disable-pip-version-check "
        return [line.removeprefix(start) for line in lines if line.startswith("-m pip install")]

    @property
    def made_environment(self) -> bool:
        return "-m venv --clear .venv" in self.calls.read_text().splitlines()

    @property
    def ran_demo(self) -> bool:
        return "dip demo -o demo/" in self.calls.read_text().splitlines()


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "a folder with spaces", tmp_path / "tools")


DIP = "--constraint .venv/.install/constraints.txt --editable ."


def test_it_installs_torch_first_and_ends_with_the_demo(here: Installation) -> None:
    status, said = here.run()
    assert status == 0, said
    assert here.made_environment
    assert here.installed == [f"--index-url {CPU_INDEX} torch==2.13.0", DIP]
    constraints = here.place / ".venv/.install/constraints.txt"
    assert constraints.read_text() == "torch==2.13.0+cpu\n"
    assert here.ran_demo
    assert "dip gimp install" in here.calls.read_text().splitlines()
    assert "dip restore photo.jpg --mask mask.png" in said.splitlines()[-1]


def test_a_second_run_repeats_no_finished_step(here: Installation) -> None:
    here.run("--no-demo")
    assert not here.ran_demo
    status, said = here.run("--no-demo")
    assert status == 0
    assert not here.made_environment
    assert here.installed == []
    assert "PyTorch 2.13.0+cpu is already installed" in said
    assert "dip is already installed" in said


def test_changed_requirements_are_installed(here: Installation) -> None:
    here.run("--no-demo")
    with (here.place / "pyproject.toml").open("a") as file:
        file.write("# another requirement\n")
    here.run("--no-demo")
    assert here.installed == [DIP]


@pytest.mark.parametrize(
    ("changes", "gpu"),
    [
        ({"CONFIGURED": "https://mirror.example/simple"}, False),
        ({"fault": "there is no network"}, False),
        ({}, True),
    ],
)
def test_the_cpu_build_is_installed_only_without_a_gpu_and_with_a_network(
    here: Installation, changes: dict[str, str], gpu: bool
) -> None:
    if gpu:
        here.add_tool("nvidia-smi", "#!/bin/bash\necho 'GPU 0: made up'\n")
    status, said = here.run("--no-demo", **changes)
    assert status == 0, said
    assert here.installed[0] == "torch==2.13.0"


@pytest.mark.parametrize("form", [["--torch-index", "URL"], ["--torch-index=URL"]])
def test_an_index_that_is_named_is_used_and_remembered(here: Installation, form: list[str]) -> None:
    here.run("--no-demo", *form)
    assert here.installed[0] == "--index-url URL torch==2.13.0"
    here.run("--no-demo", *form)
    assert here.installed == []
    here.run("--no-demo", "--torch-index", "ANOTHER")
    assert here.installed == ["--index-url ANOTHER --force-reinstall torch==2.13.0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fast"], "unknown option '--fast'"),
        (["extra"], "unknown option 'extra'"),
        (["--torch-index"], "--torch-index needs a URL"),
        (["--gimp-dir"], "--gimp-dir needs a folder"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_done(
    here: Installation, options: list[str], said: str
) -> None:
    status, output = here.run(*options)
    assert status == 2
    assert said in output
    assert here.calls.read_text() == ""
    assert sorted(path.name for path in here.place.iterdir()) == ["install.sh", "pyproject.toml"]


def test_help_names_every_option(here: Installation) -> None:
    status, said = here.run("--help")
    assert status == 0
    for option in (
        "--torch-index URL",
        "--gimp-dir FOLDER",
        "--uninstall",
        "--no-demo",
        "--service",
        "--help",
        "PYTHON=",
        "3.10 or newer",
    ):
        assert option in said


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("Python is old", "sudo apt install python3 python3-venv"),
        ("there is no venv", "sudo apt install python3.12-venv"),
        ("venv fails", "Is the disk full"),
        ("torch fails", "another index: ./install.sh --torch-index URL"),
        ("torch does not load", "Try another build"),
        ("dip fails", "PyTorch is, and will not be downloaded again"),
        ("GIMP fails", "the plug-in for GIMP is not installed"),
        ("the demo fails", "dip doctor"),
    ],
)
def test_a_failure_gives_advice_and_the_next_run_continues(
    here: Installation, fault: str, advice: str
) -> None:
    status, said = here.run(fault=fault)
    assert status == 1
    assert advice in said
    if fault in ("torch fails", "dip fails"):
        assert "ERROR: No matching distribution" in said
        assert "install.log" in said
    status, said = here.run()
    assert status == 0, said
    if fault in ("dip fails", "GIMP fails", "the demo fails"):
        assert "torch==2.13.0" not in "".join(here.installed)


def test_the_service_is_offered_and_not_forced(here: Installation) -> None:
    status, said = here.run("--no-demo")
    assert status == 0
    assert "./install.sh --service" in said
    assert "serve" not in here.calls.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="launchd is not systemd")
@pytest.mark.parametrize("works", [True, False])
def test_the_service_becomes_a_unit_of_the_user(here: Installation, works: bool) -> None:
    """The real `dip serve --install-service`, and a systemctl that only records its calls."""
    refusal = "" if works else "echo 'Failed to connect to bus' >&2; exit 1"
    here.add_tool("systemctl", f'#!/bin/bash\necho "systemctl $*" >>"$CALLS"\n{refusal}\n')
    status, said = here.run(
        "--no-demo", "--service", REAL_PYTHON=sys.executable, PYTHONPATH=str(ROOT)
    )
    unit = here.tools / ".config/systemd/user/dip-restore.service"  # its HOME
    assert f'ExecStart="{sys.executable}" "-m" "dip" "serve"' in unit.read_text()
    calls = here.calls.read_text()
    assert "systemctl --user daemon-reload" in calls
    if works:
        assert status == 0, said
        assert "systemctl --user enable --now dip-restore" in calls
        assert "dip serve --uninstall-service" in said
    else:
        assert status == 1
        assert "Failed to connect to bus" in said
        assert "the installation is complete" in said
        assert ".venv/bin/dip serve" in said


@pytest.mark.parametrize("form", [["--gimp-dir", "here"], ["--gimp-dir=here"]])
def test_the_plug_in_is_installed_into_the_named_gimp_and_removed(
    here: Installation, form: list[str]
) -> None:
    here.run("--no-demo", *form)
    assert here.calls.read_text().splitlines()[-1] == "dip gimp install --gimp-dir //here"
    status, said = here.run("--uninstall", *form)
    assert status == 0, said
    assert here.calls.read_text().splitlines() == ["dip gimp uninstall --gimp-dir //here"]


def test_uninstalling_without_an_installation_is_refused(here: Installation) -> None:
    status, said = here.run("--uninstall")
    assert status == 1
    assert "nothing is installed here" in said


@pytest.mark.parametrize("package", ["torch", "dip"])
def test_after_a_killed_pip_the_environment_is_created_again(
    here: Installation, package: str
) -> None:
    status, _ = here.run(fault=f"{package} is killed")
    assert status == 1
    status, said = here.run("--no-demo")
    assert status == 0
    assert "interrupted" in said
    assert here.made_environment
    assert len(here.installed) == 2


def test_ctrl_c_stops_it_and_the_next_run_finishes(here: Installation) -> None:
    process = here.start(fault="torch hangs")
    deadline = time.monotonic() + 300
    while not here.installed:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Run ./install.sh again to continue" in said
    assert here.run("--no-demo")[0] == 0
    assert len(here.installed) == 2


def test_a_folder_that_was_moved_gets_a_new_environment(here: Installation) -> None:
    here.run("--no-demo")
    here.place = here.place.rename(here.place.with_name("moved"))
    status, said = here.run("--no-demo")
    assert status == 0
    assert "another folder" in said
    assert here.made_environment


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named(here: Installation) -> None:
    here.place.chmod(0o500)
    status, said = here.run()
    here.place.chmod(0o700)
    assert status == 1
    assert "cannot be written to" in said


def test_the_tests_ask_for_the_installation_first(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/run.sh", tmp_path / "tests")
    done = subprocess.run([tmp_path / "tests/run.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run ./install.sh first" in done.stderr
