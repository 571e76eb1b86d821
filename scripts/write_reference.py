"""Writes docs/reference.md and the schemas of docs/ from the code: python scripts/write_reference.py."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import errors
from pipeline.bench import Bench
from pipeline.errors import EdgewrightError
from pipeline.plugin import Plugin, discover, room_plugins
from pipeline.report.tables import markdown_table
from pipeline.results import SCHEMA_VERSION, Results
from pipeline.spec import Budget, InputSpec, Value
from pipeline.stage import Stage
from pipeline.study import Benchmark, Study

DOCS = Path(__file__).parent.parent / "docs"
REFERENCE = DOCS / "reference.md"
SCHEMAS: dict[Path, type[Value]] = {DOCS / "results.schema.json": Results, DOCS / "bench.schema.json": Bench}
HEADERS = ("field", "type", "default", "range", "meaning")
STAGE_ROOMS = {
    "models": "Models",
    "trainers": "Training stages",
    "pruners": "Pruning stages",
    "quantizers": "Quantization stages",
    "tuners": "Tuning stages",
    "exporters": "Formats",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
INTRODUCTION = """# Reference

Written from the code by `python scripts/write_reference.py`; do not edit it by hand.

In YAML a plug-in is its name, or its name with fields: `Train` or `Train: {epochs: 3}`. An unknown field is refused.
`edgewright list` prints the same plug-ins and says which need a package that is not installed."""
RESULTS = f"""## results.json

Schema version {SCHEMA_VERSION}. Every field with its type and meaning: [results.schema.json](results.schema.json). A
program refuses a later version than it knows. What the fields are good for: [how-to](how-to.md#read-resultsjson).
What `edgewright bench --json` prints: [bench.schema.json](bench.schema.json)."""
BLUEPRINTS = """## Blueprints

How a stored network is rebuilt. The program writes these into its store; a study never names them."""


def reference() -> str:
    """The whole page."""
    blocks = [INTRODUCTION, "## Data", *map(plugin, discover("data").values())]
    for room, title in STAGE_ROOMS.items():
        blocks += [f"## {title}", *(plugin(found) for found in room_plugins(room) if found.role == "stage")]
    blocks += ["## Runtimes", *map(plugin, discover("runtime").values())]
    blocks += ["## Values of a study", *map(value, (Study, Benchmark, Budget, InputSpec))]
    blocks += [BLUEPRINTS, *map(plugin, discover("blueprint").values())]
    return "\n\n".join([*blocks, "## Exit codes", exit_codes(), RESULTS]) + "\n"


def schema(cls: type[Value]) -> str:
    """JSON Schema of what a file, or ``--json``, holds."""
    return json.dumps(cls.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def plugin(cls: type[Plugin]) -> str:
    """A plug-in's name, docstring, what it fits to, and its fields."""
    return section(cls, cls.kind, fits(cls))


def value(cls: type[Value]) -> str:
    return section(cls, cls.__name__, [])


def section(cls: type[Value], title: str, facts: Sequence[str]) -> str:
    fields = list(rows(cls))
    table = markdown_table(HEADERS, fields, HEADERS) if fields else "No fields."
    return "\n\n".join([f"### {title}", described(cls), *facts, table])


def fits(cls: type[Plugin]) -> list[str]:
    """What a stage takes and gives, what a runtime opens, and the extra that brings it."""
    facts = [f"Takes {' or '.join(cls.takes)}; gives {cls.gives}."] if issubclass(cls, Stage) else []
    facts += [f"Format: `{format_}`."] if (format_ := getattr(cls, "format", "")) else []
    facts += [f"Installed by `pip install 'edgewright[{cls.extra}]'`."] if cls.extra else []
    return [" ".join(facts)] if facts else []


def described(cls: type[Value]) -> str:
    """The docstring without its sections."""
    return re.split(r"\n\n(?=\w+:\n)", inspect.getdoc(cls) or "")[0].replace("``", "`")


def meanings(cls: type[Value]) -> dict[str, str]:
    """The docstrings' Attributes by field, those of the classes it extends included."""
    found: dict[str, str] = {}
    names = "|".join(cls.model_fields)
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        attributes = re.search(r"Attributes:\n((?:    .*\n?)+)", text)
        flat = " ".join(attributes[1].split()) if attributes and names else ""
        parts = re.split(rf"(?:^|(?<=[.;] ))({names}): ", flat)
        found |= {name: meaning.strip() for name, meaning in zip(parts[1::2], parts[2::2], strict=True)}
    return found


def rows(cls: type[Value]) -> Iterator[list[str]]:
    told, properties = meanings(cls), cls.model_json_schema().get("properties", {})
    for name, entry in properties.items():
        options = entry.get("anyOf", [entry])
        known = {key: bound for option in options for key, bound in option.items()}
        limits = " and ".join(f"{sign} {known[key]}" for key, sign in LIMITS.items() if key in known)
        cells = (f"`{name}`", " or ".join(map(kind, options)), default(entry), limits, told.get(name, ""))
        yield [cell.replace("``", "`").replace("|", "\\|") for cell in cells]


def kind(entry: dict[str, Any]) -> str:
    """A field's type in words."""
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{option}`" for option in entry.get("enum", [entry.get("const")]))
    if "$ref" in entry:
        return str(entry["$ref"]).rpartition("/")[2]
    if entry.get("prefixItems"):
        return f"[{', '.join(kind(item) for item in entry['prefixItems'])}]"
    if entry.get("type") == "array":
        return f"list of {kind(entry['items'])}"
    return {"object": "mapping", "null": "none"}.get(entry.get("type", ""), str(entry.get("type", "any")))


def default(entry: dict[str, Any]) -> str:
    if "default" not in entry:
        return "required"
    given = entry["default"]
    return "see below" if isinstance(given, dict) else f"`{json.dumps(given)}`"


def exit_codes() -> str:
    """Every exception with its code and meaning, from the tree drawn in ``errors.py``."""
    drawn = re.findall(r"(\w+) +(\d+)   (.+)", errors.__doc__ or "")
    drawn.append((EdgewrightError.__name__, str(EdgewrightError.exit_code), "anything else; `--debug` shows where"))
    drawn.sort(key=lambda line: int(line[1]))
    body = [["0", "", "done"], *([code, f"`{name}`", meaning] for name, code, meaning in drawn)]
    return markdown_table(("code", "exception", "meaning"), body, ("exception", "meaning"))


def main() -> None:
    REFERENCE.write_text(reference(), encoding="utf-8")
    for path, cls in SCHEMAS.items():
        path.write_text(schema(cls), encoding="utf-8")


if __name__ == "__main__":
    main()
