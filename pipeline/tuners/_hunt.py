"""A search that several processes share and that outlives them: Optuna's, in a journal file.

A trial belongs to a worker, and a worker holds a lock that dies with its process. So a trial whose worker is gone is
seen, given up, and asked for again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from pipeline.tuners._combination import Combination, Tried

NAME = "accuracy budget"
JOURNAL, WORKERS = "journal.log", "workers"
WORKER, RESULT = "worker", "result"
RATIO, TEACHING, QUANTIZATION = "ratio", "teaching", "quantization"
WAITING_S = 0.5
ASKED_AGAIN = 8  # times as often as there are trials, before a search that only repeats itself ends


@dataclass(frozen=True)
class Space:
    """What may be combined."""

    ratios: tuple[float, ...]
    teachings: tuple[str, ...]
    quantizations: tuple[str, ...]

    def of(self, ratio: int, teaching: str, quantization: str) -> Combination:
        """Where nothing is pruned nothing is taught, so that all such combinations are one."""
        share = self.ratios[ratio]
        taught = teaching if share else self.teachings[0]
        return Combination(ratio=share, teaching=taught, quantization=quantization)

    def every(self) -> set[Combination]:
        return {
            self.of(ratio, teaching, quantization)
            for ratio in range(len(self.ratios))
            for teaching in self.teachings
            for quantization in self.quantizations
        }

    def first(self) -> list[dict[str, int | str]]:
        """What is tried before anything is known: int8 without pruning, and half of the range with all that helps."""
        middle, best = len(self.ratios) // 2, (self.teachings[-1], self.quantizations[-1])
        plain: list[dict[str, int | str]] = [
            {RATIO: 0, TEACHING: self.teachings[0], QUANTIZATION: one} for one in self.quantizations
        ]
        return [*plain, {RATIO: middle, TEACHING: best[0], QUANTIZATION: best[1]}]


class Hunt:
    """One worker's hold of the search.

    Args:
        folder: where the search is kept; every worker of it names the same.
        trials: different combinations to try, over all workers.
        seed: what is asked for is a function of it and of what is known.
    """

    def __init__(self, folder: Path, space: Space, trials: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.space, self.seed = folder, space, seed
        self.trials = min(trials, len(space.every()))
        (folder / WORKERS).mkdir(parents=True, exist_ok=True)
        self.name, self._mine = uuid.uuid4().hex, dict[int, optuna.Trial]()
        self._alive = FileLock(folder / WORKERS / self.name)
        self._alive.acquire()
        with self._deciding():
            self.study = self._opened()

    def __enter__(self) -> Hunt:
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()

    def _deciding(self) -> FileLock:
        """Held while one looks at all trials and begins one."""
        return FileLock(self.folder / "deciding.lock")

    def _opened(self) -> optuna.Study:
        journal = self.folder / JOURNAL
        lock = FileLock(f"{journal}.lock")  # Optuna's own would outlive a process that is killed
        with lock:
            whole_lines(journal)
        backend = JournalFileBackend(str(journal), lock_obj=lock)  # type: ignore[arg-type]
        study = optuna.create_study(
            storage=JournalStorage(backend),
            study_name=NAME,
            directions=["maximize", "minimize"],  # top-1, share of the latency
            load_if_exists=True,
        )
        if not study.get_trials(deepcopy=False):
            for first in self.space.first():
                study.enqueue_trial(first, skip_if_exists=True)
        return study

    def next(self, waiting: Callable[[], None] = lambda: None) -> tuple[int, Combination] | None:
        """A number and a combination to try; None where enough were tried, by whomever.

        Args:
            waiting: called again and again while other workers do the last ones.
        """
        while True:
            with self._deciding():
                self._give_up_orphans()
                done, going = len(self.tried()), len(self._trials(TrialState.RUNNING))
                asked = len(self.study.get_trials(deepcopy=False))
                if done + going < self.trials and asked < ASKED_AGAIN * self.trials:
                    found = self._asked()
                    if found is not None:
                        return found
                    continue
            if not going:
                return None
            waiting()
            time.sleep(WAITING_S)

    def tell(self, number: int, tried: Tried) -> None:
        """Keep what came out."""
        self._mine[number].set_user_attr(RESULT, tried.model_dump(mode="json"))
        if tried.speed is None:
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
        else:
            self.study.tell(number, [tried.top1, 1 / tried.speed.value], skip_if_finished=True)

    def tried(self) -> list[Tried]:
        """Every combination that has a result, once, in the order in which they were asked for."""
        results = [trial.user_attrs[RESULT] for trial in self._trials() if RESULT in trial.user_attrs]
        found = [Tried.model_validate(result) for result in results]
        return list({one.combination: one for one in reversed(found)}.values())[::-1]

    def _asked(self) -> tuple[int, Combination] | None:
        """A new trial of this worker; None where its combination is known, or being tried."""
        taken = {one.combination: one for one in self.tried()}
        going = {self._combination(trial) for trial in self._trials(TrialState.RUNNING)}
        self.study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(self._trials()))
        trial = self.study.ask()
        trial.set_user_attr(WORKER, self.name)
        self._mine[trial.number] = trial
        combination = self.space.of(
            trial.suggest_int(RATIO, 0, len(self.space.ratios) - 1),
            str(trial.suggest_categorical(TEACHING, self.space.teachings)),
            str(trial.suggest_categorical(QUANTIZATION, self.space.quantizations)),
        )
        if combination in taken:
            self.tell(trial.number, taken[combination])
            return None
        if combination in going:
            self.study.tell(trial.number, state=TrialState.FAIL)
            return None
        return trial.number, combination

    def _combination(self, trial: FrozenTrial) -> Combination | None:
        """None where its worker has not come so far."""
        names = (RATIO, TEACHING, QUANTIZATION)
        return self.space.of(*(trial.params[name] for name in names)) if set(names) <= trial.params.keys() else None

    def _trials(self, *states: TrialState) -> Sequence[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _give_up_orphans(self) -> None:
        """Trials whose worker is gone are asked for again."""
        for trial in self._trials(TrialState.RUNNING):
            worker = trial.user_attrs.get(WORKER, "")
            if worker != self.name and not (worker and held(self.folder / WORKERS / worker)):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                if trial.params:
                    self.study.enqueue_trial(trial.params)


def held(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    probe = FileLock(lock)
    with suppress(Timeout):
        probe.acquire(timeout=0)
        probe.release()
        return False
    return True


def whole_lines(journal: Path) -> None:
    """Drop, in place, a last line that a process was killed in the middle of; nobody else may be writing."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        journal.write_bytes(content[: content.rfind(b"\n") + 1])
