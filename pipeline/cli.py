"""The command: parses, calls, prints. No logic, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import DataError, GateFailed
from pipeline.verbs import Options, app, tell_results, verb


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
        from pipeline.run import run as run_study

        device, threads, console = options.device, options.threads, options.console()
        results = run_study(found, out, device=device, threads=threads, console=console, held=True)
    tell_results(options, results, out)


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
    study: Annotated[str, typer.Argument(help="A study that was run, or its output folder.")],
    options: Options,
    others: Annotated[
        list[str] | None, typer.Argument(metavar="OTHER…", help="Runs of it on other machines, for the same page.")
    ] = None,
) -> None:
    """Print the table of a finished run, and write its report.html, results.csv and results.md again."""
    from pipeline.deliver import reports
    from pipeline.files import write_files
    from pipeline.predictions import Predictions
    from pipeline.report.tables import markdown
    from pipeline.results import read_results
    from pipeline.settings import finished_folder

    folder = options.out or finished_folder(study)
    results = read_results(folder)
    beside = [(read_results(other), Predictions.load(other)) for other in map(finished_folder, others or ())]
    write_files(folder, reports(results, Predictions.load(folder), beside))
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
    """Compare two runs, variant by variant; accuracy on the same images, where both kept their answers."""
    from pipeline.predictions import Predictions
    from pipeline.report.comparison import compare as compare_results
    from pipeline.report.comparison import compared
    from pipeline.results import read_results
    from pipeline.settings import finished_folder

    folders = finished_folder(first), finished_folder(second)
    one, other = (read_results(folder) for folder in folders)
    said = Predictions.load(folders[0]), Predictions.load(folders[1])
    values = compared(one, other, force, said)
    text = compare_results(one, other, force, said)
    options.tell(text, [value.model_dump(mode="json") for value in values])


@verb
def verify(
    path: Annotated[Path, typer.Argument(help="An artifact, a bundle, or a run's folder.")],
    options: Options,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="Check the signature beside the folder with this key too."),
    ] = None,
) -> None:
    """Check every file's sha256: any changed, missing or added byte is refused."""
    from pipeline.bundle.signature import verify_signature
    from pipeline.bundle.verify import verify_folder

    checked = [*verify_folder(path), *([verify_signature(path, key)] if key else [])]
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


from pipeline import bundle_verbs, file_verbs  # noqa: E402, F401 (their place in --help is after these)


def main() -> None:
    """Entry point of the ``edgewright`` command."""
    # OpenMP threads that spin while they wait cost up to ten times on a core that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="edgewright")


if __name__ == "__main__":
    main()
