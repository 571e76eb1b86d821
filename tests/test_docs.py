"""What the documents say is so: commands run, code works, tables and links are current."""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import typer.main
import yaml
from test_errors import CODES
from test_house import LEVELS

import pipeline
from benchmarks import tables
from pipeline.cli import app
from pipeline.dataset import DataSet
from pipeline.model import Model
from pipeline.plugin import ROOMS
from pipeline.settings import resolve
from pipeline.stage import Context
from pipeline.study import Study, read_study

ROOT = Path(__file__).parent.parent
README, TUTORIAL, HOW_TO, ARCHITECTURE = (
    ROOT / name for name in ("README.md", "docs/tutorial.md", "docs/how-to.md", "docs/architecture.md")
)
BIN = Path(sys.executable).parent
VERBS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TUTORIAL_CPU_S = 150  # it takes 50 to 95, as the machine is
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.(?:ya?ml|py))\n")
EXIT_CODE = re.compile(r" +# exit code (\d+)$")


def markdown_files() -> list[Path]:
    """Every page of the project; not what a run delivers, nor what an environment brings."""
    folders = (ROOT, *(ROOT / name for name in ("docs", "docs/decisions", "exported", "benchmarks", "tests")))
    results = (ROOT / "benchmarks" / "results").rglob("*.md")
    return sorted([*(path for folder in folders for path in folder.glob("*.md")), *results])


def blocks(page: Path, *languages: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[str]:
    """Lines that a reader types."""
    lines = "".join(blocks(page, "console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def script() -> ModuleType:
    """``scripts/write_reference.py``, which is not in a package."""
    return load(ROOT / "scripts" / "write_reference.py")


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # where pydantic looks names up
    spec.loader.exec_module(module)
    return module


def write_named(text: str, folder: Path) -> None:
    """A block whose first line is a comment that names a file becomes that file."""
    if named := NAMED.match(text):
        (folder / named[1]).write_text(text, encoding="utf-8")


def shown_as(line: str) -> re.Pattern[str]:
    """What a line of shown output means: … is anything, and spaces are as many as there are."""
    parts = (r"\s+".join(map(re.escape, part.split())) for part in line.split("…"))
    return re.compile(r".*?".join(parts))


def play(text: str, folder: Path) -> None:
    """Run every command of a console block; its exit code and the output shown must be the real ones."""
    for typed in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *shown = typed.splitlines()
        code = EXIT_CODE.search(line)
        done = run(EXIT_CODE.sub("", line), folder)
        output = done.stdout + done.stderr
        assert done.returncode == (int(code[1]) if code else 0), f"{line}\n{output}"
        for wanted in shown:
            assert shown_as(wanted).search(output), f"{line}\ndoes not print\n{wanted}\nbut\n{output}"


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        shlex.split(line), cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )


def cpu_s() -> float:
    """Processor seconds of finished children; unlike a clock, it does not count the neighbours."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The tutorial, done from top to bottom: the folder it leaves, and the processor seconds."""
    folder, before = tmp_path_factory.mktemp("tutorial"), cpu_s()
    for language, text in FENCE.findall(TUTORIAL.read_text(encoding="utf-8")):
        write_named(text, folder)
        if language == "console":
            play(text, folder)
    return folder, cpu_s() - before


def test_a_wrong_promise_is_seen(tmp_path: Path) -> None:
    """The player of console blocks can fail: at another exit code, and at output that is not there."""
    play("$ python -c print(1,2)\n1 …\n$ python -c exit(3)  # exit code 3\n", tmp_path)
    for wrong in ("$ python -c exit(3)\n", "$ python -c print(1)  # exit code 1\n", "$ python -c print(1,2)\n1 3\n"):
        with pytest.raises(AssertionError):
            play(wrong, tmp_path)


@pytest.mark.slow
def test_the_tutorial_can_be_followed(toured: tuple[Path, float]) -> None:
    folder, seconds = toured
    assert (folder / "exported" / "small" / "bundle" / "model.onnx").is_file()
    assert seconds < TUTORIAL_CPU_S


@pytest.mark.slow
@pytest.mark.parametrize("index", range(2))
def test_how_to_code_works_on_what_the_tutorial_made(toured: tuple[Path, float], index: int) -> None:
    text = [text for text in blocks(HOW_TO, "python") if not NAMED.match(text)][index]
    done = subprocess.run([sys.executable, "-c", text], cwd=toured[0], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 3


@pytest.mark.parametrize("page", [README, HOW_TO, TUTORIAL], ids=lambda page: page.name)
def test_commands_are_understood(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "yaml"):
        write_named(text, tmp_path)
    typed = [shlex.split(line, comments=True) for line in commands(page) if not EXIT_CODE.search(line)]
    ours = [words[1:] for words in typed if words[0] == "edgewright"]
    assert ours
    for verb, *arguments in ours:
        given = VERBS[verb].make_context(verb, arguments).params
        if verb in ("run", "show"):
            resolve(given["study"], given["settings"] or ())


def test_make_targets_exist() -> None:
    targets = [line.split()[1] for line in commands(README) if line.startswith("make ")]
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def studies_in(page: Path) -> list[Study]:
    return [read_study(yaml.safe_load(text), page.name) for text in blocks(page, "yaml")]


@pytest.mark.parametrize("page", [README, HOW_TO, TUTORIAL], ids=lambda page: page.name)
def test_studies_can_be_read(page: Path) -> None:
    assert studies_in(page)


def test_readme_python_is_its_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Study] = []

    def record(study: Study) -> Any:
        asked.append(study)
        return SimpleNamespace(recommendation=SimpleNamespace(sentence="Ship it."))

    monkeypatch.setitem(vars(pipeline), "run", record)
    for text in blocks(README, "python"):
        exec(compile(text, str(README), "exec"), {"__name__": "readme"})
    assert asked == studies_in(README)


def test_the_new_stage_works(tmp_path: Path, untrained: Model, context: Context, digits: DataSet) -> None:
    for text in blocks(HOW_TO, "python"):
        write_named(text, tmp_path)
    stage = load(tmp_path / "noise.py").Noise(sigma=0.5)
    x_NCHW = digits.splits.validation.x_NCHW(0, 4)
    before = untrained.logits_NK(x_NCHW)
    noisy, again = (stage(untrained, context).logits_NK(x_NCHW) for _ in range(2))
    assert (noisy == again).all()
    assert (noisy != before).any()
    assert (untrained.logits_NK(x_NCHW) == before).all()


def test_reference_is_current() -> None:
    writer = script()
    advice = "run scripts/write_reference.py"
    assert writer.REFERENCE.read_text(encoding="utf-8") == writer.reference(), advice
    for path, cls in writer.SCHEMAS.items():
        assert path.read_text(encoding="utf-8") == writer.schema(cls), advice


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_table_is_the_committed_run() -> None:
    text = README.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines.index(tables.BEGIN) < lines.index(tables.END)
    if not list(tables.RESULTS_ROOT.glob("*/quickstart-results.json")):
        pytest.skip("no run of the quickstart is committed yet below benchmarks/results")
    assert tables.with_table(text) == text, "run python -m benchmarks.tables"


def test_readme_lists_every_verb() -> None:
    assert re.findall(r"^\| `edgewright (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE) == list(VERBS)


def test_architecture_names_every_room_and_file() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    package = ROOT / "pipeline"
    rooms = [f"`{folder.name}/`" for folder in package.iterdir() if (folder / "__init__.py").is_file()]
    files = [f"`{file.name}`" for file in package.glob("*.py") if file.name != "__init__.py"]
    assert [name for name in (*rooms, *files) if name not in text] == []
    assert {room for names in ROOMS.values() for room in names} <= {name.strip("`/") for name in rooms}


def test_architecture_draws_the_order_that_is_held() -> None:
    assert blocks(ARCHITECTURE, "text") == [LEVELS.lstrip("\n")]


def test_architecture_lists_every_exit_code() -> None:
    told = re.findall(r"^\| (\d+) \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, told)) == sorted({0, *CODES.values()})


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_no_place_on_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|home|root|Users|tmp)/\w", page.read_text(encoding="utf-8"))
