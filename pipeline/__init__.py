"""Edgewright: image classifiers made ready for phones.

>>> from pipeline import Study, run
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.artifact import Artifact as Artifact
    from pipeline.bundle.verify import verify_folder as verify  # noqa: F401
    from pipeline.errors import EdgewrightError as EdgewrightError
    from pipeline.model import Model as Model
    from pipeline.optimize import optimize as optimize
    from pipeline.report.comparison import compare as compare
    from pipeline.results import Results as Results
    from pipeline.results import read_results as read_results
    from pipeline.run import run as run
    from pipeline.spec import Budget as Budget
    from pipeline.spec import InputSpec as InputSpec
    from pipeline.stage import Context as Context
    from pipeline.stage import Recipe as Recipe
    from pipeline.stage import Stage as Stage
    from pipeline.studies import built_in as built_in
    from pipeline.study import Benchmark as Benchmark
    from pipeline.study import Study as Study
    from pipeline.study import load_study as load_study
    from pipeline.wishes import Wishes as Wishes

# Where each public name lives; loaded when first asked for, so that importing costs nothing.
_PUBLIC = {
    "Artifact": "artifact",
    "Benchmark": "study",
    "Budget": "spec",
    "Context": "stage",
    "EdgewrightError": "errors",
    "InputSpec": "spec",
    "Model": "model",
    "Recipe": "stage",
    "Results": "results",
    "Stage": "stage",
    "Study": "study",
    "Wishes": "wishes",
    "built_in": "studies",
    "compare": "report.comparison",
    "load_study": "study",
    "optimize": "optimize",
    "read_results": "results",
    "run": "run",
    "verify": "bundle.verify",
}
_RENAMED = {"verify": "verify_folder"}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pipeline.{_PUBLIC[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps ``pipeline.run`` the function: importing the file of that name would put its module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
