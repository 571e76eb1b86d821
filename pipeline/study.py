"""A study: one data set, recipes, exports, runtimes, and what to measure and allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from pipeline.dataset import Source, read_source
from pipeline.errors import UsageError
from pipeline.plugin import build, did_you_mean, read
from pipeline.runtime import Runtime
from pipeline.spec import Budget, Name, Positive, Value
from pipeline.stage import ARTIFACT, NOTHING, Recipe, Stage, check_chain, read_recipe, read_stage


class Benchmark(Value):
    """How latency is measured.

    Attributes:
        precision: enough, when every ratio's interval reaches at most this fraction of it to a side.
        seconds: stop before another sitting would exceed this, precise or not, when four are done.
        sittings: at most so many; in each, every file is opened again and warmed up.
        rounds: of a sitting; every variant is timed once a round, in random order.
        calls: a round times this many calls of each variant.
        threads: of every runtime.
        sweep_threads: other numbers of threads to measure too. sweep_batches: other numbers of images a call.
        cold_starts: new processes of each variant that are timed from their start; 0 leaves them out.
        least_calls, least_seconds: of every variant, whatever ``seconds`` says. 1024 and 60 are MLPerf's
            single-stream rule (Reddi et al., 2020).
    """

    precision: Annotated[float, Field(gt=0, lt=1)] = 0.03
    seconds: Annotated[float, Field(gt=0)] = 60.0
    sittings: Annotated[int, Field(ge=4)] = 200
    rounds: Positive = 5
    calls: Positive = 3
    threads: Positive = 1
    sweep_threads: tuple[Positive, ...] = ()
    sweep_batches: tuple[Positive, ...] = ()
    cold_starts: Annotated[int, Field(ge=0)] = 3
    least_calls: Annotated[int, Field(ge=0)] = 0
    least_seconds: Annotated[float, Field(ge=0)] = 0.0


class Study(Value):
    """What ``edgewright run`` takes.

    Attributes:
        name: the output folder is ``exported/<name>``.
        data: where the images come from.
        recipes: in order; one may start from, and learn from, those before it.
        reference: the recipe that accuracy and latency are compared with.
        exports: appended, each in turn, to every recipe that ends in a model.
        runtimes: every artifact is measured on those that open its format.
        seed: everything random follows from it.
        budget: what a recommended model may cost.
        benchmark: how latency is measured.
        lenient: a recipe that fails is left out and told, unless it is the reference.
    """

    name: Name
    data: Source
    recipes: tuple[Recipe, ...]
    reference: str
    exports: tuple[Stage, ...]
    runtimes: tuple[Runtime, ...]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    budget: Budget = Budget()
    benchmark: Benchmark = Benchmark()
    lenient: bool = False

    def model_post_init(self, _: Any) -> None:
        _check(self)

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name.

        Raises:
            UsageError: there is none.
        """
        names = {recipe.name: recipe for recipe in self.recipes}
        if name not in names:
            raise UsageError(f"{self.name}: no recipe is called {name!r}{did_you_mean(name, names)}")
        return names[name]

    def chain(self, name: str) -> tuple[Stage, ...]:
        """All stages of a recipe from the very first, those of the recipes before it included."""
        recipe = self.recipe(name)
        return (*(self.chain(recipe.after) if recipe.after else ()), *recipe.stages)

    def written(self) -> dict[str, Any]:
        """The YAML view; ``read_study`` gives an equal study back."""
        plain = self.model_dump(mode="json", include={"name", "seed", "reference", "budget", "benchmark"})
        return {
            "name": plain["name"],
            "data": self.data.written(),
            "seed": plain["seed"],
            "reference": plain["reference"],
            "recipes": {recipe.name: recipe.written() for recipe in self.recipes},
            "exports": [stage.written() for stage in self.exports],
            "runtimes": [runtime.written() for runtime in self.runtimes],
            "budget": plain["budget"],
            "benchmark": plain["benchmark"],
            **({"lenient": True} if self.lenient else {}),
        }

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.written(), sort_keys=False, allow_unicode=True, width=110)


def read_study(data: Any, where: str = "study") -> Study:
    """A study from its YAML view.

    Raises:
        UsageError: names the key, and what was probably meant.
        UnavailableError: a runtime or stage needs a package that is not installed.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: expected a mapping with name, data and recipes, got {type(data).__name__}")
    fields = dict(data)
    if "data" in fields:
        fields["data"] = read_source(fields["data"], f"{where}.data")
    for key, one in (("exports", read_stage), ("runtimes", _read_runtime)):
        if key in fields:
            fields[key] = tuple(one(item, f"{where}.{key}") for item in _list(fields[key], f"{where}.{key}"))
    if "recipes" in fields:
        fields["recipes"] = tuple(_read_recipes(fields["recipes"], f"{where}.recipes"))
    return build(Study, fields, where)


def load_study(path: Path) -> Study:
    """A study from a YAML file."""
    return read_study(parse_yaml(path), path.name)


def parse_yaml(path: Path) -> Any:
    """The data in a YAML file.

    Raises:
        UsageError: it cannot be read, or is not YAML; says where.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{path} is not valid YAML: {place}{error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid YAML: {problem[:200]}") from None


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice; plain YAML lets the second silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands here twice", key.start_mark)
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
        return super().construct_mapping(node, deep)


def _read_runtime(data: Any, where: str) -> Runtime:
    runtime = read("runtime", data, where)
    assert isinstance(runtime, Runtime)
    return runtime


def _read_recipes(data: Any, where: str) -> Iterator[Recipe]:
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: expected recipes by name, got {data!r}")
    for name, stages in data.items():
        yield read_recipe(str(name), stages, f"{where}.{name}")


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise UsageError(f"{where}: expected a list, got {data!r}")
    return data


def _check(study: Study) -> None:
    """Everything that can be known to be wrong before anything runs."""
    names = [recipe.name for recipe in study.recipes]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{study.name}: {'two recipes have the same name' if names else 'there are no recipes'}")
    for recipe in study.recipes:
        _check_order(study, recipe, names)
        _check_chain(study, recipe)
    study.recipe(study.reference)
    _check_exports(study)


def _check_chain(study: Study, recipe: Recipe) -> None:
    """The stages fit each other, and what they end in is measured."""
    where = f"{study.name}.recipes.{recipe.name}"
    chain = study.chain(recipe.name)
    given = check_chain(chain, where)
    if given == NOTHING:
        raise UsageError(f"{where}: there are no stages", "begin with a model family")
    own = getattr(chain[-1], "format", "")
    if given == ARTIFACT and not any(runtime.opens(own) for runtime in study.runtimes):
        raise UsageError(f"{where}: {chain[-1].kind} makes {own}, which no runtime of the study runs")
    for name in (name for stage in recipe.stages for name in stage.needs()):
        if study.chain(name)[-1].gives == ARTIFACT:
            fix = f"let {name!r} end in a model; the study's exports follow every recipe"
            raise UsageError(f"{where}: {name!r} ends in an artifact, which cannot teach", fix)


def _check_exports(study: Study) -> None:
    """There is something to export, and every runtime opens one of the formats."""
    if not study.exports or not study.runtimes:
        raise UsageError(f"{study.name}: at least one export and one runtime are needed")
    for stage in study.exports:
        if stage.gives != ARTIFACT:
            raise UsageError(f"{study.name}.exports: {stage.kind} gives a {stage.gives}, not an artifact")
    formats = [getattr(stage, "format", "") for stage in study.exports]
    for what, names in (("exports", formats), ("runtimes", [runtime.kind for runtime in study.runtimes])):
        if len(set(names)) < len(names):
            raise UsageError(f"{study.name}.{what}: {' and '.join(names)}: one of them is there twice")
    for runtime in study.runtimes:
        if not any(map(runtime.opens, formats)):
            raise UsageError(f"{study.name}.runtimes: {runtime.kind} runs {runtime.format}, which nothing exports")


def _check_order(study: Study, recipe: Recipe, names: list[str]) -> None:
    """A recipe may build on, and learn from, recipes that stand before it: so no cycles."""
    wanted = [recipe.after] if recipe.after else []
    wanted += [name for stage in recipe.stages for name in stage.needs()]
    for name in wanted:
        study.recipe(name)
        if names.index(name) >= names.index(recipe.name):
            raise UsageError(
                f"{study.name}: recipe {recipe.name!r} uses {name!r}, which does not stand before it",
                f"move {name!r} above {recipe.name!r}",
            )
