"""Energy by variant, from counters that begin again, may not be read, or are not there."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from pipeline.measure.energy import Meter

RANGE = 1_000_000


class Package:
    """A processor package's folder, as Linux has it."""

    def __init__(self, root: Path, number: int, name: str = "", microjoules: int = 0) -> None:
        self.folder = root / f"intel-rapl:{number}"
        self.folder.mkdir(parents=True)
        (self.folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (self.folder / "name").write_text(f"{name or f'package-{number}'}\n")
        self.microjoules = microjoules
        self.use(0)

    def use(self, microjoules: int) -> None:
        self.microjoules = (self.microjoules + microjoules) % RANGE
        (self.folder / "energy_uj").write_text(f"{self.microjoules}\n")


def test_what_is_used_inside_the_block_is_the_variants(tmp_path: Path) -> None:
    package = Package(tmp_path, 0)
    with Meter.here(tmp_path) as meter:
        for variant, used in ((0, 1000), (1, 5000), (0, 2000)):
            package.use(70_000)  # between
            with meter.reading(variant):
                package.use(used)
        assert meter.state == "measured"
        np.testing.assert_allclose(meter.taken(2), [0.003, 0.005])


def test_it_is_taken_once(tmp_path: Path) -> None:
    package = Package(tmp_path, 0)
    with Meter.here(tmp_path) as meter:
        for used in (1000, 4000):
            with meter.reading(0):
                package.use(used)
            np.testing.assert_allclose(meter.taken(1), [used / 1e6])


@pytest.mark.parametrize(("start", "used"), [(RANGE - 1, 1), (RANGE - 10, 500), (0, RANGE - 1), (5, 0)])
def test_a_counter_that_begins_again(start: int, used: int, tmp_path: Path) -> None:
    package = Package(tmp_path, 0, microjoules=start)
    with Meter.here(tmp_path) as meter:
        with meter.reading(0):
            package.use(used)
        assert meter.joules[0] == pytest.approx(used / 1e6)


def test_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = Package(tmp_path, 0), Package(tmp_path, 1, microjoules=RANGE - 5)
    part = tmp_path / "intel-rapl:0:0"  # cores, which the package includes
    part.mkdir()
    (part / "energy_uj").write_text("9")
    with Meter.here(tmp_path) as meter:
        with meter.reading(0):
            first.use(100)
            second.use(20)
        assert meter.joules[0] == pytest.approx(120 / 1e6)


def test_the_whole_platform_is_not_counted_beside_its_package(tmp_path: Path) -> None:
    package, platform = Package(tmp_path, 0), Package(tmp_path, 1, "psys")
    with Meter.here(tmp_path) as meter:
        with meter.reading(0):
            package.use(100)
            platform.use(300)
        assert meter.joules[0] == pytest.approx(100 / 1e6)


def test_no_counter(tmp_path: Path) -> None:
    with Meter.here(tmp_path / "none") as meter:
        with meter.reading(0):
            pass
        assert meter.taken(1) is None
    assert meter.state == "not available: this machine has no energy counter"


def test_a_counter_for_root_alone(tmp_path: Path) -> None:
    Package(tmp_path, 0)
    real = Path.read_text

    def refused(self: Path, *arguments: object) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return real(self)

    with mock.patch.object(Path, "read_text", refused), Meter.here(tmp_path) as meter:
        with meter.reading(0):
            pass
        assert meter.taken(1) is None
    assert meter.state == "not available: the energy counter may be read by root alone"
