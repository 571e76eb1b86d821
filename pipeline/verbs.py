"""How a verb of the command is made: shared options, registration, exit codes."""

from __future__ import annotations

import inspect
import json as json_format
import traceback
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import EdgewrightError, GateFailed, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.results import Results
    from pipeline.study import Study

app = typer.Typer(
    name="edgewright",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("edgewright"))
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")]


@app.callback()
def before_the_verb(version: Version = False) -> None:
    """Makes image classifiers ready for phones: trained, pruned, distilled, quantized, verified and measured."""


@dataclass(frozen=True)
class Options:
    """What every verb accepts."""

    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the study, e.g. benchmark.rounds=20."),
    ] = None
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights", metavar="[RECIPE=]FILE", help="Start the reference recipe's model, or RECIPE's, from a file."
        ),
    ] = None
    out: Annotated[Path | None, typer.Option("--out", help="Output folder; exported/STUDY unless given.")] = None
    device: Annotated[str, typer.Option("--device", help="Where training runs: auto, cpu, cuda or cuda:N.")] = "auto"
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; all cores unless given.")] = None
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Everything random follows from it.")] = None
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False

    def study(self, name: str) -> Study:
        from pipeline.settings import resolve

        return resolve(name, self.settings or (), self.seed, self.weights or ())

    def console(self) -> Console:
        """Where progress goes: stderr."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.quiet)

    def tell(self, text: str, data: Any) -> None:
        """Print a result: the text, or the data with --json."""
        typer.echo(json_format.dumps(data, indent=1, ensure_ascii=False) if self.json else text)


def tell_results(options: Options, results: Results, out: Path) -> None:
    """Print what a run found.

    Raises:
        GateFailed: nothing fits the budget.
    """
    from pipeline.report.tables import console_table

    if options.json:
        options.tell("", results.model_dump(mode="json"))
    else:
        print_table(console_table(results))
        typer.echo(f"\n{results.recommendation.sentence}\n\nreport: {out / 'report.html'}")
    if results.recommendation.variant is None:
        raise GateFailed("nothing fits the budget", "widen the budget, or train and compress otherwise")


def print_table(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    console.print(table)


def verb(function: Callable[..., None], group: typer.Typer = app) -> Callable[..., None]:
    """Register a command: its own parameters, and the fields of those that are groups of options."""
    parameters = inspect.signature(function, eval_str=True).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in parameters.items() if is_dataclass(one.annotation)}
    own = [one for name, one in parameters.items() if name not in groups]
    members = {name: list(inspect.signature(kind, eval_str=True).parameters.values()) for name, kind in groups.items()}
    everything = [*own, *(one for each in members.values() for one in each)]

    @wraps(function)
    def command(**values: Any) -> None:
        gathered = {
            name: kind(**{one.name: values.pop(one.name) for one in members[name]}) for name, kind in groups.items()
        }
        with_exit_code(lambda: function(**values, **gathered), gathered["options"].debug)

    command.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in everything}
    del command.__wrapped__
    group.command(function.__name__.strip("_"))(command)
    return function


def with_exit_code(work: Callable[[], None], debug: bool) -> None:
    """Run ``work``; an error becomes at most six lines on stderr and its exit code."""
    try:
        work()
    except BrokenPipeError:
        raise  # whoever read the output has gone: no error of ours
    except KeyboardInterrupt:
        fail(Interrupted("interrupted"))
    except Exception as error:
        if debug:
            traceback.print_exc()
        fail(error if isinstance(error, EdgewrightError) else unexpected(error))


def unexpected(error: Exception) -> EdgewrightError:
    """Words for an error that nobody foresaw."""
    cause = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    return EdgewrightError(cause, "this should not happen; run again with --debug and report what it prints")


def fail(error: EdgewrightError) -> None:
    lines = error.lines()
    typer.echo("\n".join([f"error: {lines[0]}", *(f"  {line}" for line in lines[1:])]), err=True)
    raise typer.Exit(error.exit_code)
