"""The rules of the house: who may import whom, what is loaded when, and what an installation brings."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bertspace"

# From low to high: a module imports from its own layer and from those before it. A folder is one name.
LAYERS = [
    {"errors", "schema"},
    {"tasks", "hub", "hub_client", "hub_cache", "hub_room", "hub_words", "hub_reasons", "needs"}
    | {"hub_commit", "hub_names", "hub_adapters", "loadable", "belongings"}
    | {"metrics", "hardware", "runs", "scales", "processes", "layout", "wire", "confine"},
    {
        "data",
        "run_data",
        "columns",
        "labels",
        "alike",
        "splitting",
        "origin",
        "hub_data",
        "hub_confined",
        "unpacked",
    }
    | {"tables", "reading", "decoding", "delimited", "header", "archives", "published", "squad"},
    {
        "models",
        "weights",
        "held_out",
        "tokens",
        "unknown",
        "tuning",
        "sharding",
        "probe",
        "batching",
        "evaluation",
        "recipes",
    }
    | {"presets", "old_checkpoints", "old_bert", "tf_checkpoint", "apart"}
    | {"intervals", "verdict"},
    {
        "session",
        "baseline",
        "checkpoints",
        "steps",
        "progress",
        "training",
        "queue",
        "worker",
        "inference",
        "apart_server",
        "forecast",
        "pace",
    },
    {
        "engine",
        "comparison",
        "policy",
        "export",
        "publish",
        "repeat",
        "roundtrip",
        "card",
        "deploy",
        "companion",
    },
    {"ui", "cli", "adapter"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer} | {"__init__": 0}
HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "peft", "sklearn", "scipy"}
HEAVY |= {"pandas", "gradio"}
ALLOWED_IN_UI = {"gradio", "pandas"}  # gradio brings pandas along


def modules(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def layer_name(path: Path) -> str:
    """The name in LAYERS of a module: `ui` for bertspace/ui/render.py, `data` for bertspace/data.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(nodes: Iterator[ast.AST], path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import among the nodes; `from a import b` counts as a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package_of(path, node.level), node.module)))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def package_of(path: Path, level: int) -> str:
    """What `level` leading dots stand for in this file; nothing where there are none."""
    return ".".join(path.relative_to(ROOT).parts[:-level]) if level else ""


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one that run on import: no function bodies, and nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_module_has_its_place_in_the_layers() -> None:
    unplaced = {layer_name(path) for path in modules()} - HEIGHT.keys() - {"__main__"}
    assert not unplaced, f"add them to LAYERS: {sorted(unplaced)}"


def test_modules_import_from_their_own_layer_or_a_lower_one() -> None:
    wrong = []
    for path in modules():
        height = HEIGHT.get(layer_name(path), len(LAYERS))
        for line, name in imported(ast.walk(parsed(path)), path):
            first, *rest = name.split(".")
            if first == "bertspace" and rest and HEIGHT.get(rest[0], 0) > height:
                wrong.append(f"{where(path, line)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_outside_the_ui_imports_gradio() -> None:
    wrong = [
        where(path, line)
        for path in modules()
        if layer_name(path) != "ui"
        for line, name in imported(ast.walk(parsed(path)), path)
        if name.split(".")[0] == "gradio"
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    wrong = []
    for path in modules():
        heavy = HEAVY - ALLOWED_IN_UI if layer_name(path) == "ui" else HEAVY
        for line, name in imported(run_at_import(parsed(path)), path):
            if name.split(".")[0] in heavy:
                wrong.append(f"{where(path, line)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "absent"),
    [("bertspace.cli", HEAVY), ("bertspace.ui", HEAVY - ALLOWED_IN_UI)],
)
def test_the_command_line_and_the_page_are_up_without_the_heavy_libraries(
    module: str, absent: set[str]
) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert absent & set(done.stdout.split()) == set()


def requirements(file: str) -> dict[str, str]:
    """{normalised distribution name: version range} of a requirements file."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    parts = [re.match(r"([\w.-]+)(?:\[\w+\])?(.*)", line) for line in lines if line[:1].isalpha()]
    return {normalised(part[1]): part[2] for part in parts if part}


def normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def undeclared(paths: list[Path], declared: set[str]) -> list[str]:
    """Each import of something that is neither Python's, ours, nor from a declared distribution."""
    ours = {"bertspace", "app", "conftest", "benchmarks", "browser", "hub"} | {
        path.stem for path in modules(ROOT / "tests")
    }
    distributions = packages_distributions()
    wrong = []
    for path in paths:
        for line, name in imported(ast.walk(parsed(path)), path):
            first = name.split(".")[0]
            if first in sys.stdlib_module_names or first in ours:
                continue
            if not {normalised(owner) for owner in distributions.get(first, [first])} & declared:
                wrong.append(f"{where(path, line)} imports {first}")
    return wrong


def test_what_the_package_imports_is_declared() -> None:
    paths = [*modules(), *ROOT.glob("app.py")]
    assert undeclared(paths, set(requirements("requirements.txt"))) == []


def test_what_the_tests_import_is_declared() -> None:
    declared = requirements("requirements.txt") | requirements("requirements-test.txt")
    assert undeclared(modules(ROOT / "tests"), set(declared)) == []


def test_every_requirement_of_the_package_has_a_range() -> None:
    ranges = requirements("requirements.txt")
    assert {name for name, range_ in ranges.items() if not re.fullmatch(r">=.+,<.+|==.+", range_)} == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that no build folder is left in the tree or leaks into the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(PACKAGE, source / "bertspace", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", str(source), "--no-build-isolation", "--wheel-dir", str(folder))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and nothing else in it; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", str(wheel), "--target", str(folder))
    return folder


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *arguments, "--no-deps", "--no-index"]
    subprocess.run(command, check=True, timeout=300)


def run_installed(command: list[str], folder: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.wheel
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("bertspace/")}
    there = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert held == {name for name in there if "__pycache__" not in name}
    for part in ("samples", "recipes", "starter"):
        assert any(name.startswith(f"bertspace/{part}/") for name in held), f"nothing in {part}"


@pytest.mark.wheel
def test_the_installed_wheel_shows_its_help(installed: Path, tmp_path: Path) -> None:
    done = run_installed([sys.executable, "-m", "bertspace", "--help"], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


@pytest.mark.wheel
@pytest.mark.needs_starter
def test_the_installed_wheel_answers_with_the_starter(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "bin" / "bertspace"), "predict", "starter", "Paris is the [MASK] of France."]
    done = run_installed([*command, "--json"], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "capital" in json.dumps(json.loads(done.stdout))  # only the adapter inside the wheel knows that


def test_no_command_is_told_that_the_installation_does_not_make() -> None:
    """README's installation runs from the sources: there is no program `bertspace` on the path."""
    told = re.compile(r"(?<!-m )(?<!from )\bbertspace (train|runs|predict|compare|import|push|pull)\b")
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if told.search(line) and not line.startswith('"""')], path
