"""``kill -9`` at any moment costs at most the stage that was being done."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resilience_kit import finish, started
from resilience_studies import Finished, artifact_bytes, entries, temporaries, weights

from pipeline.bundle.verify import verify_folder
from pipeline.results import read_results

KILLS, SPARE = 25, 2  # a run may be over before its last moment comes
# Each sweep goes once through the whole study, on one folder, and the two share the machine.
SWEEPS = 2


@pytest.mark.slow
def test_killed_at_random_moments(small: Finished, tmp_path: Path) -> None:
    rng = random.Random(20)
    moments = sorted(rng.uniform(0, small.seconds) for _ in range(KILLS + SPARE))
    outs = [tmp_path / str(index) / "out" for index in range(SWEEPS)]
    with ThreadPoolExecutor(SWEEPS) as pool:
        kills = list(pool.map(lambda index: sweep(small, outs[index], moments[index::SWEEPS]), range(SWEEPS)))
    print(f"{kills} kills over {small.seconds:.1f} s of work")
    assert sum(kills) >= KILLS
    for out in outs:
        assert read_results(out).stages[0].status == "cached"
        assert weights(out) == weights(small.out)
        assert artifact_bytes(out).keys() == artifact_bytes(small.out).keys()
        assert temporaries(out) == []
        verify_folder(out)


def sweep(small: Finished, out: Path, moments: Sequence[float]) -> int:
    """Kill and resume at each moment of the study's work, then let it finish; returns how many died."""
    kills = sum(killed(small, out, moment) for moment in moments)
    finish(small.study, out)
    return kills


def killed(small: Finished, out: Path, moment: float) -> bool:
    """Start, kill when the work of ``moment`` seconds is done, and look at what is left."""
    seconds = {key: entry.seconds for key, entry in entries(small.out).items()}
    before = entries(out)
    with started(small.study, out) as command:
        time.sleep(max(0.2, moment - sum(seconds[key] for key in before)))
        command.send(signal.SIGKILL)
        code = command.wait()
    after = entries(out)  # raises where anything taken as finished is not whole
    assert before.keys() <= after.keys() <= seconds.keys()
    assert len(after) - len(before) >= command.stderr.count("s  done")
    assert code in (0, -signal.SIGKILL), command.stderr
    return code != 0
