"""`dip doctor`: its findings on sound and on faulty machines."""

from __future__ import annotations

import argparse
import shutil

import pytest
import torch

from dip import image_io
from dip.commands import doctor
from dip.commands.doctor import Finding, examine
from dip.errors import DeviceUnavailable


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *findings: Finding
) -> tuple[int, list[str]]:
    checks = {f"check {n}": lambda finding=finding: finding for n, finding in enumerate(findings)}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    return doctor.run(argparse.Namespace()), capsys.readouterr().out.splitlines()


def test_only_a_failed_check_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    well, slow = Finding("ok", "well"), Finding("warn", "slow", "Be patient.")
    broken = Finding("fail", "broken", "Mend it.")
    status, lines = said(monkeypatch, capsys, well, slow)
    assert status == 0
    assert lines[0].split() == ["ok", "check", "0", "well"]
    assert lines[2].split() == ["->", "Be", "patient."]
    status, lines = said(monkeypatch, capsys, broken, well)
    assert status == 1
    assert len(lines) == 3, "it goes on after a failure"


def test_an_exception_in_a_check_is_a_finding() -> None:
    def refuse() -> Finding:
        raise DeviceUnavailable("No such device.", "Take another.")

    def crash() -> Finding:
        raise ImportError("libvips.so.42: cannot open shared object file")

    assert examine(refuse) == Finding("fail", "No such device.", "Take another.")
    finding = examine(crash)
    assert finding.status == "fail"
    assert "libvips.so.42" in finding.seen
    assert "./install.sh" in finding.advice


@pytest.mark.parametrize("name", ["dip", "packages", "images", "torch", "devices", "processor"])
def test_this_machine_passes_each_check(name: str) -> None:
    finding = examine(doctor.CHECKS[name])
    assert finding.status in ("ok", "warn"), finding
    assert bool(finding.advice) == (finding.status == "warn")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    finding = doctor.check_packages()
    assert (finding.status, finding.seen) == ("fail", "missing: no-such-package")


def test_a_loss_of_16_bit_samples_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    write = image_io.write_photo
    monkeypatch.setattr(image_io, "write_photo", lambda path, levels: write(path, levels & 0xFF00))
    assert doctor.check_images().status == "fail"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU that works")
def test_an_unused_gpu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert "NVIDIA" in doctor.check_torch().seen
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert doctor.check_torch().status == "ok"
    assert "driver" in doctor.check_devices().advice


@pytest.mark.parametrize(("free_mb", "status"), [(500.0, "warn"), (8000.0, "ok")])
def test_low_memory_is_found(monkeypatch: pytest.MonkeyPatch, free_mb: float, status: str) -> None:
    monkeypatch.setattr("dip.machine.memory.free_memory_mb", lambda compute: free_mb)
    assert doctor.check_memory().status == status
