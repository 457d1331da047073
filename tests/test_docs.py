"""What README and docs/ repeat of the code is what the code says, and their links lead somewhere."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest

import bertspace
from bertspace import hardware, policy, recipes
from bertspace.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
UNITS = {"MiB": 1024**2, "GiB": 1024**3, "GB": 10**9}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    return text(name).split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its header."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if not set(cells[0]) <= {"-"}][1:]


def anchors(page: Path) -> set[str]:
    """GitHub's ids of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0, command
    return capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\[[^]]*\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    for place, anchor in links:
        target = page.parent / place if place else page
        assert target.is_file(), place
        assert not anchor or anchor in anchors(target), f"{place}#{anchor}"


def test_the_readme_is_a_page_with_pictures_that_leads_to_every_other() -> None:
    readme = text("README.md")
    assert len(readme.splitlines()) <= 120
    assert re.search(r"!\[[^]]+\]\(docs/[\w-]+\.png\)", readme)
    for page in PAGES:
        assert page.name == "README.md" or f"({page.relative_to(ROOT).as_posix()})" in readme, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_has_flags_that_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rest in re.findall(r"-m bertspace (\w+)(.*)$", page.read_text(encoding="utf-8"), re.M):
        known = help_of(capsys, name)
        assert all(flag in known for flag in re.findall(r"--[\w-]+", rest)), (name, rest)


def test_every_module_that_is_run_exists() -> None:
    run = re.findall(r"-m (bertspace[\w.]*)", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    assert run and all(find_spec(name) for name in run)


def test_every_command_and_action_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"^    (\w+) ", help_of(capsys).split("COMMAND", 2)[2], re.M))
    listed = section("docs/runs.md", "The command line")
    assert commands == set(re.findall(r"^    python -m bertspace (\w+)", listed, re.M))
    actions = set(re.findall(r"^    (\w+) ", help_of(capsys, "runs").split("ACTION", 2)[2], re.M))
    table = rows(section("docs/runs.md", "The queue and a run's states"))
    assert actions == {word for cells in table for word in re.findall(r"`(?:runs )?(\w+)`", cells[0])}


def test_every_flag_of_push_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    flags = set(re.findall(r"--[a-z-]+", help_of(capsys, "push"))) - {"--help", "--json"}
    table = rows(section("docs/hub.md", "Publishing a run"))
    assert flags == {flag for cells in table for flag in re.findall(r"--[a-z-]+", cells[0])}


def test_every_recipe_has_its_row() -> None:
    assert {cells[0] for cells in rows(section("docs/data.md", "Recipes"))} == set(recipes.NAMES)


def test_every_limit_has_its_row_and_its_default() -> None:
    table = {cells[0].strip("`"): cells[-1] for cells in rows(section("docs/space.md", "Limits"))}
    for each in fields(policy.Limits):
        number, _, unit = table[f"BERTSPACE_MAX_{each.name.upper()}"].partition(" ")
        most = float(number.replace(",", "")) * UNITS.get(unit.split(",")[0], 1)
        if each.name == "memory_bytes":
            most = min(most, hardware.memory_limit_bytes() // 2)
        assert most == each.default, each.name


def test_every_variable_of_the_code_is_explained() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bertspace").rglob("*.py"))
    explained = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not {
        name for name in re.findall(r"\bBERTSPACE_[A-Z_]+[A-Z]\b", code) if f"`{name}" not in explained
    }


def test_the_tree_is_that_of_the_package() -> None:
    tree = section("docs/design.md", "The tree").split("    bertspace/\n", 1)[1].split("\n    tests/", 1)[0]
    package = ROOT / "bertspace"
    files = [path.relative_to(package).parts for path in package.rglob("*") if path.is_file()]
    there = {parts[0] + "/" * (len(parts) > 1) for parts in files if "__pycache__" not in parts}
    listed = re.findall(r"^      ([\w./]+)", tree, re.M)
    assert set(listed) == {name for name in there if not name.startswith("_")} - {"py.typed"}


def test_the_borders_are_those_that_are_tested() -> None:
    block = section("docs/design.md", "Borders").split("\n\n")[1]
    floors = re.search(r"^FLOORS = \[(.*?)\]", text("tests/test_house.py"), re.M | re.S)
    assert floors and re.findall(r"\w+", block) == re.findall(r"\w+", floors[1])[::-1]


def test_every_path_that_is_named_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:bertspace|docs|tests)/[\w./-]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), (page.name, path)


def test_the_changelog_begins_with_this_version() -> None:
    assert re.findall(r"^## \[([^]]+)\]", text("CHANGELOG.md"), re.M)[0] == bertspace.__version__


def test_the_front_matter_is_what_a_space_accepts() -> None:
    import yaml

    front = yaml.safe_load(text("README.md").split("---")[1])
    assert front["sdk"] == "gradio" and (ROOT / front["app_file"]).is_file()
    assert len(front["short_description"]) <= 60
    requirement = next(line for line in text("requirements.txt").splitlines() if "gradio[" in line)
    low = re.search(r">=(\d+)\.(\d+)", requirement)
    assert low and tuple(map(int, front["sdk_version"].split(".")[:2])) >= tuple(map(int, low.groups()))
