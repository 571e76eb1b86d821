"""The list of everything that can be chosen."""

from __future__ import annotations

import re
import sys

import pytest

from pipeline import plugin, studies
from pipeline.inventory import inventory
from pipeline.plugin import discover

ROOMS = [
    "data",
    "models",
    "training stages",
    "pruning stages",
    "quantization stages",
    "tuning stages",
    "formats",
    "runtimes",
    "studies",
]


def test_rooms_in_the_order_of_a_recipe() -> None:
    assert list(inventory()) == ROOMS


def test_everything_that_can_be_chosen_is_listed_once() -> None:
    rooms = inventory()
    # A study may have the name of its data set.
    names = [item.name for title, items in rooms.items() if title != "studies" for item in items]
    assert sorted(names) == sorted(set(names))
    names += [item.name for item in rooms["studies"]]
    chosen = {*discover("data"), *discover("stage"), *discover("runtime"), *studies.names()}
    assert set(names) == chosen


def test_blueprints_are_no_choice() -> None:
    names = {item.name for items in inventory().values() for item in items}
    assert names & discover("blueprint").keys() == set()


def test_every_line_says_what_it_is_for() -> None:
    for items in inventory().values():
        for item in items:
            assert re.fullmatch(r"\S.{10,110}\.", item.summary), item


COREML = "not on this machine: use a Mac"


def test_what_is_missing_comes_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_importable", lambda name: False)
    missing = {item.name: item.missing for items in inventory().values() for item in items if item.missing}
    assert missing | {"coreml": COREML} == {
        "coreml": COREML,
        "ExportCoreMl": "not installed: pip install 'edgewright[coreml]'",
        "ExportExecuTorch": "not installed: pip install 'edgewright[executorch]'",
        "executorch": "not installed: pip install 'edgewright[executorch]'",
        "ExportLiteRt": "not installed: pip install 'edgewright[litert]'",
        "litert": "not installed: pip install 'edgewright[litert]'",
        "ExportNcnn": "not installed: pip install 'edgewright[ncnn]'",
        "ncnn": "not installed: pip install 'edgewright[ncnn]'",
        "openvino": "not installed: pip install 'edgewright[openvino]'",
        "AccuracyBudget": "not installed: pip install 'edgewright[tune]'",
    }
    monkeypatch.setattr(plugin, "_importable", lambda name: True)
    still = {item.name: item.missing for items in inventory().values() for item in items if item.missing}
    assert still == ({} if sys.platform == "darwin" else {"coreml": COREML})
