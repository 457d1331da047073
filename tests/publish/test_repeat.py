"""A published run trained again by the one command on its card, from what lies in its repository."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bertspace import runs
from bertspace.cli import main
from bertspace.data.origin import Origin, origin
from bertspace.data.tables import Table
from bertspace.publish import RunFacts, card, repeat
from bertspace.runs import Run
from bertspace.schema import TrainConfig

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_snippet: None) -> Iterator[None]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface" / "hub"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    yield


ROWS = [f"we saw the {a} {b} {c}" for a in ("good", "bad") for b in ("ship", "sea", "dog") for c in "abcd"]
QUICK = ["--epochs", "1", "--batch-size", "8", "--max-length", "16"]


def losses(run: Run) -> list[float | None]:
    return [event.loss for event in run.events()[0] if event.kind == "step"]


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def command_of(text: str) -> list[str]:
    """The words after `python -m bertspace` of the card's command."""
    line = next(line for line in text.splitlines() if line.startswith("python -m bertspace train"))
    return shlex.split(line)[3:]


@pytest.mark.parametrize("kind", ["sample", "files"])
def test_the_cards_one_command_reaches_the_same_losses_bit_for_bit(
    kind: str, hub: Any, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", hub.user("alice"))
    hub.put("base/tiny", tiny_bert)
    given = ["--dataset", "sample:office", "--max-train-rows", "40", "--validation-share", "0.2"]
    mine = tmp_path / "of mine"
    if kind == "files":
        mine.mkdir()
        rows = "".join(f"{number},{row},{'good' in row}\n" for number, row in enumerate(ROWS))
        (mine / "my rows.csv").write_text(f"id,title,kind\n{rows}")
        given = [
            "--train-file",
            str(mine / "my rows.csv"),
            "--text-column",
            "title",
            "--label-column",
            "kind",
        ]
    first = document(capsys, "train", "--model", "base/tiny", *given, *QUICK, "--push-to", "alice/again")
    files = hub.files("alice/again")
    there = tmp_path / "copy"
    for name in ("config.yaml", "environment.json", "data.json"):
        (there / "training").mkdir(parents=True, exist_ok=True)
        (there / "training" / name).write_bytes(files[f"training/{name}"])
        assert str(tmp_path) not in files[f"training/{name}"].decode()
    words = command_of(files["README.md"].decode())
    assert str(tmp_path) not in " ".join(words)
    monkeypatch.chdir(there)
    again = document(capsys, *(str(mine) if word == repeat.FILES_FOLDER else word for word in words))
    assert losses(runs.find(first["run"])) == losses(runs.find(again["run"])) != []
    assert again["validation"] == first["validation"]


def test_the_settings_are_resolved_and_the_data_told_by_their_origin(
    hub: Any, tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{row},{'good' in row}\n" for row in ROWS)
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    done = document(
        capsys, "train", "--model", str(tiny_bert), "--train-file", str(tmp_path / "rows.csv"), *QUICK
    )
    run = runs.find(done["run"])
    texts = repeat.texts(RunFacts(run), rows=False)
    told = yaml.safe_load(texts[repeat.CONFIG])
    assert TrainConfig.from_dict(told).train_file == "rows.csv"
    assert told["learning_rate"] > 0 and told["dropout"] == 0.1 and told["precision"] in ("bf16", "fp32")
    assert (told["model"], told["text_column"]) == (tiny_bert.name, told["text_column"])
    environment, data = json.loads(texts[repeat.ENVIRONMENT]), json.loads(texts[repeat.DATA])
    wanted = {"bertspace", "torch", "transformers", "accelerate", "datasets", "tokenizers", "device"}
    assert wanted | {"precision", "processes", "threads"} <= set(environment)
    file = data["origin"]["files"]["train"]
    assert file["columns"] == ["text", "label"] and len(file["sha256"]) == 64
    made = card.write(card.describe(RunFacts(run), "alice/x"))
    assert file["sha256"] in made and repeat.BASE in made and repeat.FILES_FOLDER in made
    assert not [row for row in ROWS if row in made or row in "".join(texts.values())]
    shown = card.write(card.describe(RunFacts(run), "alice/x", texts=True))
    assert [row for row in ROWS if row in shown]


def test_rows_stand_on_a_card_unasked_where_everybody_may_read_them(hub: Any, tmp_path: Path) -> None:
    hub.put("owner/open", {"rows.csv": b"x"}, kind="dataset")
    hub.put("owner/closed", {"rows.csv": b"x"}, kind="dataset", private=True)
    hub.put("owner/gated", {"rows.csv": b"x"}, kind="dataset", gated=True)
    found = {}
    for name in ("sample:office", "owner/open", "owner/open@0123", "owner/closed", "owner/gated", ""):
        run = Run(tmp_path / f"run-{len(found)}")
        (run.path / "data").mkdir(parents=True)
        about = {"source": "x", "origin": {"dataset": name, "settings": {"seed": 1}}}
        (run.path / "data" / "source.json").write_text(json.dumps(about))
        found[name] = card.shows_rows(RunFacts(run))
    assert [name for name, shown in found.items() if shown] == [
        "sample:office",
        "owner/open",
        "owner/open@0123",
    ]


def test_files_of_one_name_are_told_apart_and_a_moved_seed_claims_nothing(tmp_path: Path) -> None:
    import pandas as pd

    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "rows.csv").write_text("text\nx\n")
    config = TrainConfig(
        train_file=str(tmp_path / "train/rows.csv"), test_file=str(tmp_path / "test/rows.csv"), seed=7
    )
    frame = pd.DataFrame({"text": ["x"]})
    found = origin(config, {part: Table("rows.csv", frame) for part in ("train", "test")})
    assert found.settings == {"train_file": "rows.csv", "test_file": "rows.csv", "seed": 7}
    assert str(tmp_path) not in json.dumps([found.settings, found.files])
    given = " ".join(repeat._given(config.to_dict() | found.settings))
    assert given.count(repeat.FILES_FOLDER) == 2 and "train/rows.csv" in given and "test/rows.csv" in given
    assert Origin("owner/x@abc").hub_id == "owner/x"
    (tmp_path / "corpus.zip").write_bytes(b"x")
    packed = TrainConfig(data_dir=str(tmp_path / "corpus.zip"), train_file="in/train.tsv")
    found = origin(packed, {"train": Table("train.tsv", frame)})
    assert (found.settings["data_dir"], found.settings["train_file"]) == ("corpus.zip", "in/train.tsv")
    assert found.files["data"]["sha256"] and not found.files["train"]["sha256"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("The first line ('I love it', 'it\\'s bad') is a row.", "The first line (“…”, “…”) is a row."),
        ("Row \"a 'b' c\" stands twice.", "Row “…” stands twice."),
        ("2 of the model's own rows repeat.", "2 of the model's own rows repeat."),
        ("The label “good” is rare.", "The label “…” is rare."),
    ],
)
def test_what_a_finding_quotes_of_a_persons_rows_is_left_out(said: str, shown: str) -> None:
    assert repeat.unquoted(said) == shown


def test_the_names_of_columns_which_are_published_anyway_stay_in_a_finding() -> None:
    file = {"name": "rows.csv", "columns": ["id", "title"], "sha256": ""}
    about = {"columns": {"text": "title", "pair": "", "label": "kind"}, "origin": {"files": {"train": file}}}
    said = "The column 'kind' is taken for the label, not “id”: 'I love it' stands twice."
    shown = "The column 'kind' is taken for the label, not “id”: “…” stands twice."
    assert repeat.unquoted(said, repeat.columns(about)) == shown
    assert repeat.columns({}) == frozenset()
