"""The same networks by other tools, beside ours in one interleaved run, in which ours may lose.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.peers [MODEL-FOLDER…]

Makes an environment for each tool (once), has each make its files from the same network and the
same calibration images, asks all for the same test images, and times all at one thread. What cannot
be made or run is a row with its reason. Prints a table, and writes ``peers.json`` to
``benchmarks/results/<machine>/``. Without model folders: EfficientNet-Lite0 and MobileNetV2 with
ImageNet weights. Takes three quarters of an hour and 10 GB of disk; wants an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.machine import results_folder
from benchmarks.peers.order import default_models, prepare
from benchmarks.peers.peer import PEERS
from benchmarks.peers.record import NAME, Network, Record, markdown
from benchmarks.peers.together import compare
from pipeline.errors import EdgewrightError
from pipeline.measure.machine import machine_facts, versions
from pipeline.progress import shown
from pipeline.study import Benchmark

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model

COMMAND = "python -m benchmarks.peers"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="MODEL-FOLDER", help="with model.json and its weights")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="besides ours; all unless given")
    parser.add_argument("--images", type=int, default=300, help="test images to tell accuracy from")
    parser.add_argument("--seconds", type=float, default=600.0, help="to time all files of one network")
    parser.add_argument("--work", type=Path, help="keep what is made here, and use again what is here")
    asked = parser.parse_args()
    peers = tuple(name for name in PEERS if name in {PEERS[0], *asked.peers})
    benchmark = Benchmark(seconds=asked.seconds)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            networks = run(asked.folders, peers, asked.images, benchmark, asked.work or Path(temporary))
    except EdgewrightError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    record = Record(
        command=COMMAND,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_facts(),
        versions=versions(),
        threads=benchmark.threads,
        networks=networks,
    )
    path = results_folder() / NAME
    path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(markdown(record))
    print(f"written to {path}")
    return 0


def run(
    folders: list[Path], peers: tuple[str, ...], images: int, benchmark: Benchmark, work: Path
) -> tuple[Network, ...]:
    """Every network in turn."""
    from pipeline.dataset import read_source

    data = read_source("imagenet").load()
    found = []
    for name, model in models(folders, data).items():
        prepare(model, data, work / name / "order", images)
        with shown(Console(stderr=True), name) as progress:
            found.append(compare(name, work / name, peers, benchmark, progress))
    return tuple(found)


def models(folders: list[Path], data: DataSet) -> Mapping[str, Model]:
    """The networks to compare, by name."""
    from pipeline.model import Model

    return {folder.name: Model.load(folder) for folder in folders} if folders else default_models(data)


if __name__ == "__main__":
    sys.exit(main())
