"""Everything that can be chosen by name, and what is missing for it."""

from __future__ import annotations

from pipeline import studies
from pipeline.plugin import Plugin, discover, room_plugins
from pipeline.spec import Value

STAGE_TITLES = {
    "models": "models",
    "trainers": "training stages",
    "pruners": "pruning stages",
    "quantizers": "quantization stages",
    "tuners": "tuning stages",
    "exporters": "formats",
}


class Item(Value):
    """One line of the list.

    Attributes:
        missing: how to install what it needs; "" where nothing is missing.
    """

    name: str
    summary: str
    missing: str = ""


def inventory() -> dict[str, list[Item]]:
    """Items by title, in the order a recipe uses them."""
    rooms = {"data": [_item(plugin) for plugin in discover("data").values()]}
    for room, title in STAGE_TITLES.items():
        rooms[title] = [_item(plugin) for plugin in room_plugins(room) if plugin.role == "stage"]
    rooms["runtimes"] = [_item(plugin) for plugin in discover("runtime").values()]
    rooms["studies"] = [_study(name) for name in studies.names()]
    return rooms


def _item(plugin: type[Plugin]) -> Item:
    lack = "not installed" if plugin.at_home() else "not on this machine"
    missing = f"{lack}: {plugin.remedy()}" if plugin.missing() else ""
    return Item(name=plugin.kind, summary=plugin.summary(), missing=missing)


def _study(name: str) -> Item:
    module = studies.module(name)
    return Item(name=name, summary=(module.__doc__ or "").partition("\n")[0])
