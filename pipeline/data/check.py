"""What a data set holds, file by file: ``edgewright data check``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from pipeline.data._decode import Examined
from pipeline.data.photographs import PhotographSource, listed, relative, samples
from pipeline.dataset import Samples, Source, read_source
from pipeline.errors import DataError, UsageError
from pipeline.plugin import did_you_mean, discover
from pipeline.progress import Progress, silent
from pipeline.spec import Value

NAMES = 3  # shown of each finding; --json has all
CLASSES = 10  # counted one by one in text; --json has all


class Finding(Value):
    """Something worth knowing of some files.

    Attributes:
        kind: "refused", "converted", "passed by" or "duplicate".
        said: what is so, and what is done about it.
        files: paths below the data set's folder, or numbers such as ``test[7]``.
    """

    kind: str
    said: str
    files: tuple[str, ...]

    def line(self) -> str:
        where = f": {listed(self.files, NAMES)}" if self.files else ""
        return f"{self.kind:<10} {self.said}{where}"


class Checked(Value):
    """What was found.

    Attributes:
        findings: refused files first.
        counts: usable images by split and class.
        widths, heights: least, median and largest, in pixels.
    """

    name: str
    findings: tuple[Finding, ...]
    counts: dict[str, dict[str, int]]
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]

    @property
    def refused(self) -> int:
        """How many things make the data set unusable as it is."""
        return sum(max(1, len(finding.files)) for finding in self.findings if finding.kind == "refused")

    def text(self) -> str:
        """One line a finding, then the summary."""
        lines = [*(finding.line() for finding in self.findings), *([""] if self.findings else [])]
        lines += [f"{part:<10} {_counted(by_class)}" for part, by_class in self.counts.items()]
        for name, (least, middle, largest) in (("width", self.widths), ("height", self.heights)):
            lines.append(f"{name:<10} {least} to {largest} pixels, median {middle}")
        total = sum(sum(by_class.values()) for by_class in self.counts.values())
        classes = max(map(len, self.counts.values()), default=0)
        verdict = f"{self.refused} refused" if self.refused else "everything can be used"
        return "\n".join([*lines, f"{self.name}: {total:,} images of {classes:,} classes; {verdict}"])


def _counted(by_class: Mapping[str, int]) -> str:
    total = f"{sum(by_class.values()):,} images"
    if len(by_class) <= CLASSES:
        return f"{total}: {', '.join(f'{name} ({count:,})' for name, count in by_class.items())}"
    seen = sum(count > 0 for count in by_class.values())
    most = max(by_class.values())
    return f"{total} of {seen:,} of {len(by_class):,} classes, {min(by_class.values())} to {most} of each"


def asked_for(text: str) -> Source:
    """The data set that a command line means: its name, a folder, or an npz.

    Raises:
        UsageError: it is none of these.
    """
    known = discover("data")
    if text.partition(":")[0] in known:
        return read_source(text)
    path = Path(text).expanduser()
    if path.suffix == ".npz" or path.is_dir():
        return read_source(f"{'npz' if path.suffix == '.npz' else 'folder'}:{text}")
    names = ", ".join(sorted(known))
    raise UsageError(f"{text!r} is no folder, no npz and no data set{did_you_mean(text, known)}", f"one of: {names}")


def check(source: Source, progress: Progress = silent) -> Checked:
    """Look at every image anew, and remember what is found.

    Raises:
        DataError: files or folders are missing, so that there is nothing to look at.
    """
    if isinstance(source, PhotographSource):
        return _check_files(source, progress)
    data = source.load(progress)
    names = {part: [f"{part}[{index}]" for index in range(len(data.parts[part]))] for part in data.parts}
    sizes = [image.shape[:2] for image in data.raw_test]
    return Checked(
        name=data.source,
        findings=tuple(duplicates(data.parts, names)),
        counts=counts(data.parts, data.splits.classes),
        widths=_spread(width for _, width in sizes),
        heights=_spread(height for height, _ in sizes),
    )


def _check_files(source: PhotographSource, progress: Progress) -> Checked:
    from pipeline.data._index import examined

    listing = source.listing()
    facts = examined(listing.root, listing.files, progress, anew=True)
    usable = listing.without({file for file, found in facts.items() if found.problem})
    parts, problem = _parts(source, samples(usable, facts, source.spec()), listing.classes)
    names = {part: [relative(file, listing.root) for file in found.images.files] for part, found in parts.items()}  # type: ignore[attr-defined]
    passed_by = {file: f"no image by its ending, {file.suffix or 'none'}" for file in listing.passed_by}
    return Checked(
        name=source.source(usable),
        findings=(
            *problem,
            *_findings("refused", ((file, text.problem) for file, text in facts.items() if text.problem), listing.root),
            *_findings("converted", _notes(facts), listing.root),
            *_findings("passed by", passed_by.items(), listing.root),
            *duplicates(parts, names),
        ),
        counts=counts(parts, listing.classes),
        widths=_spread(facts[file].width for file in usable.files),
        heights=_spread(facts[file].height for file in usable.files),
    )


def _parts(
    source: PhotographSource, listed_parts: dict[str, Samples], classes: tuple[str, ...]
) -> tuple[dict[str, Samples], tuple[Finding, ...]]:
    """The splits a run would use; the parts as listed, and why, where there are too few images for that."""
    try:
        splits, test = source.divided(listed_parts, classes)
    except DataError as error:
        return listed_parts, (Finding(kind="refused", said=error.cause, files=()),)
    return {"train": splits.train, "validation": splits.validation, "test": test}, ()


def _notes(facts: Mapping[Path, Examined]) -> Iterable[tuple[Path, str]]:
    return ((file, note) for file, found in facts.items() for note in found.notes if not found.problem)


def _findings(kind: str, said: Iterable[tuple[Path, str]], root: Path) -> list[Finding]:
    """One finding for each thing said, with all its files."""
    groups: dict[str, list[str]] = {}
    for file, text in said:
        groups.setdefault(text, []).append(relative(file, root))
    return [Finding(kind=kind, said=text, files=tuple(files)) for text, files in groups.items()]


def counts(parts: Mapping[str, Samples], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Images by split and class."""
    import numpy as np

    found = {part: np.bincount(some.labels_N, minlength=len(classes)).tolist() for part, some in parts.items()}
    return {part: dict(zip(classes, numbers, strict=True)) for part, numbers in found.items()}


def duplicates(parts: Mapping[str, Samples], names: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Images that are there more than once, the worst kind first."""
    places: dict[str, list[tuple[str, int, str]]] = {}
    for part, found in parts.items():
        for sha256, label, name in zip(found.images.hashes(), found.labels_N.tolist(), names[part], strict=True):
            places.setdefault(sha256, []).append((part, label, name))
    groups: dict[str, list[str]] = {}
    for same in places.values():
        if len(same) > 1:
            groups.setdefault(_kind_of(same), []).extend(name for _, _, name in same)
    return [Finding(kind="duplicate", said=said, files=tuple(groups[said])) for said in KINDS if said in groups]


KINDS = (
    "the same image with different labels",
    "the same image in more than one split",
    "the same image more than once in a split",
)


def _kind_of(same: list[tuple[str, int, str]]) -> str:
    if len({label for _, label, _ in same}) > 1:
        return KINDS[0]
    return KINDS[1] if len({part for part, _, _ in same}) > 1 else KINDS[2]


def _spread(sizes: Iterable[int]) -> tuple[int, int, int]:
    """Least, median and largest; zeros where there is nothing."""
    known = list(sizes) or [0]
    return min(known), round(median(known)), max(known)
