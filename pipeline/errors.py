"""Every exception the project raises on purpose.

EdgewrightError
├── GateFailed             1   a budget or gate was not met
├── UsageError             2   the command line or a study says something that cannot be
│   └── DataError          2   the images or labels cannot be used
├── UnavailableError       3   a package, device or model that is needed is not here
│   ├── CorruptFile        3   a file is not the one that was written
│   └── NewerFormat        3   a file was written by a newer edgewright
├── StageFailed            4   a stage ran and did not succeed
│   ├── NotANumber         4   the loss is NaN or infinite
│   ├── ParityMiss         4   a hand-off changed the answers
│   └── Unfit              4   a format cannot hold this model
├── ResourceError          5   disk or memory ran out
├── FolderBusy            75   another run holds the output folder
├── Interrupted          130   Ctrl-C
└── Terminated           143   SIGTERM

An error is for a person: what was wrong, where, and what to do. ``lines()`` never
gives more than six lines.
"""

from __future__ import annotations

from typing import ClassVar

MAX_LINES = 6


class EdgewrightError(Exception):
    """Base of the tree.

    Args:
        cause: what was wrong, and where, in one sentence.
        fix: what to do about it; empty where nothing sensible can be advised.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, cause: str, fix: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix

    def lines(self) -> list[str]:
        """The message as at most six printable lines, the fix last."""
        cause = [line for line in self.cause.splitlines() if line.strip()]
        fix = [f"fix: {self.fix}"] if self.fix else []
        room = MAX_LINES - len(fix)
        if len(cause) > room:
            cause = [*cause[: room - 1], f"… and {len(cause) - room + 1} more"]
        return [*cause, *fix]


class GateFailed(EdgewrightError):
    exit_code = 1


class UsageError(EdgewrightError):
    exit_code = 2


class DataError(UsageError):
    pass


class UnavailableError(EdgewrightError):
    exit_code = 3


class CorruptFile(UnavailableError):
    pass


class NewerFormat(UnavailableError):
    @classmethod
    def refuse(cls, where: object, version: int, known: int) -> None:
        """Raise if ``version``, found at ``where``, is later than the latest ``known`` one."""
        if version > known:
            cause = f"{where} has schema version {version}; this edgewright knows up to {known}"
            raise cls(cause, "pip install --upgrade edgewright")


class StageFailed(EdgewrightError):
    exit_code = 4


class NotANumber(StageFailed):
    pass


class ParityMiss(StageFailed):
    pass


class Unfit(StageFailed):
    pass


class ResourceError(EdgewrightError):
    exit_code = 5


class FolderBusy(EdgewrightError):
    exit_code = 75


class Interrupted(EdgewrightError):
    exit_code = 130


class Terminated(EdgewrightError):
    exit_code = 143


def unforeseen(error: Exception) -> EdgewrightError:
    """Words and an exit code for what a library raised."""
    text = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
        return ResourceError("out of memory", "lower batch, or use a smaller model")
    return StageFailed(text, "run again with --debug to see the traceback")
