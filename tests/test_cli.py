"""The command: every verb, what goes to stdout and to stderr, and what is loaded for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import TinyRun, copied, edgewright, finished, written

from pipeline import cli
from pipeline.errors import EdgewrightError
from pipeline.results import RESULTS, Results, read_results
from pipeline.studies import built_in
from pipeline.study import load_study

VERBS = ("run", "show", "list", "report", "compare", "verify", "doctor")
COMMON = ("--set", "--weights", "--out", "--device", "--threads", "--seed", "--json", "--quiet", "--debug")
# Only what computes: numpy is small, and hashing needs neither.
HEAVY = {"torch", "torchvision", "torchao", "onnx", "onnxruntime", "sklearn", "scipy", "matplotlib"}


@pytest.fixture(scope="module")
def tiny() -> TinyRun:
    return finished()


def test_help_names_every_verb_and_says_what_it_does() -> None:
    said = edgewright("--help")
    assert said.exit_code == 0
    assert [verb for verb in VERBS if f" {verb} " not in said.stdout] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = edgewright(verb, "--help")
    assert said.exit_code == 0
    assert [option for option in COMMON if option not in said.stdout] == []
    summary = (getattr(cli, f"{verb}_" if verb == "list" else verb).__doc__ or "?").partition("\n")[0]
    assert summary in said.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["show", "quickstart"], ["list"]])
def test_nothing_heavy_is_loaded_to_talk(arguments: list[str]) -> None:
    code = (
        "import json, sys\nfrom pipeline.cli import app\n"
        f"try:\n    app({arguments!r})\n"
        "except SystemExit:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "pipeline.cli" in loaded
    assert loaded & HEAVY == set()


def test_the_installed_command_ends_with_the_exit_code_of_the_error(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "edgewright"
    done = subprocess.run([command, "show", "quickstrat"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no study is called 'quickstrat'")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "error:" not in done.stderr


def test_what_show_prints_is_the_study(tmp_path: Path) -> None:
    said = edgewright("show", "quickstart")
    assert (said.exit_code, said.stderr) == (0, "")
    assert load_study(written(tmp_path, said.stdout)) == built_in("quickstart")


def test_show_as_json_and_with_changes() -> None:
    said = edgewright("show", "quickstart", "--json", "--set", "benchmark.rounds=7", "--seed", "3")
    shown = json.loads(said.stdout)
    assert (shown["seed"], shown["benchmark"]["rounds"]) == (3, 7)
    assert shown == {**built_in("quickstart").written(), "seed": 3, "benchmark": shown["benchmark"]}


def test_show_with_weights() -> None:
    said = edgewright("show", "quickstart", "--json", "--weights", "a.pth", "--weights", "mobilenet_v2=b.pth")
    recipes = json.loads(said.stdout)["recipes"]
    assert recipes["resnet18"][0] == {"ResNet18": {"weights": "a.pth", "stem_stride": 1}}
    assert recipes["mobilenet_v2"][0] == {"MobileNetV2": {"weights": "b.pth", "stem_stride": 1}}


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    said = edgewright("run", "quickstart", "--weights", tmp_path / "no.pth", "--out", tmp_path / "out", "--quiet")
    assert said.exit_code == 2
    assert "no.pth cannot be read: No such file or directory" in said.stderr


def test_list_as_text_and_as_json_say_the_same() -> None:
    text, rooms = edgewright("list").stdout, json.loads(edgewright("list", "--json").stdout)
    assert next(iter(rooms)) == "data"
    for room, items in rooms.items():
        assert f"{room}\n" in text
        for item in items:
            assert item.keys() == {"name", "summary", "missing"}
            assert f"  {item['name']:<20} {item['summary']}" in text


def test_doctor_as_json_and_as_text(tmp_path: Path) -> None:
    said = edgewright("doctor", "--json", "--out", tmp_path)
    checks = json.loads(said.stdout)
    assert all(check.keys() == {"name", "status", "found", "fix"} for check in checks)
    assert {check["status"] for check in checks} <= {"ok", "warn", "fail"}
    assert said.exit_code == int(any(check["status"] == "fail" for check in checks))
    assert len(edgewright("doctor").stdout.splitlines()) == len(checks)


def test_doctor_fails_where_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import doctor

    monkeypatch.setattr(doctor, "GIB", 2**70)
    said = edgewright("doctor")
    assert said.exit_code == 1
    assert "fail  disk" in said.stdout
    assert said.stderr.startswith("error: something that is needed is missing")


def test_run_prints_results_on_stdout_and_progress_on_stderr(tiny: TinyRun) -> None:
    assert tiny.said.exit_code == 0, tiny.said.stderr
    printed = Results.model_validate_json(tiny.said.stdout)
    assert printed.study == "tiny"
    assert [variant.recipe for variant in printed.variants] == ["base", "int8"]
    lines = tiny.said.stderr.splitlines()
    assert [line.partition("]")[0] for line in lines] == [f"[{step:>3}/10" for step in range(1, 11)]
    assert all(" done" in line for line in lines)


def test_a_second_run_prints_the_table_and_the_sentence(tiny: TinyRun) -> None:
    said = edgewright("run", tiny.file, "--out", tiny.out, "--threads", "1")
    assert said.exit_code == 0, said.stderr
    sentence = read_results(tiny.out).recommendation.sentence
    assert said.stdout.endswith(f"\n{sentence}\n\nreport: {tiny.out / 'report.html'}\n")
    header, *rows = [line.split() for line in said.stdout.splitlines() if line.strip(" ─")]
    assert header == ["#", "variant", "top-1", "%", "Δ", "points", "p50", "ms", "speed", "file"]
    assert [row[1] for row in rows if row[0] in ("1", "2")] == ["base", "int8"]
    assert said.stderr.count(" cached") == 10


def test_quiet_means_no_progress(tiny: TinyRun) -> None:
    said = edgewright("run", tiny.file, "--out", tiny.out, "--threads", "1", "--quiet", "--json")
    assert said.stderr == ""
    assert Results.model_validate_json(said.stdout) == read_results(tiny.out)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_missed_budget_is_told_and_is_exit_code_1(as_json: bool, tmp_path: Path) -> None:
    mine = copied(tmp_path)
    limit = ("--set", "budget.max_latency_ms=0.000001", "--quiet", *["--json"] * as_json)
    said = edgewright("run", mine.file, "--out", mine.out, "--threads", "1", *limit)
    assert said.exit_code == 1
    assert said.stderr.startswith("error: nothing fits the budget\n  fix: ")
    assert "Nothing fits the budget" in said.stdout
    assert not as_json or json.loads(said.stdout)["recommendation"]["variant"] is None


def test_report_prints_the_table_and_writes_the_page_again(tiny: TinyRun) -> None:
    page = tiny.out / "report.html"
    before = page.read_bytes()
    page.write_bytes(b"")
    said = edgewright("report", tiny.out)
    assert (said.exit_code, said.stderr) == (0, "")
    assert next(line for line in said.stdout.splitlines() if line.startswith("|")).startswith("| No.")
    assert read_results(tiny.out).recommendation.sentence in said.stdout
    assert page.read_bytes() == before
    data = json.loads(edgewright("report", tiny.out, "--json").stdout)
    assert data == json.loads((tiny.out / RESULTS).read_text())


def test_compare_a_run_with_itself(tiny: TinyRun) -> None:
    said = edgewright("compare", tiny.out, tiny.out)
    assert (said.exit_code, said.stderr) == (0, "")
    rows = [line for line in said.stdout.splitlines() if line.startswith("|")]
    assert sum(row.count("no difference shown") for row in rows) == 5  # the reference is not compared with itself
    rows = json.loads(edgewright("compare", tiny.out, tiny.out, "--json").stdout)
    assert [row["recipe"] for row in rows] == ["base", "int8"]


def test_verify_the_run(tiny: TinyRun) -> None:
    said = edgewright("verify", tiny.out)
    assert (said.exit_code, said.stderr) == (0, "")
    assert "results.json: 2 variants" in said.stdout
    assert all(line.startswith("ok  ") for line in said.stdout.splitlines())
    assert len(json.loads(edgewright("verify", tiny.out, "--json").stdout)["checked"]) == len(said.stdout.splitlines())


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("error", [EdgewrightError("on purpose", "nothing"), ValueError("by accident\nand more")])
def test_a_traceback_only_with_debug(debug: bool, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr("pipeline.inventory.inventory", broken)
    said = edgewright("list", *["--debug"] * debug)
    assert said.exit_code == 4
    assert ("Traceback" in said.stderr) == debug
    assert str(error).partition("\n")[0] in said.stderr
    assert len(said.stderr.splitlines()) <= 3 or debug
    assert ("--debug" in said.stderr) == isinstance(error, ValueError)


def test_ctrl_c_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.inventory.inventory", interrupted)
    said = edgewright("list")
    assert (said.exit_code, said.stderr) == (130, "error: interrupted\n")
