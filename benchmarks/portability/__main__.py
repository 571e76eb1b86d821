"""The same int8 file, the same answers? Asked of ONNX Runtime on this machine and on emulated processors.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.portability
    python -m benchmarks.portability model-int8.onnx --data PHOTOS

x86 without VNNI adds products of int8 in pairs, in 16 bits that saturate; ARM has kernels of its own. Debian's
qemu-user emulates both for one process, an image in seconds; Python for ARM is fetched once. Files of yours, or
artifacts, are compared with images of a folder: prints a table, and exits 1 where an answer differs.
Without files: int8 files of three networks, plain and portable. EfficientNet-Lite0 has trained float weights,
MobileNetV2 trained ones that lie on an 8-bit grid, MobileNetV3-Small random ones. Writes ``portability.json`` and
``portability-processors.json`` to ``benchmarks/results/<machine>/``. Takes hours on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.figure import tell
from benchmarks.machine import results_folder
from benchmarks.portability.cases import FLOAT, NETWORKS, Case, of_files, of_network
from benchmarks.portability.compare import compare
from benchmarks.portability.figures import cost, figures_of
from benchmarks.portability.processors import PROCESSORS, Processor
from benchmarks.portability.record import NAME, Record, Row, markdown
from pipeline.errors import EdgewrightError
from pipeline.measure.machine import machine_facts, versions
from pipeline.progress import shown
from pipeline.settings import wanted_int8

COMMAND = "python -m benchmarks.portability"


def main() -> int:
    asked = arguments()
    chosen = tuple(one for one in PROCESSORS if not one.model or one.model in (asked.processors or [one.model]))
    try:
        with tempfile.TemporaryDirectory() as temporary:
            work = asked.work or Path(temporary)
            return files(asked, chosen, work) if asked.files else networks(asked.images, chosen, work)
    except EdgewrightError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    models = [one.model for one in PROCESSORS if one.model and not one.settings]
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.onnx", help="or an artifact's folder")
    parser.add_argument("--data", type=Path, help="a folder of images for the files; labels are not needed")
    parser.add_argument("--images", type=int, default=100, help="how many; an emulated one takes seconds")
    parser.add_argument("--mean", default="0.485,0.456,0.406", help="of the files' input, in units of 0…1 images")
    parser.add_argument("--std", default="0.229,0.224,0.225", help="of the files' input, in units of 0…1 images")
    parser.add_argument("--processors", nargs="*", choices=models, help="besides this machine; all unless given")
    parser.add_argument("--work", type=Path, help="keep what is made here, and use again what is here")
    asked = parser.parse_args()
    if asked.files and asked.data is None:
        parser.error("files need --data")
    return asked


def files(asked: argparse.Namespace, processors: Sequence[Processor], work: Path) -> int:
    """Somebody's files: the exit code, 1 where an answer differs."""
    wanted = wanted_int8(mean=asked.mean, std=asked.std, shape=None, images=asked.images)
    found = record(rows(of_files(asked.files, asked.data, wanted, work), processors))
    print(markdown(found))
    return 0 if all(row.parity is None or row.parity.max_difference == 0 for row in found.rows) else 1


def networks(images: int, processors: Sequence[Processor], work: Path) -> int:
    """Ours: the exit code, 1 where a promise is not kept."""
    cases = [case for name in NETWORKS for case in of_network(name, work, images)]
    found = record(rows((case for case in cases if case.file != FLOAT), processors))
    (results_folder() / NAME).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(markdown(found))
    return tell("portability", COMMAND, [*figures_of(found.rows), *cost(work)])


def rows(cases: Iterable[Case], processors: Sequence[Processor]) -> tuple[Row, ...]:
    """Every file in turn."""
    found: list[Row] = []
    for case in cases:
        with shown(Console(stderr=True), f"{case.network}, {case.file}") as progress:
            found += compare(case, processors, progress)
    return tuple(found)


def record(rows: tuple[Row, ...]) -> Record:
    return Record(
        command=COMMAND,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_facts(),
        versions=versions(),
        rows=rows,
    )


if __name__ == "__main__":
    sys.exit(main())
