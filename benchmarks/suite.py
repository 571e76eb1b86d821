"""Runs one suite of ``benchmarks/suites/`` and keeps its results for this machine.

    python -m benchmarks.suite NAME [options of `edgewright run`]

A suite is a study as data. Finished stages are in ``exported/<study>``: a suite that was stopped
goes on where it was, and one that is finished only renews what is asked for. The results go to
``benchmarks/results/<machine>/NAME-results.json``, the tables are written again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import keep
from benchmarks.tables import write_tables
from pipeline.results import Results, read_results
from pipeline.settings import resolve

SUITES = Path(__file__).parent / "suites"


def names() -> list[str]:
    """Every suite."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def run_suite(name: str, *options: str) -> Results:
    """Run a suite with the command that users have, and read what it found.

    Raises:
        CalledProcessError: the command failed; it has said why.
    """
    file = SUITES / f"{name}.yaml"
    command = [sys.executable, "-m", "pipeline", "run", str(file), *options]
    code = subprocess.run(command).returncode
    if code not in (0, 1):  # 1: nothing fits the budget, which is a finding too
        raise subprocess.CalledProcessError(code, command)
    return read_results(Path("exported") / resolve(str(file)).name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=names())
    asked, options = parser.parse_known_args(arguments)
    try:
        results = run_suite(asked.name, *options)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"kept as {keep(asked.name, results)}")
    write_tables()
    return 0


if __name__ == "__main__":
    sys.exit(main())
