"""The command: parses, calls, prints. No logic, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import DataError, GateFailed, UsageError
from pipeline.verbs import Options, app, verb

if TYPE_CHECKING:
    from pipeline.study import Benchmark


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


@dataclass(frozen=True)
class Ruler:
    """How ``bench`` measures."""

    sweep_threads: Annotated[str, typer.Option("--sweep-threads", metavar="N,N…", help="Threads to try too.")] = ""
    sweep_batches: Annotated[str, typer.Option("--sweep-batches", metavar="N,N…", help="Images a call to try.")] = ""
    seconds: Annotated[float, typer.Option("--seconds", help="Time limit.")] = 60.0
    precision: Annotated[float, typer.Option("--precision", help="Half-width of a ratio's interval to reach.")] = 0.03
    single_stream: Annotated[
        bool, typer.Option("--single-stream", help="MLPerf's rule: 1,024 calls and 60 s of every file.")
    ] = False
    cold_starts: Annotated[int, typer.Option("--cold-starts", min=0, help="New processes to time of each file.")] = 0

    def benchmark(self, threads: int | None) -> Benchmark:
        from pipeline.settings import benchmark_of

        return benchmark_of(**vars(self), threads=threads or 1)


@dataclass(frozen=True)
class Told:
    """What a file does not say of itself."""

    shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Image size, for files that do not say.")
    ] = None
    trust: Annotated[bool, typer.Option("--trust", help="Run files that are programs (TorchScript, .pt2).")] = False


@verb
def bench(
    options: Options,
    ruler: Ruler,
    told: Told,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE…", help="ONNX, TorchScript or .pt2 files, or folders with a manifest."),
    ] = None,
    runtimes: Annotated[
        list[str] | None, typer.Option("--runtime", help="Measure on this one; on all that open the file unless given.")
    ] = None,
    self_test: Annotated[bool, typer.Option("--self-test", help="Check the ruler itself on this machine.")] = False,
) -> None:
    """Measure files side by side, without a study; or check the ruler itself."""
    if self_test:
        check_ruler(options)
        return
    if not files:
        raise UsageError("bench: no file is given", "edgewright bench model.onnx, or edgewright bench --self-test")
    from pipeline.bench import bench as bench_files
    from pipeline.progress import shown
    from pipeline.report.bench import table
    from pipeline.settings import image_shape

    with shown(options.console(), "latency") as progress:
        arguments = (files, ruler.benchmark(options.threads), runtimes or ())
        found = bench_files(*arguments, shape=image_shape(told.shape), trusted=told.trust, progress=progress)
    options.tell(table(found), found.model_dump(mode="json"))


@dataclass(frozen=True)
class Int8:
    """How ``quantize`` quantizes."""

    calibration: Annotated[
        str, typer.Option("--calibration", help="Ranges: moving_average, min_max, percentile, entropy or mse.")
    ] = "moving_average"
    images: Annotated[int, typer.Option("--images", min=1, help="Images to calibrate on.")] = 256
    mean: Annotated[str, typer.Option("--mean", metavar="M,M,M", help="Of the input, in units of 0…1 images.")] = (
        "0.485,0.456,0.406"
    )
    std: Annotated[str, typer.Option("--std", metavar="S,S,S", help="Of the input, in units of 0…1 images.")] = (
        "0.229,0.224,0.225"
    )
    portable: Annotated[
        bool, typer.Option("--portable", help="Weights of 7 bits: x86 without VNNI answers the same.")
    ] = False
    convert: Annotated[bool, typer.Option("--convert", help="Raise an operator set that is too old.")] = False
    shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Image size, for files that do not say.")
    ] = None

    def wanted(self) -> Any:
        from pipeline.settings import wanted_int8

        return wanted_int8(**vars(self))


@verb
def quantize(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A float ONNX file, of any origin.")],
    options: Options,
    int8: Int8,
    data: Annotated[
        Path, typer.Option("--data", help="A folder of images like those it will see; labels are not needed.")
    ],
    seconds: Annotated[float, typer.Option("--seconds", help="Time limit for timing both files.")] = 30.0,
) -> None:
    """Quantize your own ONNX file to int8, check its answers and time it beside the float one."""
    from pipeline.progress import shown
    from pipeline.quantize_file import quantize_file
    from pipeline.report.quantized import text
    from pipeline.study import Benchmark

    arguments = (file, data, options.out or file.parent, int8.wanted(), Benchmark(seconds=seconds))
    with shown(options.console(), "int8") as progress:
        made = quantize_file(*arguments, progress)
    options.tell(text(made), made.model_dump(mode="json"))


@verb
def explain(
    artifact: Annotated[Path, typer.Argument(help="An int8 ONNX file, or its folder with a manifest.")],
    options: Options,
    ruler: Ruler,
    compared: Annotated[
        Path | None,
        typer.Option("--float", metavar="FILE", help="Compare with it; with the file's float twin unless given."),
    ] = None,
) -> None:
    """Say why an int8 file is as fast and as noisy as it is here: layers, kernels, float islands, a verdict."""
    from pipeline.explain import explain as explain_file
    from pipeline.progress import shown
    from pipeline.report.explained import text

    with shown(options.console(), "latency") as progress:
        found = explain_file(artifact, ruler.benchmark(options.threads), compared, progress)
    options.tell(text(found), found.model_dump(mode="json"))


def check_ruler(options: Options) -> None:
    """Run the self-test; it fails as a gate does."""
    from pipeline.progress import shown
    from pipeline.self_test import self_test

    with shown(options.console(), "self-test") as progress:
        found = self_test(progress=progress)
    options.tell(found.text(), found.model_dump(mode="json"))
    if not found.passed:
        raise GateFailed("the ruler cannot be trusted on this machine now", "stop other programs and try again")


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
