"""The command: parses, calls, prints. No logic, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import inspect
import json as json_format
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import DataError, EdgewrightError, GateFailed, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

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


def verb(function: Callable[..., None], group: typer.Typer = app) -> Callable[..., None]:
    """Register a command: its own parameters, then the common ones gathered in ``options``."""
    hints = inspect.get_annotations(function, eval_str=True)
    own = [
        parameter
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if name != "options"
    ]
    shared = list(inspect.signature(Options, eval_str=True).parameters.values())

    @wraps(function)
    def command(**values: Any) -> None:
        options = Options(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        with_exit_code(lambda: function(**values, options=options), options.debug)

    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {**hints, **{p.name: p.annotation for p in shared}}
    command.__annotations__.pop("options")
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


@verb
def run(study: Annotated[str, typer.Argument(help="A built-in study, or a YAML file.")], options: Options) -> None:
    """Do a study, or what is left of it: train, compress, export, check, measure, report."""
    from pipeline.files import folder_lock
    from pipeline.ranks import leading

    found = options.study(study)
    out = options.out or Path("exported") / found.name
    if not leading():
        from pipeline.run import follow

        follow(found, out, device=options.device, threads=options.threads)
        return
    with folder_lock(out):  # one of many that start at once works; the others end before anything slow is loaded
        from pipeline.report.tables import console_table
        from pipeline.run import run as run_study

        device, threads, console = options.device, options.threads, options.console()
        results = run_study(found, out, device=device, threads=threads, console=console, held=True)
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


@verb
def show(study: Annotated[str, typer.Argument(help="A built-in study, or a YAML file.")], options: Options) -> None:
    """Print a study as YAML, ready to edit and run."""
    found = options.study(study)
    options.tell(found.to_yaml().rstrip(), found.written())


@verb
def list_(options: Options) -> None:
    """List models, data, stages, formats, runtimes and studies, and what is not installed."""
    from pipeline.inventory import inventory

    rooms = inventory()
    lines = []
    for room, items in rooms.items():
        lines += ["", room]
        lines += [f"  {item.name:<20} {item.summary}{f'  [{item.missing}]' if item.missing else ''}" for item in items]
    options.tell("\n".join(lines[1:]), {room: [item.model_dump() for item in items] for room, items in rooms.items()})


@verb
def report(
    study: Annotated[str, typer.Argument(help="A study that was run, or its output folder.")], options: Options
) -> None:
    """Print the table of a finished run, and write its report.html again."""
    from pipeline.files import write_files
    from pipeline.report.html import render
    from pipeline.report.tables import markdown
    from pipeline.results import read_results
    from pipeline.settings import finished_folder

    folder = options.out or finished_folder(study)
    results = read_results(folder)
    write_files(folder, {"report.html": render(results).encode()})
    sentence = results.recommendation.sentence
    options.tell(
        f"{markdown(results)}\n\n{sentence}\n\nreport: {folder / 'report.html'}", results.model_dump(mode="json")
    )


@verb
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A finished run's folder or study name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    options: Options,
    force: Annotated[bool, typer.Option("--force", help="Compare even unlike machines or data.")] = False,
) -> None:
    """Compare two runs, variant by variant."""
    from pipeline.report.comparison import compare as compare_results
    from pipeline.results import read_results
    from pipeline.settings import finished_folder

    one, other = (read_results(finished_folder(name)) for name in (first, second))
    text = compare_results(one, other, force=force)
    options.tell(text, {"comparison": text.splitlines()})


@verb
def verify(
    path: Annotated[Path, typer.Argument(help="An artifact, a bundle, or a run's folder.")], options: Options
) -> None:
    """Check every file's sha256: any changed, missing or added byte is refused."""
    from pipeline.bundle.verify import verify_folder

    checked = verify_folder(path)
    options.tell("\n".join([*(f"ok  {line}" for line in checked)]), {"checked": checked})


@verb
def doctor(options: Options) -> None:
    """Say what this machine and installation are fit for, and how to mend the rest."""
    from pipeline.doctor import examine

    checks = examine(options.out or Path("exported"))
    lines = [f"{c.status:<5} {c.name:<20} {c.found}{f'  -> {c.fix}' if c.fix else ''}" for c in checks]
    options.tell("\n".join(lines), [check.model_dump() for check in checks])
    if any(check.status == "fail" for check in checks):
        raise GateFailed("something that is needed is missing", "see the lines that say fail")


data = typer.Typer(no_args_is_help=True, help="Look at data sets.")
app.add_typer(data, name="data")


@partial(verb, group=data)
def check(
    source: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A folder of images, an npz, or a data set.")],
    options: Options,
) -> None:
    """Decode every image once: what is used, what is converted, what is refused, and what is there twice."""
    from pipeline.data.check import asked_for
    from pipeline.data.check import check as check_data
    from pipeline.progress import shown

    with shown(options.console(), "images") as progress:
        checked = check_data(asked_for(source), progress)
    options.tell(checked.text(), checked.model_dump(mode="json"))
    if checked.refused:
        fix = "remove or replace what is refused; a study may set skip_unreadable: true"
        raise DataError(f"{checked.name}: {checked.refused} refused, see above", fix)


def main() -> None:
    """Entry point of the ``edgewright`` command."""
    # OpenMP threads that spin while they wait cost up to ten times on a core that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="edgewright")


if __name__ == "__main__":
    main()
