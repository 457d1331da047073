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

from tests.support import ROOT

PACKAGE = ROOT / "bertspace"

# From low to high: each imports from those before it alone; a folder is one name.
FLOORS = [
    "words",
    "errors",
    "files",
    "schema",
    "hardware",
    "processes",
    "presets",
    "drawing",
    "tasks",
    "safety",
    "hub",
    "runs",
    "data",
    "recipes",
    "models",
    "training",
    "jobs",
    "publish",
    "policy",
    "ui",
    "cli",
]
UI_FLOORS = ["frame", "access", "runs", "models", "hub", "fine_tune", "tasks", "compare", "header", "app"]
MAX_ON_TOP = 21
HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "peft", "sklearn", "scipy"}
HEAVY |= {"pandas", "gradio"}
SCRIPTS = {"demo.py", "script.py"}  # of the tasks, each run by itself and imported by nothing
ALLOWED_IN_UI = {"gradio", "pandas"}  # gradio brings pandas along


def modules(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def layer_name(path: Path) -> str:
    """The name in FLOORS of a module: `ui` for bertspace/ui/app.py, `errors` for bertspace/errors.py."""
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


def arrows(within: Path, package: str) -> Iterator[tuple[str, str, str]]:
    """(from, to, where) for each import from one part of `within`, called `package`, to another."""
    for path in modules(within):
        first = path.relative_to(within).with_suffix("").parts[0]
        for line, name in imported(ast.walk(parsed(path)), path):
            if name.startswith(f"{package}.") and first not in ("__init__", "__main__"):
                other = name.removeprefix(f"{package}.").split(".")[0]
                if other != first and not other.startswith("__"):
                    yield first, other, f"{where(path, line)} imports {name}"


@pytest.mark.parametrize(
    ("within", "package", "floors"),
    [(PACKAGE, "bertspace", FLOORS), (PACKAGE / "ui", "bertspace.ui", UI_FLOORS)],
)
def test_packages_import_from_lower_ones_only(within: Path, package: str, floors: list[str]) -> None:
    height = {name: place for place, name in enumerate(floors)}
    names = {path.relative_to(within).with_suffix("").parts[0] for path in modules(within)}
    assert names - {"__init__", "__main__"} == set(floors)
    wrong = [said for first, other, said in arrows(within, package) if height[first] < height[other]]
    assert not wrong, "\n".join(wrong)


def faces() -> dict[str, set[str]]:
    """{package: the names in its __all__} for each package below bertspace that has one."""
    found = {}
    for path in PACKAGE.glob("*/__init__.py"):
        for node in parsed(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found[path.parent.name] = set(ast.literal_eval(node.value))
    return found


def test_what_others_use_of_a_package_is_in_its_face() -> None:
    known, wrong = faces(), []
    for path in modules():
        for line, name in imported(ast.walk(parsed(path)), path):
            _, package, *rest = [*name.split("."), "", ""]
            if name.startswith("bertspace.") and package in known and package != layer_name(path):
                if rest[0] and rest[0] not in known[package]:
                    wrong.append(f"{where(path, line)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_package_says_what_it_is_for() -> None:
    wrong = [path for path in PACKAGE.rglob("__init__.py") if not ast.get_docstring(parsed(path))]
    assert not wrong


def test_no_two_modules_import_each_other() -> None:
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules()}
    below = {name: set(known) & parts_of(path) for name, path in known.items()}
    while ends := {name for name in below if not below[name] or name not in set().union(*below.values())}:
        below = {name: others - ends for name, others in below.items() if name not in ends}
    assert not below, "in circles: " + ", ".join(sorted(below))


def parts_of(path: Path) -> set[str]:
    """The modules that a module imports, and those whose names it imports from."""
    names = {name for _, name in imported(ast.walk(parsed(path)), path)}
    return names | {name.rpartition(".")[0] for name in names}


def test_few_names_stand_on_the_top_floor() -> None:
    assert len(FLOORS) <= MAX_ON_TOP


def test_nothing_outside_the_ui_imports_gradio() -> None:
    wrong = [
        where(path, line)
        for path in modules()
        if layer_name(path) != "ui" and path.name not in SCRIPTS
        for line, name in imported(ast.walk(parsed(path)), path)
        if name.split(".")[0] == "gradio"
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    wrong = []
    for path in modules():
        if path.name in SCRIPTS:
            continue
        heavy = HEAVY - ALLOWED_IN_UI if layer_name(path) == "ui" else HEAVY
        for line, name in imported(run_at_import(parsed(path)), path):
            if name.split(".")[0] in heavy:
                wrong.append(f"{where(path, line)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"),
    [("bertspace.cli", HEAVY), ("bertspace.ui", HEAVY - ALLOWED_IN_UI)],
)
def test_the_command_line_and_the_page_are_up_without_the_heavy_libraries(
    module: str, absent: set[str]
) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
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
    ours = {"bertspace", "app", "tests", "speed"}  # speed is a benchmark that another one imports
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
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.wheel
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("bertspace/")}
    there = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert held == {name for name in there if "__pycache__" not in name}
    for part in ("samples", "recipes", "starter"):
        assert any(name.startswith(f"bertspace/{part}/") for name in held), f"nothing in {part}"


@pytest.mark.slow
@pytest.mark.wheel
def test_the_installed_wheel_shows_its_help(installed: Path, tmp_path: Path) -> None:
    done = run_installed([sys.executable, "-m", "bertspace", "--help"], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


@pytest.mark.slow
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


def test_no_file_outside_the_tasks_names_a_task() -> None:
    """A task is one folder in tasks/ and one page in ui/tasks/; everything else asks TASKS."""
    from bertspace.tasks import TASKS

    own = ("tasks/", "ui/tasks/", "recipes/", "samples/")
    words = {way for name in TASKS for way in (name, name.replace("-", "_"), name.title().replace("-", ""))}
    named = re.compile("|".join(sorted(words)))
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".jinja", ".css", ".js")]
    wrong = [
        where(path, number)
        for path in files
        if not path.relative_to(PACKAGE).as_posix().startswith(own)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line)
    ]
    assert not wrong, "\n".join(wrong)
