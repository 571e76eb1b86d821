"""Int8 by four tools on five networks: how fast, how accurate, how small, beside what this project promises.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.peers.quantization [NETWORK…]

Each network is one interleaved run, like those of ``python -m benchmarks.peers``, at one thread and one
image a call. EfficientNet-Lite0 has trained float weights, MobileNetV2 trained ones that lie on an 8-bit grid,
which flatters int8; the others have random weights, with BatchNorm statistics of real images, and are
measured for speed alone. Prints the figures and the table; writes ``quantization.json`` and
``peers-quantization.json`` to ``benchmarks/results/<machine>/``. Takes half an hour on an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from benchmarks.figure import Figure, tell
from benchmarks.machine import results_folder
from benchmarks.peers.order import UNTUNED, default_models, prepare
from benchmarks.peers.peer import FLOAT, INT8
from benchmarks.peers.record import Network, Record, Row, markdown
from benchmarks.peers.together import compare
from benchmarks.untrained import untrained
from pipeline.errors import EdgewrightError
from pipeline.measure.machine import machine_facts, versions
from pipeline.progress import shown
from pipeline.study import Benchmark

if TYPE_CHECKING:
    from pipeline.models.architecture import Architecture

COMMAND = "python -m benchmarks.peers.quantization"
PEERS = ("ours", "onnxruntime_quantizer", "openvino_nncf", "executorch")
FEW_IMAGES = 8
# What quantizing MobileNetV2 on 256 images may take.
MOST_SECONDS, MOST_BYTES = 60.0, 2e9


class Promise(NamedTuple):
    """Of one network: int8 over float in speed and size, and the points of top-1 lost, where weights are trained."""

    speed: float
    smaller: float
    lost: float | None


PROMISES = {
    "MobileNetV2": Promise(2.2, 3.8, 0.5),
    "MobileNetV3-Large": Promise(1.7, 3.6, None),
    "MobileNetV3-Small": Promise(1.4, 3.5, None),
    "EfficientNetLite0": Promise(2.2, 3.8, 0.5),
    "ResNet50": Promise(3.6, 3.9, None),
}
INTEGER = 0.95  # of the operators' time, at least


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(PROMISES)}; all unless given")
    parser.add_argument("--seconds", type=float, default=150.0, help="to time all files of one network")
    parser.add_argument("--images", type=int, default=780, help="test images to tell accuracy from")
    parser.add_argument("--work", type=Path, help="keep what is made here, and use again what is here")
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            work = asked.work or Path(temporary)
            networks = run(asked.networks or tuple(PROMISES), asked.images, Benchmark(seconds=asked.seconds), work)
            figures = [*figures_of(networks, work), *cost()]
    except EdgewrightError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    keep(networks)
    return tell("quantization", COMMAND, figures)


def run(names: tuple[str, ...], images: int, benchmark: Benchmark, work: Path) -> tuple[Network, ...]:
    """Every network in turn."""
    from pipeline.dataset import read_source

    data = read_source("imagenet").load()
    trained, found = default_models(data), []
    for name in names:
        model = trained.get(name) or untrained(untrained_families()[name], data)
        order = work / name / "order"
        if name in trained:
            prepare(model, data, order, images)
        else:
            prepare(model, data, order, FEW_IMAGES, UNTUNED)
        with shown(Console(stderr=True), name) as progress:
            network = compare(name, work / name, PEERS, benchmark, progress)
        found.append(network if name in trained else without_accuracy(network))
    return tuple(found)


def untrained_families() -> dict[str, Architecture]:
    """Networks of the published form whose weights are random here."""
    from pipeline.models.mobilenet_v3 import MobileNetV3
    from pipeline.models.resnet import ResNet50

    return {
        "MobileNetV3-Large": MobileNetV3(size="large"),
        "MobileNetV3-Small": MobileNetV3(size="small"),
        "ResNet50": ResNet50(),
    }


def without_accuracy(network: Network) -> Network:
    """Random weights know nothing: what they answer is not told."""
    nothing = {"top1": None, "versus_ours": None, "agreement": None}
    return network.model_copy(update={"rows": tuple(row.model_copy(update=nothing) for row in network.rows)})


def figures_of(networks: tuple[Network, ...], work: Path) -> list[Figure]:
    """What was promised of each, and where our int8 stands among the peers'."""
    figures = []
    for network in networks:
        ours = {row.precision: row for row in network.rows if row.peer == "ours"}
        integer, promise = ours[INT8], PROMISES[network.name]
        assert integer.latency is not None
        ratio = integer.latency.ratio
        speed = f"{network.name}: int8 over float, speed [{ratio.low:.2f}, {ratio.high:.2f}]"
        figures += [
            Figure(speed, ratio.value, promise.speed, at_least=True),
            Figure(f"{network.name}: float over int8, bytes", smaller(ours), promise.smaller, at_least=True),
            Figure(f"{network.name}: time in integer kernels", share(work / network.name), INTEGER, at_least=True),
        ]
        if promise.lost is not None and integer.versus_ours is not None:
            lost = integer.versus_ours.difference
            title = f"{network.name}: points of top-1 lost [{-100 * lost.high:.2f}, {-100 * lost.low:.2f}]"
            figures.append(Figure(f"{title}, {network.images} images", -100 * lost.value, promise.lost))
    return figures


def smaller(ours: dict[str, Row]) -> float:
    return (ours[FLOAT].bytes or 0) / (ours[INT8].bytes or 1)


def share(work: Path) -> float:
    """Of the operators' time, in integer kernels."""
    import numpy as np

    from pipeline.aside import Aside
    from pipeline.explain import profile
    from pipeline.stranger import looked_at

    with Aside() as aside:
        stranger = looked_at(work / "order" / f"{INT8}.onnx", aside)
        kernels = aside.do(profile, stranger, np.load(work / "order" / "image.npy"), 1)
    return sum(kernel.ms for kernel in kernels if kernel.integer) / sum(kernel.ms for kernel in kernels)


def cost() -> list[Figure]:
    """Time and memory of quantizing MobileNetV2 on all calibration images, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.quantization_cost"], stdout=subprocess.PIPE, text=True, check=True
    )
    images, seconds, peak = done.stdout.split()[-3:]
    return [
        Figure(f"MobileNetV2: seconds to quantize on {images} images", float(seconds), MOST_SECONDS),
        Figure("MobileNetV2: peak memory of it, GB", float(peak) / 1e9, MOST_BYTES / 1e9),
    ]


def keep(networks: tuple[Network, ...]) -> None:
    record = Record(
        command=COMMAND,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_facts(),
        versions=versions(),
        threads=1,
        networks=networks,
    )
    path = results_folder() / "peers-quantization.json"
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(markdown(record))


if __name__ == "__main__":
    sys.exit(main())
