"""The README's tables and trees say what the code says."""

import re
from pathlib import Path

import pytest

from bertspace import recipes
from bertspace.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_recipe_has_its_row() -> None:
    assert set(re.findall(r"^\| ([a-z][\w-]+) \|", section("Recipes"), re.M)) - {"recipe"} == set(
        recipes.NAMES
    )


def test_every_module_stands_in_the_tree() -> None:
    modules = {path.name for path in (ROOT / "bertspace").glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in (ROOT / "bertspace").glob("*/__init__.py")}
    assert not {name for name in modules | folders if name not in section("What is where")}


def test_every_command_of_the_readme_has_flags_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^    python -m bertspace (\w+)(.*)$", section("The command line"), re.M)
    assert {name for name, _ in commands} == {
        "train",
        "evaluate",
        "predict",
        "compare",
        "push",
        "pull",
        "runs",
    }
    for name, rest in commands:
        try:
            main([name, "--help"])
        except SystemExit as left:
            assert left.code == 0
        known = capsys.readouterr().out
        assert all(flag in known for flag in re.findall(r"--[\w-]+", rest)), (name, rest)


def test_the_picture_is_there() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()


def test_the_front_matter_is_what_a_space_accepts() -> None:
    import yaml

    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio" and (ROOT / front["app_file"]).is_file()
    assert len(front["short_description"]) <= 60
    requirement = next(
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if "gradio[" in line
    )
    low = re.search(r">=(\d+)\.(\d+)", requirement)
    assert low and tuple(map(int, front["sdk_version"].split(".")[:2])) >= tuple(map(int, low.groups()))
