"""Facts about the machine: enough to judge a number, nothing that names a person or a host."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import measuring_kit
import pytest

from pipeline.measure.machine import (
    FEATURES,
    cpu_flags,
    cpu_name,
    machine_facts,
    measuring_alone,
    usable_cores,
    versions,
)

X86 = (
    "processor\t: 0\nmodel name\t: A CPU: 2 GHz\nflags\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nmodel name\t: B CPU\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimddp i8mm\nCPU part\t: 0xd0c\n"


def on(monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None) -> None:
    """Let ``/proc/cpuinfo`` hold that; None where there is no such file."""
    monkeypatch.setattr(Path, "is_file", lambda self: cpuinfo is not None)
    monkeypatch.setattr(Path, "read_text", lambda self: cpuinfo)


def test_facts_are_json_and_complete() -> None:
    facts = machine_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts.keys() == {"cpu", "features", "cores", "memory_bytes", "system", "python", "load"}
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 2**28
    assert facts["load"] >= 0
    assert facts["cpu"]


def test_facts_name_no_host_and_no_person() -> None:
    text = json.dumps({key: value for key, value in machine_facts().items() if key != "cpu"})
    assert platform.node() not in text
    assert getpass.getuser() not in text
    assert str(Path.home()) not in text


def test_an_x86_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, X86)
    assert cpu_name() == "A CPU: 2 GHz"
    assert cpu_flags() == {"fpu", "avx2", "avx512_vnni"}
    assert machine_facts()["features"] == ["avx2", "avx512_vnni"]


def test_an_arm_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, ARM)
    assert cpu_name()
    assert machine_facts()["features"] == ["asimddp", "i8mm"]


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, None)
    assert cpu_flags() == frozenset()
    assert cpu_name() == (platform.processor() or platform.machine())
    assert machine_facts()["features"] == []


def test_features_are_named_as_linux_does() -> None:
    assert all(feature == feature.lower() and feature.isidentifier() for feature in FEATURES)


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_versions_of_what_is_installed() -> None:
    assert versions(["numpy", "no-such-distribution"]) == {"numpy": version("numpy")}
    assert {"edgewright", "torch", "onnxruntime"} <= versions().keys()


def test_two_processes_never_measure_at_once(tmp_path: Path) -> None:
    lock, told = tmp_path / "lock", [tmp_path / str(index) for index in range(2)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, measuring_kit.__file__, lock]
    started = [subprocess.Popen([*command, file], env=environment) for file in told]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    times = [tuple(map(float, line.split())) for file in told for line in file.read_text().splitlines()]
    assert len(times) == 2 * measuring_kit.TURNS
    assert all(end <= begin for (_, end), (begin, _) in pairwise(sorted(times)))


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError), measuring_alone(tmp_path / "lock"):
            raise RuntimeError
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666  # anybody's
