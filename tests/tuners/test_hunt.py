from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import hunting
from hunting import SPACE, measured

from pipeline.tuners._combination import Combination, Limit, finalists, told
from pipeline.tuners._hunt import JOURNAL, Hunt


def worker(folder: Path, trials: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, hunting.__file__, str(folder), str(trials), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_search(tmp_path: Path) -> None:
    """Each combination is tried once, by one of them, and both end when all are known."""
    workers = [worker(tmp_path, 8, 0.3) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].split() for process in workers]
    assert [process.returncode for process in workers] == [0, 0]
    assert all(said)
    assert sorted([*said[0], *said[1]]) == sorted({*said[0], *said[1]})
    with Hunt(tmp_path, SPACE, 8, seed=0) as hunt:
        assert hunt.next() is None
        assert len({one.combination for one in hunt.tried()}) == 8


def test_what_a_killed_worker_was_at_is_tried_again(tmp_path: Path) -> None:
    killed = worker(tmp_path, 4, 600)
    assert killed.stdout is not None
    [number] = killed.stdout.readline().split()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')  # in the middle of a line
    with Hunt(tmp_path, SPACE, 4, seed=0) as hunt:
        left = hunt.study.get_trials()[int(number)].params
        while (asked := hunt.next()) is not None:
            hunt.tell(asked[0], measured(asked[1]))
        assert len(hunt.tried()) == 4
        assert SPACE.of(left["ratio"], left["teaching"], left["quantization"]) in {
            one.combination for one in hunt.tried()
        }


def test_a_space_that_is_smaller_than_asked_for_is_searched_whole(tmp_path: Path) -> None:
    with Hunt(tmp_path, SPACE, 1000, seed=1) as hunt:
        assert hunt.trials == 15  # nothing is taught where nothing is pruned
        while (asked := hunt.next()) is not None:
            hunt.tell(asked[0], measured(asked[1]))
        assert len(hunt.tried()) >= 12


def tried_all() -> list:
    return [measured(combination) for combination in sorted(SPACE.every(), key=lambda one: one.label)]


def test_the_fastest_within_the_limit_are_the_finalists() -> None:
    best = finalists(tried_all(), Limit(max_drop=0.01, judged_by="interval"))
    assert {(one.combination.ratio, one.combination.quantization) for one in best} == {(0.3, "aware")}
    assert finalists(tried_all(), Limit(max_drop=0.0, judged_by="interval")) == []
    plain = finalists(tried_all(), Limit(max_drop=0.0, judged_by="estimate"))
    assert [one.combination for one in plain] == [Combination(ratio=0, teaching="labels", quantization="none")]


def test_all_that_was_tried_is_told_with_its_front() -> None:
    every, chosen = tried_all(), Combination(ratio=0.3, teaching="teacher", quantization="aware")
    facts = told(every, Limit(max_drop=0.01, judged_by="interval"), chosen)
    entries = facts["tried"]
    assert len(entries) == len(every)
    assert [entry["label"] for entry in entries if entry["chosen"]] == ["30 % pruned, distilled, int8 in training"]
    places = [(-entry["top1"], -entry["speed"]["value"]) for entry in entries]
    for entry, own in zip(entries, places, strict=True):
        beaten = any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in places)
        assert entry["on_front"] != beaten
