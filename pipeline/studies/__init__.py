"""Built-in studies, one a file: each has ``STUDY``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from pipeline.study import Study


def names() -> tuple[str, ...]:
    """Names of the built-in studies."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__)))


def built_in(name: str) -> Study:
    """The built-in study of that name; one of ``names()``."""
    study: Study = module(name).STUDY
    return study


def module(name: str) -> ModuleType:
    """The file of a built-in study; its docstring says what it is for."""
    return importlib.import_module(f"{__name__}.{name}")
