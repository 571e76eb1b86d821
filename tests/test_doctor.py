"""The doctor: one line a question, and a fix wherever something is wrong."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement

from pipeline import doctor, plugin
from pipeline.doctor import Check, accelerators, disk, examine, machine, package, packages, runtimes

FACTS: dict[str, Any] = {"cpu": "A CPU", "system": "Linux x86_64", "load": 0.1, "memory_bytes": 16 * 2**30}


def by_name(checks: Any) -> dict[str, Check]:
    return {check.name: check for check in checks}


def on(
    monkeypatch: pytest.MonkeyPatch, flags: str = "avx2 avx512_vnni", cores: int = 4, **facts: Any
) -> dict[str, Check]:
    """The machine's checks on a machine like that."""
    monkeypatch.setattr(doctor, "machine_facts", lambda: {**FACTS, **facts})
    monkeypatch.setattr(doctor, "cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(doctor, "usable_cores", lambda: cores)
    return by_name(machine())


def test_every_question_is_asked_once(tmp_path: Path) -> None:
    names = [check.name for check in examine(tmp_path)]
    assert len(names) == len(set(names))
    assert {"torch", "cpu", "int8 instructions", "cores", "load", "memory", "disk", "gpu"} <= set(names)
    assert {"runtime onnxruntime", "runtime openvino"} <= set(names)


def test_this_installation_has_all_it_requires() -> None:
    assert {check.status for check in packages()} <= {"ok", "warn"}
    assert "pytest" not in by_name(packages())


def test_whatever_fails_says_how_to_mend_it(tmp_path: Path) -> None:
    assert [check for check in examine(tmp_path) if check.status == "fail" and not check.fix] == []


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        ("2.5", "ok", "2.5"),
        ("3.0rc1", "ok", "3.0rc1"),
        ("1.9", "warn", "1.9, tested with >=2.0"),
        (None, "fail", "not"),
    ],
)
def test_a_package(found: str | None, status: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(_: str) -> str:
        if found is None:
            raise PackageNotFoundError
        return found

    monkeypatch.setattr(doctor, "version", version)
    check = package(Requirement("numpy>=2.0"))
    assert (check.name, check.status) == ("numpy", status)
    assert text in check.found
    assert check.fix == ("" if status == "ok" else "pip install 'numpy>=2.0'")


def test_a_good_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = on(monkeypatch)
    assert {check.status for check in checks.values()} == {"ok"}
    assert {check.fix for check in checks.values()} == {""}
    assert checks["int8 instructions"].found == "avx512_vnni"
    assert checks["memory"].found == "16.0 GiB"


def test_a_machine_without_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    check = on(monkeypatch, flags="avx2")["int8 instructions"]
    assert (check.status, check.found) == ("warn", "none")
    assert "hardly faster" in check.fix


@pytest.mark.parametrize(("system", "flags", "status"), [("Linux x86_64", "", "warn"), ("Linux x86_64", "avx2", "ok")])
def test_avx2_on_x86(system: str, flags: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(monkeypatch, flags=flags, system=system)["avx2"].status == status


def test_nobody_asks_an_arm_for_avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = on(monkeypatch, flags="asimddp", system="Linux aarch64")
    assert "avx2" not in checks
    assert checks["int8 instructions"].status == "ok"


@pytest.mark.parametrize(("load", "status"), [(0.9, "ok"), (1.1, "warn")])
def test_a_busy_machine(load: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = on(monkeypatch, cores=2, load=load)["load"]
    assert check.status == status
    assert bool(check.fix) == (status == "warn")


@pytest.mark.parametrize(("gib", "status"), [(3.9, "warn"), (4.0, "ok")])
def test_little_memory(gib: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(monkeypatch, memory_bytes=int(gib * 2**30))["memory"].status == status


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path / "not" / "there").found.endswith(" GiB free")
    monkeypatch.chdir(tmp_path)
    assert disk(Path("exported")).found.endswith(" GiB free")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "status"), [(0.4, "fail"), (0.6, "ok")])
def test_a_full_disk(free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": int(free * 2**30)})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    check = disk(tmp_path)
    assert check.status == status
    assert bool(check.fix) == (status == "fail")


def test_the_gpu_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert by_name(accelerators())["gpu"].found == "none; training runs on the CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert by_name(accelerators())["gpu"].found == "A GPU"


def test_a_runtime_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_importable", lambda name: False)
    check = by_name(runtimes())["runtime openvino"]
    assert (check.status, check.found, check.fix) == ("warn", "not installed", "pip install 'edgewright[openvino]'")
    assert by_name(runtimes())["runtime onnxruntime"].status == "ok"
