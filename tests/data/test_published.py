"""Corpora as their authors give them away, as folders and packed: which rows they are."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from bertspace import cli, data, recipes
from bertspace.data import published, tables
from bertspace.errors import DataError
from bertspace.models import held_out
from bertspace.schema import TrainConfig
from tests.support.data import tarred, written, zipped

Packed = Callable[[Path, Mapping[str, bytes]], Path]
forms = pytest.mark.parametrize("packed", [written, zipped, tarred])


def lines(*rows: str, count: int = 1) -> bytes:
    return ("\n".join(rows * count) + "\n").encode()


COLA_TRAIN = lines('gj04\t1\t\t"The sea" was calm.', 'ks08\t0\t*\tThe "sea were calm.', count=8)
COLA_DEV = lines("l-93\t1\t\tThe lamp is red.", "c_13\t0\t??\tLamp the red is.")
COLA = {
    "cola_public/README": b"About.\n",
    "cola_public/raw/in_domain_train.tsv": COLA_TRAIN,
    "cola_public/raw/in_domain_dev.tsv": COLA_DEV,
    "cola_public/raw/out_of_domain_dev.tsv": COLA_DEV,
    "cola_public/tokenized/in_domain_train.tsv": COLA_TRAIN.lower(),
    "cola_public/tokenized/in_domain_dev.tsv": COLA_DEV.lower(),
    "cola_public/tokenized/out_of_domain_dev.tsv": COLA_DEV.lower(),
}
GLUE_COLA = {
    "CoLA/train.tsv": COLA_TRAIN,
    "CoLA/dev.tsv": COLA_DEV,
    "CoLA/test.tsv": lines("index\tsentence", "0\tA."),
}
MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
MRPC_ROWS = ('1\t10\t11\t"A storm came.\tThe storm," he said.', "0\t12\t13\tA ship went.\tThe dog came.")
MRPC_TRAIN = b"\xef\xbb\xbf" + lines(MRPC_HEADER) + lines(*MRPC_ROWS, count=8)
MRPC_TEST = b"\xef\xbb\xbf" + lines(MRPC_HEADER, *MRPC_ROWS).replace(b"\n", b"\r\n")
MICROSOFT = {"msr_paraphrase_train.txt": MRPC_TRAIN, "msr_paraphrase_test.txt": MRPC_TEST, "README.txt": b"x"}
GLUE_MRPC = {
    "MRPC/train.tsv": MRPC_TRAIN.removeprefix(b"\xef\xbb\xbf"),
    "MRPC/dev.tsv": MRPC_TEST.removeprefix(b"\xef\xbb\xbf"),
    "MRPC/test.tsv": lines(MRPC_HEADER.replace("Quality", "index"), "0\t1\t2\tA ship.\tA dog."),
    "MRPC/dev_ids.tsv": lines("10\t11"),
}
FEELINGS = ("sadness", "joy", "love", "anger", "fear", "surprise")
EMOTION = {
    "train.txt": lines(*(f"i feel the {name} of the sea;{name}" for name in FEELINGS), count=3),
    "val.txt": lines("i said; then i was happy;joy", "i am sad;sadness"),
    "test.txt": lines("the storm is near;fear"),
}
SST2 = {
    "SST-2/train.tsv": lines("sentence\tlabel") + lines("a great film \t1", "a sad , slow film \t0", count=8),
    "SST-2/dev.tsv": lines("sentence\tlabel", "a happy film \t1", "a bad film \t0"),
    "SST-2/test.tsv": lines("index\tsentence", "0\ta film"),
}
WIKITEXT = {
    f"wikitext-2/wiki.{part}.tokens": lines(" = The <unk> = ", " ", " The sea is <unk> . ", count=count)
    for part, count in (("train", 12), ("valid", 2), ("test", 1))
}
IMDB = {"aclImdb/README": b"About.\n", "aclImdb/imdbEr.txt": b"0.1\n"} | {
    f"aclImdb/{part}/{name}/{number}_{rating}.txt": f"A {name} film,\nof the {part} part: {number}.".encode()
    for part in ("train", "test")
    for name, rating in (("neg", 1), ("pos", 9))
    for number in range(6)
}
IMDB |= {f"aclImdb/train/unsup/{number}_0.txt": b"Nobody knows." for number in range(3)}
IMDB |= {"aclImdb/train/urls_pos.txt": b"http://localhost/\n"}


def squad(*asked: tuple[str, int], impossible: bool = False) -> bytes:
    """A document with an article, whose contexts have as many questions each."""
    paragraphs = []
    for context, count in asked:
        answers = [] if impossible else [{"text": "The sea", "answer_start": 0}] * 2
        qas = [
            {"id": f"q{number}", "question": "What?", "answers": answers}
            | ({"is_impossible": True} if impossible else {})
            for number in range(count)
        ]
        paragraphs.append({"context": context, "qas": qas})
    return json.dumps({"version": "1.1", "data": [{"title": "Sea", "paragraphs": paragraphs}]}).encode()


SQUAD = squad(*((f"The sea is {number}.", 2) for number in range(12)))


def rows(splits: data.Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.validation), 0 if splits.test is None else len(splits.test)


def by_recipe(name: str, place: Path) -> data.Splits:
    values = recipes.load(name, model="starter", data_dir=str(place))
    return data.load_splits(TrainConfig.from_dict(values | {"validation_share": 0.25}))


def by_file(place: Path, **more: str) -> data.Splits:
    return data.load_splits(TrainConfig(train_file=str(place), **more))


# Recipes find their rows in the published files


@forms
def test_cola_is_read_without_a_header_and_with_quotes_as_they_are(tmp_path: Path, packed: Packed) -> None:
    splits = by_recipe("cola", packed(tmp_path, COLA))
    assert rows(splits) == (12, 4, 2)
    assert set(splits.train["text"]) == {'"The sea" was calm.', 'The "sea were calm.'}
    assert data.label_counts(splits.train, splits.label_names) == {"unacceptable": 6, "acceptable": 6}


@pytest.mark.parametrize("inside", [".", "cola_public", "cola_public/raw", "cola_public/tokenized"])
def test_cola_is_found_from_each_of_its_folders(tmp_path: Path, inside: str) -> None:
    assert rows(by_recipe("cola", written(tmp_path, COLA) / inside)) == (12, 4, 2)


@forms
def test_glues_cola_is_read(tmp_path: Path, packed: Packed) -> None:
    assert rows(by_recipe("cola", packed(tmp_path, GLUE_COLA))) == (12, 4, 2)


def test_cola_with_a_header_is_read_as_before(tmp_path: Path) -> None:
    header = lines("sentence_source\tlabel\tlabel_notes\tsentence")
    rows_ = lines("gj04\t1\t\tThe sea was calm.", "gj04\t0\t*\tThe sea were calm.", count=8)
    files = {f"{name}.tsv": header + rows_ for name in ("in_domain_train", "out_of_domain_dev")}
    splits = by_recipe("cola", written(tmp_path, files))
    assert rows(splits) == (12, 4, 16)
    assert not [each for each in splits.findings if "published" in each]


@forms
@pytest.mark.parametrize(("files", "counts"), [(MICROSOFT, (12, 4, 2)), (GLUE_MRPC, (16, 2, 0))])
def test_mrpc_is_read_of_microsoft_and_of_glue(
    tmp_path: Path, packed: Packed, files: Mapping[str, bytes], counts: tuple[int, int, int]
) -> None:
    splits = by_recipe("mrpc", packed(tmp_path, files))
    assert rows(splits) == counts
    assert set(splits.train["text"]) == {'"A storm came.', "A ship went."}
    assert set(splits.train["pair"]) == {'The storm," he said.', "The dog came."}
    assert splits.label_names == ("not_equivalent", "equivalent")


@forms
def test_emotions_lines_are_split_at_their_last_semicolon(tmp_path: Path, packed: Packed) -> None:
    splits = by_recipe("emotion", packed(tmp_path, EMOTION))
    assert rows(splits) == (18, 2, 1)
    assert splits.validation["text"].tolist() == ["i said; then i was happy", "i am sad"]
    assert [splits.label_names[label] for label in splits.validation["label"]] == ["joy", "sadness"]


@forms
def test_imdbs_reviews_are_a_text_a_file(tmp_path: Path, packed: Packed) -> None:
    splits = by_recipe("imdb-domain", packed(tmp_path, IMDB))
    assert rows(splits) == (9, 3, 0)
    assert "A pos film,\nof the train part: 0." in [*splits.train["text"], *splits.validation["text"]]
    said = " ".join(splits.findings)
    assert (
        "neg 6, pos 6. The 3 texts in unsup have no label and are not read. Not read: urls_pos.txt." in said
    )


def test_a_recipe_without_its_files_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        recipes.load("cola", data_dir=str(written(tmp_path, EMOTION)))
    assert str(refused.value) == (
        "packed has no files of the recipe cola; it holds test.txt, train.txt, val.txt. Give "
        "cola_public_1.1.zip, or CoLA.zip of GLUE, as a folder or packed; or a folder with "
        "in_domain_train.tsv and out_of_domain_dev.tsv."
    )


# Without a recipe: a file, a folder or an archive as the training file


@forms
@pytest.mark.parametrize(
    ("files", "counts"),
    [
        (COLA, (16, 2, 2)),
        (GLUE_COLA, (16, 2, 0)),
        (GLUE_MRPC, (16, 2, 0)),
        (MICROSOFT, (14, 2, 2)),
        (EMOTION, (18, 2, 1)),
        (SST2, (16, 2, 0)),
        (IMDB, (10, 2, 12)),
    ],
)
def test_a_corpus_gives_its_parts_and_columns(
    tmp_path: Path, packed: Packed, files: Mapping[str, bytes], counts: tuple[int, int, int]
) -> None:
    splits = by_file(packed(tmp_path, files))
    assert rows(splits) == counts
    assert len(splits.label_names) == (6 if files is EMOTION else 2)
    assert len(set(splits.train["text"])) > 1


def test_what_is_taken_for_which_part_is_said(tmp_path: Path) -> None:
    splits = by_file(zipped(tmp_path, SST2 | {"SST-2/more.csv": b"a\nb\n"}))
    assert splits.findings[:2] == (
        "In packed.zip, train.tsv is the train part, dev.tsv is the validation part, test.tsv is the test "
        "part. Not read: more.csv.",
        "test.tsv in packed.zip has no column 'label', as train.tsv in packed.zip has, and is not read.",
    )
    assert splits.origin.parts == {"train": "train.tsv in packed.zip", "validation": "dev.tsv in packed.zip"}


@forms
def test_wikitexts_tokens_are_lines(tmp_path: Path, packed: Packed) -> None:
    splits = by_file(packed(tmp_path, WIKITEXT), task="fill-mask")
    assert rows(splits) == (24, 4, 2)
    assert splits.test is not None and splits.test["text"].tolist() == [
        " = The <unk> = ",
        " The sea is <unk> . ",
    ]


def test_each_class_of_a_folder_of_texts_is_among_the_first_rows(tmp_path: Path) -> None:
    frame = data.read_table(written(tmp_path, IMDB) / "aclImdb" / "test")
    assert frame["label"].tolist()[:4] == ["neg", "pos", "neg", "pos"]


@forms
def test_one_text_a_file_needs_no_classes(tmp_path: Path, packed: Packed) -> None:
    place = packed(tmp_path, IMDB)
    assert data.read_table(place / "aclImdb" / "train" / "unsup")["text"].tolist() == ["Nobody knows."] * 3


@forms
def test_the_one_file_in_an_archive_is_the_file(tmp_path: Path, packed: Packed) -> None:
    content = lines("text,label") + lines("a storm,sea", "a dog,land", count=6)
    place = packed(
        tmp_path, {"x/y/notes.csv": content, "x/README.txt": b"About.", "x/picture.png": b"\x89PNG"}
    )
    assert rows(by_file(place)) == (10, 2, 0)


@forms
def test_several_files_are_listed_and_one_can_be_named(tmp_path: Path, packed: Packed) -> None:
    content = lines("text,label") + lines("a storm,sea", "a dog,land", count=6)
    place = packed(tmp_path, {"x/one.csv": content, "x/two.csv": content})
    with pytest.raises(DataError) as refused:
        by_file(place)
    assert str(refused.value) == (
        f"{place.name} holds several files, and it cannot be told which one is meant: x/one.csv, x/two.csv. "
        f"Name it ({place.name}/x/one.csv), or give that file alone."
    )
    assert rows(by_file(place / "x" / "two.csv")) == (10, 2, 0)
    assert rows(data.load_splits(TrainConfig(data_dir=str(place), train_file="x/two.csv"))) == (10, 2, 0)
    with pytest.raises(DataError, match="holds no x/three.csv|no file"):
        data.load_splits(TrainConfig(data_dir=str(place), train_file="x/three.csv"))


@forms
def test_a_file_that_is_named_goes_before_the_archives_own(tmp_path: Path, packed: Packed) -> None:
    other = tmp_path / "other.csv"
    other.write_bytes(lines("label,sentence", "1,a love story", "0,a war story", "1,a story"))
    splits = by_file(packed(tmp_path, SST2), test_file=str(other))
    assert rows(splits) == (16, 2, 3)


@forms
def test_the_page_shows_an_archives_columns_and_rows(tmp_path: Path, packed: Packed) -> None:
    from bertspace.ui.fine_tune import preview

    config = TrainConfig(train_file=str(packed(tmp_path, SST2)))
    assert preview.columns_of(config) == ["sentence", "label"]
    assert preview.preview(preview.load(config), config).counts == (("train", 16), ("validation", 2))


@forms
def test_two_training_files_are_too_many(tmp_path: Path, packed: Packed) -> None:
    place = packed(tmp_path, {"a_train.csv": b"text\nx\n", "b_train.csv": b"text\nx\n"})
    with pytest.raises(DataError, match="cannot be told which one is meant: a_train.csv, b_train.csv"):
        by_file(place)


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_parquet_in_an_archive_is_not_read(tmp_path: Path, packed: Packed) -> None:
    """A guest's may unpack to anything, and is not bounded as the archive is."""
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"text": ["x"] * 9}).to_parquet(file)
    with pytest.raises(DataError, match="no file that can be read; found: rows.parquet"):
        by_file(packed(tmp_path, {"rows.parquet": file.read_bytes()}))


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = zipped(tmp_path, {"a.csv": b"text\nx\n"}).read_bytes()
    with pytest.raises(DataError, match="no file that can be read"):
        by_file(zipped(tmp_path, {"inner.zip": inner}))


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_an_empty_archive_is_refused(tmp_path: Path, packed: Packed) -> None:
    with pytest.raises(DataError, match="holds no files"):
        by_file(packed(tmp_path, {}))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder or archive"):
        data.load_splits(TrainConfig(data_dir=str(tmp_path / "none.zip"), train_file="a.csv"))
    with pytest.raises(DataError, match="There is no file none.zip"):
        by_file(tmp_path / "none.zip")


# Files alone


def test_a_published_file_alone_is_read_by_its_form(tmp_path: Path) -> None:
    place = written(tmp_path, MICROSOFT | EMOTION | {"out_of_domain_dev.tsv": COLA_DEV})
    assert list(data.read_table(place / "msr_paraphrase_test.txt")) == [
        "label",
        "id1",
        "id2",
        "sentence1",
        "sentence2",
    ]
    assert data.read_table(place / "val.txt")["label"].tolist() == ["joy", "sadness"]
    assert data.read_table(place / "out_of_domain_dev.tsv")["sentence"].tolist()[0] == "The lamp is red."


def test_a_line_in_another_form_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dev.tsv"
    file.write_bytes(lines("gj04\t1\t\tThe sea.", count=30) + b"gj04\tone\t\tThe lamp.\n")
    with pytest.raises(DataError, match=r"Line 31 of dev.tsv is no row as CoLA has them"):
        data.read_table(file)


def test_a_header_alone_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes(lines(MRPC_HEADER))
    with pytest.raises(DataError, match="no rows below its header"):
        data.read_table(tmp_path / "dev.tsv")


def test_how_a_corpus_is_read_is_said_once_for_all_its_files(tmp_path: Path) -> None:
    said = [each for each in by_file(written(tmp_path, EMOTION)).findings if "is published" in each]
    assert said == ["Read as emotion is published: columns text, label; quotes are text."]


def test_who_says_how_a_file_is_written_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "dev.tsv"
    file.write_bytes(COLA_DEV)
    assert len(published.read(file, tables.Reading(header="yes", separator="tab")).frame) == 1


def test_lines_that_end_in_other_words_stay_lines(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(lines("the sea;joy", "the lamp;light"))
    assert data.read_table(file)["text"].tolist() == ["the sea;joy", "the lamp;light"]


# SQuAD


@forms
def test_squads_contexts_are_read_once_each_to_fill_masks(tmp_path: Path, packed: Packed) -> None:
    splits = by_file(packed(tmp_path, {"train-v1.1.json": SQUAD, "dev-v1.1.json": SQUAD}), task="fill-mask")
    assert rows(splits) == (12, 12, 0)
    found = " ".join(splits.findings)
    assert "holds 24 questions: their 12 contexts are read, each once" in found
    assert "dev-v1.1.json is the validation part" in found


def test_squad_is_flat_rows(tmp_path: Path) -> None:
    file = tmp_path / "dev-v2.0.json"
    file.write_bytes(squad(("The sea.", 1), ("The lamp.", 1), impossible=True))
    frame = data.read_table(file)
    assert list(frame) == ["id", "title", "context", "question", "answers"]
    assert frame["answers"].tolist() == [{"text": [], "answer_start": []}] * 2
    file.write_bytes(squad(("The sea.", 1)))
    assert data.read_table(file)["answers"].tolist() == [{"text": ["The sea"] * 2, "answer_start": [0, 0]}]


def test_that_questions_are_no_task_yet_is_said(tmp_path: Path) -> None:
    file = tmp_path / "train-v1.1.json"
    file.write_bytes(SQUAD)
    with pytest.raises(DataError, match="answering questions is no task here yet"):
        by_file(file)
    found = held_out.read("starter", file, TrainConfig(), labelled=False)
    assert found.frame["text"].tolist()[0] == "What?"


@pytest.mark.parametrize(
    "content",
    [
        b'{"data": [{"paragraphs": 5}]}',
        b'{"data": [{"paragraphs": [{"qas": []}]}]}',
        b'{"data": [], "paragraphs": 1}',
        b'{"data": [5], "paragraphs": 1}',
        b'{"paragraphs": [',
    ],
)
def test_json_that_is_nearly_squads_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "near.json").write_bytes(content)
    with pytest.raises(DataError):
        data.read_table(tmp_path / "near.json")


def test_a_context_of_many_questions_is_counted_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 100_000)
    (tmp_path / "large.json").write_bytes(squad(("x" * 1000, 500)))
    with pytest.raises(DataError, match="has more in its rows"):
        data.read_table(tmp_path / "large.json")


# The command line


@pytest.mark.slow
@pytest.mark.needs_starter
def test_a_run_of_colas_zip_scores_another_of_its_files(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = zipped(tmp_path, COLA)
    command = ["train", "--recipe", "cola", "--data-dir", str(place), "--model", str(tiny_bert)]
    assert cli.main([*command, "--max-steps", "1", "--output", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["rows"]["test"] == 2
    for file in (
        written(tmp_path, COLA) / "cola_public/raw/in_domain_dev.tsv",
        place / "cola_public/raw/in_domain_dev.tsv",
    ):
        assert cli.main(["evaluate", str(tmp_path / "run"), "--file", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == 2


def test_a_recipe_takes_an_archive_as_its_training_file(tmp_path: Path) -> None:
    from bertspace.cli.train import settings

    values = settings("cola", {"train_file": str(zipped(tmp_path, COLA))})
    assert values["data_dir"] == str(tmp_path / "packed.zip")
    assert values["train_file"] == "raw/in_domain_train.tsv"
