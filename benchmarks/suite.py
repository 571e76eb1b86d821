"""Runs one suite of ``benchmarks/suites/`` and keeps its results for this machine.

    python -m benchmarks.suite NAME [--set KEY=VALUE] [--device DEVICE] [--threads N]

A suite is a study as data. Finished stages are in ``exported/<study>``: a suite that was stopped
goes on where it was, and one that is finished only renews what is asked for. The results go to
``benchmarks/results/<machine>/NAME-results.json``, the tables are written again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.machine import keep
from benchmarks.tables import write_tables
from pipeline.errors import EdgewrightError
from pipeline.report.tables import markdown
from pipeline.run import run
from pipeline.settings import resolve

SUITES = Path(__file__).parent / "suites"


def names() -> list[str]:
    """Every suite."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=names())
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    try:
        study = resolve(str(SUITES / f"{asked.name}.yaml"), asked.settings)
        results = run(study, device=asked.device, threads=asked.threads)
    except EdgewrightError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    print(markdown(results))
    print(results.recommendation.sentence)
    print(f"kept as {keep(asked.name, results)}")
    write_tables()
    return 0


if __name__ == "__main__":
    sys.exit(main())
