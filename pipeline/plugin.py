"""Plug-ins: one file in a room, found by its class, written and read as data.

A plug-in is a frozen value whose fields are its configuration. Its file imports heavy
packages where the work is done, so the whole house can be listed without loading torch.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, ClassVar, TypeGuard, TypeVar

from pydantic import ValidationError

from pipeline.errors import UnavailableError, UsageError
from pipeline.spec import Value

ROOMS = {
    "data": ("data",),
    "stage": ("models", "trainers", "pruners", "quantizers", "tuners", "exporters"),
    "runtime": ("runtimes",),
    "blueprint": ("models", "pruners", "quantizers"),
}
SYSTEMS = {"darwin": "a Mac"}


class Plugin(Value):
    """Base of everything that is chosen by name.

    Attributes:
        role: what it is chosen for: a key of ``ROOMS``.
        kind: the name in YAML and on the command line; the class name unless given.
        version: raised when the same fields come to mean another result.
        requires: import names of optional packages this plug-in needs.
        extra: the installation extra that brings them.
        system: where it runs on one operating system only: what Python's ``sys.platform`` calls that.
    """

    role: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    system: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "kind" not in cls.__dict__:
            cls.kind = cls.__name__

    @classmethod
    def missing(cls) -> tuple[str, ...]:
        """The required packages that are not installed, and the system, where it is another."""
        packages = tuple(name for name in cls.requires if not _importable(name))
        return packages if cls.at_home() else (*packages, SYSTEMS[cls.system])

    @classmethod
    def at_home(cls) -> bool:
        """Whether it could run on this operating system."""
        return cls.system in ("", sys.platform)

    @classmethod
    def remedy(cls) -> str:
        """What to do where something is missing."""
        return f"pip install 'edgewright[{cls.extra}]'" if cls.at_home() else f"use {SYSTEMS[cls.system]}"

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    def describe(self) -> dict[str, Any]:
        """Every field as JSON-ready data, under the plug-in's name: the cache's view."""
        return {self.kind: {**self.model_dump(mode="json"), "version": self.version}}

    def written(self) -> Any:
        """The shortest data that ``read`` turns into an equal value: the YAML view."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return {self.kind: fields} if fields else self.kind


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ValueError, ModuleNotFoundError):
        return False


def discover(role: str) -> Mapping[str, type[Plugin]]:
    """Every plug-in of a role by its kind, room by room. The folders are the register."""
    found = (plugin for room in ROOMS[role] for plugin in room_plugins(room))
    return {plugin.kind: plugin for plugin in found if plugin.role == role}


@cache
def room_plugins(room: str) -> tuple[type[Plugin], ...]:
    """Every plug-in defined in the files of one room.

    A file whose name starts with an underscore holds no plug-in: it is machinery that may
    load heavy packages, and only the plug-in that needs it imports it.
    """
    package = importlib.import_module(f"pipeline.{room}")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return tuple(value for module in modules for value in vars(module).values() if _is_plugin_of(value, module))


def _is_plugin_of(value: object, module: ModuleType) -> TypeGuard[type[Plugin]]:
    return (
        inspect.isclass(value)
        and issubclass(value, Plugin)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    )


def lookup(role: str, kind: str, where: str) -> type[Plugin]:
    """The plug-in of that name.

    Args:
        where: the place that names it, for the message.

    Raises:
        UsageError: there is none; the message suggests the nearest name.
        UnavailableError: it is known and a package it needs is not installed.
    """
    known = discover(role)
    if kind not in known:
        cause = f"{where}: unknown {role} {kind!r}{did_you_mean(kind, known)}"
        raise UsageError(cause, f"one of: {', '.join(sorted(known))}")
    plugin = known[kind]
    if plugin.missing():
        lack = "installed" if plugin.at_home() else "here"
        cause = f"{where}: {kind} needs {', '.join(plugin.missing())}, which is not {lack}"
        raise UnavailableError(cause, plugin.remedy())
    return plugin


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """`` — did you mean 'x'?``, or nothing where no known word is near.

    >>> did_you_mean("epoch", ["epochs", "lr"])
    " — did you mean 'epochs'?"
    """
    lowered = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(str(word).lower(), lowered, n=1, cutoff=0.5)
    return f" — did you mean {lowered[near[0]]!r}?" if near else ""


def read(role: str, data: Any, where: str) -> Plugin:
    """A plug-in from its YAML view: ``Name`` or ``{Name: {field: value}}``."""
    kind, fields = _name_and_fields(data, where)
    plugin = lookup(role, kind, where)
    return build(plugin, fields, f"{where}.{kind}")


def _name_and_fields(data: Any, where: str) -> tuple[str, Any]:
    if isinstance(data, str):
        return data, {}
    if isinstance(data, Mapping) and len(data) == 1:
        [(kind, fields)] = data.items()
        return str(kind), {} if fields is None else fields
    raise UsageError(f"{where}: expected a name or {{name: {{field: value}}}}, got {data!r}")


V = TypeVar("V", bound=Value)


def build(cls: type[V], fields: Any, where: str) -> V:
    """``cls(**fields)`` with errors a person can act on."""
    if not isinstance(fields, Mapping):
        raise UsageError(f"{where}: expected fields by name, got {fields!r}")
    try:
        return cls.model_validate(dict(fields))
    except ValidationError as error:
        raise UsageError("\n".join(_complaint(cls, item, where) for item in error.errors())) from None


def _complaint(cls: type[Value], item: Any, where: str) -> str:
    path = ".".join([where, *(str(part) for part in item["loc"])])
    if item["type"] == "extra_forbidden":
        return f"{path}: unknown key{did_you_mean(item['loc'][-1], _fields_at(cls, item['loc'][:-1]))}"
    if item["type"] == "missing":
        return f"{path}: is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{path}: {message[0].lower()}{message[1:]} (got {item['input']!r})"


def _fields_at(cls: type[Value], path: Iterable[Any]) -> Iterable[str]:
    """Field names of the value that stands at ``path`` inside a ``cls``."""
    for part in path:
        inner = cls.model_fields[part].annotation if part in cls.model_fields else None
        if not (inspect.isclass(inner) and issubclass(inner, Value)):
            return ()
        cls = inner
    return cls.model_fields
