"""The architecture, held: who may import whom, where packages belong, how files look."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline

ROOT = Path(pipeline.__file__).parent
FILES = {path.relative_to(ROOT.parent).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

# From the bottom up: a file imports what stands on its own line or on one before it.
LEVELS = """
errors
spec hush memory processor
signals progress files ranks environment
aside
plugin images
dataset
model artifact
stage runtime
results study predictions
folding store stranger _dynamic_linear
measure rewrites
data models trainers pruners quantizers exporters runtimes studies browser
bench self_test
explain quantize_file factory
given
tuners
report bundle
demo
plan
execute assess
layers timing
recommend
conclude
deliver
run inventory settings
wishes
optimize
doctor verbs
bundle_verbs file_verbs
cli
__main__
"""
ORDER = {name: level for level, line in enumerate(LEVELS.split("\n")) for name in line.split()}
PLUGIN_ROOMS = {"data", "models", "trainers", "pruners", "quantizers", "exporters", "runtimes"}
SHARED_ROOM = "trainers"  # quantizers and pruners may call the one training loop

# Package -> the only places that may import it.
HOMES = {
    "onnx": (
        "pipeline/exporters/onnx.py",
        "pipeline/rewrites/",
        "pipeline/quantizers/onnx_",
        "pipeline/quantizers/_onnx_",
    ),
    "onnx_ir": (
        "pipeline/exporters/onnx.py",
        "pipeline/rewrites/",
        "pipeline/quantizers/onnx_file.py",
        "pipeline/tuners/_sketch.py",
        "pipeline/tuners/_layer_files.py",
    ),
    "onnxscript": ("pipeline/exporters/onnx.py", "pipeline/rewrites/"),
    "onnxruntime": (
        "pipeline/runtimes/onnx_runtime.py",
        "pipeline/exporters/ort.py",
        "pipeline/bundle/",
        "pipeline/quantizers/onnx_file.py",
    ),
    "openvino": ("pipeline/runtimes/open_vino.py",),
    "executorch": ("pipeline/exporters/executorch.py", "pipeline/runtimes/executorch.py"),
    "coremltools": ("pipeline/exporters/core_ml.py", "pipeline/runtimes/core_ml.py"),
    "ai_edge_litert": ("pipeline/runtimes/lite_rt.py",),
    "litert_torch": ("pipeline/exporters/_litert_convert.py",),
    "ncnn": ("pipeline/runtimes/ncnn.py",),
    "pnnx": ("pipeline/exporters/ncnn.py",),
    "optuna": ("pipeline/tuners/_hunt.py",),
    "sklearn": ("pipeline/data/digits.py",),
    "PIL": ("pipeline/data/_decode.py", "pipeline/bundle/", "pipeline/report/mistakes.py"),
    "matplotlib": ("pipeline/report/",),
    "jinja2": ("pipeline/report/",),
    "torchvision": (
        "pipeline/models/",
        "pipeline/data/",
    ),
    "torchao": (
        "pipeline/quantizers/",
        "pipeline/exporters/_integer_torch.py",
        "pipeline/exporters/_xnnpack.py",
        "pipeline/exporters/_litert_convert.py",
        "pipeline/runtimes/eager.py",
    ),
    "typer": ("pipeline/cli.py", "pipeline/bundle_verbs.py", "pipeline/file_verbs.py", "pipeline/verbs.py"),
    "torch.ao": ("pipeline/exporters/_integer_torch.py",),
    "torch.jit": ("pipeline/exporters/torchscript.py", "pipeline/runtimes/torchscript.py"),
    "pickle": ("pipeline/aside.py",),
}
HEAVY = [
    "torch",
    "torchvision",
    "torchao",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "executorch",
    "coremltools",
    "ai_edge_litert",
    "ncnn",
    "pnnx",
    "optuna",
    "sklearn",
    "scipy",
    "matplotlib",
    "PIL",
]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Full dotted names, of imports inside functions and for type checking too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses(path: Path) -> Iterator[str]:
    """Dotted attributes that are read, such as ``torch.jit``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def room(dotted: str) -> str:
    """``pipeline.pruners.groups`` -> ``pruners``; "" for the package itself."""
    return dotted.split(".")[1] if dotted.count(".") else ""


def room_of(file: str) -> str:
    return room(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))


def within(dotted: str, package: str) -> bool:
    return dotted == package or dotted.startswith(f"{package}.")


def test_every_file_has_a_place() -> None:
    assert {room_of(file) for file in FILES} - {""} <= ORDER.keys()
    assert ORDER.keys() <= {room_of(file) for file in FILES}


@pytest.mark.parametrize("file", FILES)
def test_arrows_go_down(file: str) -> None:
    own = room_of(file)
    for name in imports(FILES[file]):
        other = room(name) if within(name, "pipeline") else ""
        if own and other in ORDER and other != own:
            assert ORDER[other] <= ORDER[own], f"{file} imports {name}"
            if {own, other} <= PLUGIN_ROOMS:
                assert other == SHARED_ROOM, f"{file} imports its sibling {name}"
                assert own in ("quantizers", "pruners")


def test_no_two_files_import_each_other() -> None:
    graph = {file: {target for name in imports(FILES[file]) if (target := _file_of(name))} for file in FILES}
    done: set[str] = set()

    def visit(file: str, path: tuple[str, ...]) -> None:
        assert file not in path, " -> ".join((*path, file))
        if file not in done:
            for target in graph[file] - {file}:
                visit(target, (*path, file))
            done.add(file)

    for file in FILES:
        visit(file, ())


def _file_of(dotted: str) -> str | None:
    """The file that an import reads: a module, or the module that holds the name."""
    for name in (dotted, dotted.rpartition(".")[0]):
        file = f"{name.replace('.', '/')}.py"
        if file in FILES:
            return file
    return None


@pytest.mark.parametrize("package", HOMES)
def test_packages_stay_where_they_belong(package: str) -> None:
    for file, path in FILES.items():
        touched = [name for name in (*imports(path), *uses(path)) if within(name, package)]
        if package in ("onnx", "openvino", "onnxruntime"):
            touched = [name for name in imports(path) if within(name, package)]
        assert not touched or file.startswith(HOMES[package]), f"{file}: {touched}"


def test_nothing_imports_the_benchmarks_or_the_tests() -> None:
    names = {name.split(".")[0] for path in FILES.values() for name in imports(path)}
    assert not names & {"benchmarks", "tests"}


def test_torch_load_is_never_trusting() -> None:
    for file, path in FILES.items():
        for call in (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords), file
            if ast.unparse(call.func).endswith("np.load"):
                assert any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords), file


LISTING = f"""
import sys
from pipeline.plugin import ROOMS, discover
assert all(discover(role) for role in ROOMS)
print(*sorted(name for name in {HEAVY!r} if name in sys.modules))
"""


def test_listing_the_house_loads_nothing_heavy() -> None:
    listed = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == []


def test_the_command_starts_without_anything_heavy() -> None:
    code = f"import sys, pipeline.cli; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert started.stdout.split() == []


@pytest.mark.parametrize("file", FILES)
def test_files_are_small_and_finished(file: str) -> None:
    text = FILES[file].read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert not re.search(r"TODO|FIXME|XXX|HACK|NotImplementedError|pass +#", text)
    assert not re.search(r"/(work|home|root|Users)/\w", text)
    assert Path(file).stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("file", FILES)
def test_a_file_begins_with_what_it_is(file: str) -> None:
    text = ast.get_docstring(tree_of(FILES[file]))
    assert text
    assert text.partition("\n")[0].endswith((".", ":", "?"))


@pytest.mark.parametrize("file", FILES)
def test_functions_take_five_arguments_and_fit_on_a_screen(file: str) -> None:
    for node in ast.walk(tree_of(FILES[file])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{file}: {node.name}"


def test_the_order_is_held_against_a_wrong_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This very test can fail: an arrow that goes up is seen, however it is hidden."""
    wrong = tmp_path / "spec.py"
    wrong.write_text('"""X."""\ndef f():\n    from pipeline.run import run\n')
    monkeypatch.setitem(FILES, "pipeline/spec.py", wrong)
    with pytest.raises(AssertionError, match=r"imports pipeline\.run"):
        test_arrows_go_down("pipeline/spec.py")
