"""The verbs for model files of any origin: parses, calls, prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import GateFailed, UsageError
from pipeline.verbs import Options, tell_results, verb

if TYPE_CHECKING:
    from pipeline.quantize_file import Wanted
    from pipeline.study import Benchmark


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
        bool, typer.Option("--portable", help="Weights that do not saturate: x86 without VNNI answers the same.")
    ] = False
    amx: Annotated[
        bool, typer.Option("--amx", help="For processors with AMX: quicker there, slower elsewhere, the same answers.")
    ] = False
    convert: Annotated[bool, typer.Option("--convert", help="Raise an operator set that is too old.")] = False
    shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Image size, for files that do not say.")
    ] = None

    def wanted(self) -> Wanted:
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


@dataclass(frozen=True)
class Preprocessing:
    """How ``optimize`` makes the network's input, where nothing beside the file says so."""

    shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Image size, where the network does not say.")
    ] = None
    resize: Annotated[int | None, typer.Option("--resize", min=1, help="Shorter edge before the crop.")] = None
    interpolation: Annotated[str | None, typer.Option("--interpolation", help="bilinear or bicubic.")] = None
    mean: Annotated[
        str | None, typer.Option("--mean", metavar="M,M,M", help="Of the input, in units of 0…1 images.")
    ] = None
    std: Annotated[str | None, typer.Option("--std", metavar="S,S,S", help="Of the input, in units of 0…1 images.")] = (
        None
    )
    convert: Annotated[bool, typer.Option("--convert", help="Raise an ONNX operator set that is too old.")] = False


@dataclass(frozen=True)
class Limits:
    """What ``optimize`` may try, and how much may be lost."""

    max_drop: Annotated[
        str, typer.Option("--max-drop", metavar="SHARE", help="Top-1 that may be lost, such as 1% or 0.01.")
    ] = "1%"
    train: Annotated[
        bool, typer.Option("--train", help="Also prune, distil and train in int8: needs labels and a family of ours.")
    ] = False
    classes: Annotated[
        Path | None, typer.Option("--classes", metavar="FILE", help="Names of the outputs, one a line, in order.")
    ] = None
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be decoded.")
    ] = False
    seconds: Annotated[float, typer.Option("--seconds", help="Time limit for timing all variants.")] = 30.0


@verb
def optimize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A family's name, package.module:function, or a float ONNX file.")
    ],
    options: Options,
    limits: Limits,
    preprocessing: Preprocessing,
    data: Annotated[
        Path, typer.Option("--data", help="A folder of images, in one folder a class if labels are known.")
    ],
) -> None:
    """Make your own network faster: try what applies, measure it, deliver the fastest within the budget."""
    from pipeline.optimize import folder_for
    from pipeline.optimize import optimize as optimize_network
    from pipeline.wishes import wishes_of

    out = options.out or folder_for(model)
    own: dict[str, Any] = {
        "weights": options.weights,
        "settings": options.settings,
        "seed": options.seed,
        "threads": options.threads,
    }
    wishes = wishes_of(**vars(limits), **vars(preprocessing), **own)
    results = optimize_network(model, data, wishes, out, device=options.device, console=options.console())
    tell_results(options, results, out)


def check_ruler(options: Options) -> None:
    """Run the self-test; it fails as a gate does."""
    from pipeline.progress import shown
    from pipeline.self_test import self_test

    with shown(options.console(), "self-test") as progress:
        found = self_test(progress=progress)
    options.tell(found.text(), found.model_dump(mode="json"))
    if not found.passed:
        raise GateFailed("the ruler cannot be trusted on this machine now", "stop other programs and try again")
