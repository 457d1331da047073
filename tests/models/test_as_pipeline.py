"""What transformers.pipeline answers is what we answer: of any architecture, head, batch and padding."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertspace import models
from bertspace.cli import words
from bertspace.errors import ModelError
from bertspace.models import comparison, evaluation, inference
from bertspace.schema import TrainConfig
from bertspace.tasks import Answer
from bertspace.tasks.fill_mask.task import names_of
from bertspace.tasks.text_classification.answer import MEANINGS, Classified, meaning_in
from bertspace.ui.frame import html
from bertspace.ui.tasks import page_of
from tests.support.models import ARCHITECTURES, made

pytestmark = pytest.mark.slow

TEXTS = [
    "the keeper",
    "and the lamp wrote: no ship, two blanks and another cafe, the ship and the lamp, the keeper lit",
    "ship",
    "the naive keeper lit two lamps and wrote",
]
PAIRS = ["no ship", "two", "the keeper wrote: and another new word, and the lamp, and the ship", "cafe"]
MASKED = [
    "the [MASK] lit the lamp",
    "the ship and the [MASK], the keeper wrote: no [MASK]",
    "no[MASK]",
    "[MASK]",
]


def pipeline(task: str, folder: Path, **options: Any) -> Any:
    import transformers

    with models.quiet():
        return transformers.pipeline(task, model=str(folder), **options)


def classifier(kind: str, folder: Path, left: bool = True, **settings: Any) -> Path:
    """A tiny random classifier with scores that differ, whose tokenizer pads on the left."""
    import torch
    from transformers import AutoModelForSequenceClassification

    base = made(kind, folder / "base")
    made_folder = folder / "classifier"
    with torch.random.fork_rng(devices=[]), models.quiet():
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_pretrained(base, **settings)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.4 if "classifier" in name or "embed" in name else 0.2)
        model.save_pretrained(made_folder)
    for file in base.glob("*[vt][oe][ck][ae]*"):
        shutil.copy(file, made_folder)
    for file in base.glob("merges.txt"):
        shutil.copy(file, made_folder)
    if left:
        configure(made_folder, "tokenizer_config.json", padding_side="left")
    return made_folder


def configure(folder: Path, file: str, **changes: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flat(told: Any) -> list[dict[str, Any]]:
    """The answers to one text, which pipelines nest as they please."""
    return told[0] if isinstance(told[0], list) else told


def assert_same(found: dict[str, float], told: list[dict[str, Any]]) -> None:
    assert list(found) == [each["label"] for each in told]
    assert list(found.values()) == pytest.approx([each["score"] for each in told], abs=2e-5)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_text_has_the_scores_of_the_pipeline_whatever_stands_beside_it(kind: str, tmp_path: Path) -> None:
    folder = classifier(kind, tmp_path, num_labels=3)
    pipe = pipeline("text-classification", folder, top_k=None)
    batch = inference.predict(str(folder), TEXTS)
    for text, (found,) in zip(TEXTS, batch, strict=True):
        told = flat(pipe(text))
        assert len({round(each["score"], 3) for each in told}) == 3
        assert_same(found.scores, told)
        assert_same(inference.predict(str(folder), [text])[0][0].scores, told)
    pairs = inference.predict(str(folder), TEXTS, pairs=PAIRS)
    for text, pair, (found,) in zip(TEXTS, PAIRS, pairs, strict=True):
        assert_same(found.scores, flat(pipe({"text": text, "text_pair": pair})))


HEADS: dict[str, dict[str, Any]] = {
    "each": {"problem_type": "multi_label_classification", "num_labels": 3},
    "number": {"problem_type": "regression", "num_labels": 1},
    "numbers": {"problem_type": "regression", "num_labels": 2},
    "one label": {"num_labels": 1},
    "one of three": {"problem_type": "single_label_classification", "num_labels": 3},
}


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("head", HEADS)
def test_a_head_answers_as_the_pipeline_has_it(head: str, kind: str, tmp_path: Path) -> None:
    folder = classifier(kind, tmp_path, **HEADS[head])
    pipe = pipeline("text-classification", folder, top_k=None)
    for text, (found,) in zip(TEXTS, inference.predict(str(folder), TEXTS), strict=True):
        assert_same(found.scores, flat(pipe(text)))
        assert found.best == pipeline("text-classification", folder)(text)[0]["label"]
    wanted = {"number": "number", "numbers": "number", "one of three": ""}.get(head, "each")
    assert found.meaning == wanted == meaning_in(models.locate(str(folder)).config)


@pytest.mark.parametrize("head", ["each", "number"])
def test_such_a_head_is_neither_scored_nor_compared_and_trains_as_any_base(head: str, tmp_path: Path) -> None:
    import pandas as pd

    name = str(classifier("bert", tmp_path, **HEADS[head]))
    frame = pd.DataFrame({"text": TEXTS, "label": [0, 0, 0, 0]})
    file = tmp_path / "of other labels.csv"
    frame.replace({"label": {0: "good"}}).to_csv(file, index=False)
    for act in (
        lambda: evaluation.evaluate(models.locate(name), frame, TrainConfig(model=name)),
        lambda: comparison.compare(name, name, TEXTS),
        lambda: comparison.evaluate_file(name, file),
        lambda: comparison.compare_file(name, name, file),
    ):
        with pytest.raises(ModelError, match="cannot be scored or compared as one that chooses one of its"):
            act()
    model = models.load_model(
        models.locate(name),
        "text-classification",
        new_head=True,
        num_labels=3,
        problem_type="single_label_classification",
    )
    assert model.config.problem_type == "single_label_classification"


def test_what_the_scores_are_is_said_where_they_are_shown() -> None:
    number = [Classified("a text", {"LABEL_0": 3.25}, meaning="number")]
    assert words.prediction_words(number) == ["  LABEL_0  3.250", f"  ({MEANINGS['number']})"]
    drawn = page_of("text-classification").draw("", [html.Side("m", "red", number)])
    assert "3.25" in drawn and MEANINGS["number"] in drawn and "width:0.00%" in drawn
    each = [Classified("a text", {"toxic": 0.9, "insult": 0.8}, meaning="each")]
    assert MEANINGS["each"] in page_of("text-classification").draw("", [html.Side("m", "red", each)])
    assert MEANINGS["each"] in "\n".join(words.prediction_words(each))


def test_two_labels_of_one_name_keep_their_scores(tmp_path: Path) -> None:
    folder = classifier("bert", tmp_path, num_labels=3, id2label={0: "a", 1: "b", 2: "a"})
    ((found,),) = inference.predict(str(folder), TEXTS[:1])
    told = flat(pipeline("text-classification", folder, top_k=None)(TEXTS[0]))
    assert list(found.scores.values()) == pytest.approx([each["score"] for each in told], abs=2e-5)
    assert sorted(name[:1] for name in found.scores) == ["a", "a", "b"]


# Masks


@pytest.mark.parametrize("top_k", [1, 6])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_mask_has_the_words_of_the_pipeline_in_its_order(kind: str, top_k: int, tmp_path: Path) -> None:
    folder = made(kind, tmp_path / "model")
    configure(folder, "tokenizer_config.json", padding_side="left")
    pipe = pipeline("fill-mask", folder, top_k=top_k + 3)  # there are three rows of no token
    size = len(pipe.tokenizer)
    answers = inference.predict(str(folder), MASKED, top_k=top_k)
    for text, found in zip(MASKED, answers, strict=True):
        told = pipe(text.replace("[MASK]", pipe.tokenizer.mask_token))
        told = [told] if isinstance(told[0], dict) else told
        assert len(found) == len(told)
        for mask, all_of in zip(found, told, strict=True):
            best = [each for each in all_of if each["token"] < size][:top_k]
            assert list(mask.scores.values()) == pytest.approx([each["score"] for each in best], abs=1e-5)
            assert list(mask.scores) == names_of(pipe.tokenizer, [each["token"] for each in best])
            for name, each in zip(mask.scores, best, strict=True):
                written = pipe.tokenizer.convert_ids_to_tokens(each["token"])
                assert name.strip() == each["token_str"].strip() or name.startswith(written)


def test_two_words_that_differ_in_their_blank_alone_are_both_kept() -> None:
    from tests.support.models import roberta_tokenizer, saying

    roberta = roberta_tokenizer()
    numbers = roberta.convert_tokens_to_ids(["Ġship", "ship", "a"])
    assert names_of(roberta, numbers) == [" ship", "ship", "a"]
    assert names_of(roberta, numbers[::-1]) == ["a", "ship", " ship"]
    assert names_of(roberta, numbers[:1]) == ["ship"]
    model = saying(roberta, ["Ġship"])
    ((found,),) = fill(model, roberta, "the [MASK] at sea", top_k=len(roberta))
    assert len(found.scores) == len(roberta) and found.scores[" ship"] > 0.9


def fill(model: Any, tokenizer: Any, *texts: str, top_k: int = 5) -> list[list[Answer]]:
    from bertspace.tasks import TASKS

    return TASKS["fill-mask"].predict(model, tokenizer, texts, None, top_k)


@pytest.mark.parametrize(
    ("text", "word", "filled"),
    [
        ("the [MASK] at sea", "Ġship", "the ship at sea"),
        ("the[MASK] at sea", "Ġship", "the ship at sea"),
        ("the [MASK] at sea", "ship", "theship at sea"),
        ("the[MASK] at sea", "ship", "theship at sea"),
    ],
)
def test_a_byte_level_word_brings_its_own_blank(text: str, word: str, filled: str) -> None:
    from tokenizers import AddedToken

    from tests.support.models import roberta_tokenizer, saying

    roberta = roberta_tokenizer()
    roberta.add_special_tokens(
        {"mask_token": AddedToken("<mask>", lstrip=True, special=True)}
    )  # as RoBERTa's
    (found,) = fill(saying(roberta, [word]), roberta, text)
    assert found[0].text == filled
    marked = page_of("fill-mask").draw(text, [html.Side("m", "red", found)])
    assert f">{filled.replace('ship', '<mark', 1).partition('<')[0]}<mark" in marked


@pytest.mark.parametrize("kind", ["roberta", "deberta", "modernbert", "eurobert", "xlm-roberta", "camembert"])
def test_a_filled_text_is_the_pipelines(kind: str, tmp_path: Path) -> None:
    folder = made(kind, tmp_path / "model")
    pipe = pipeline("fill-mask", folder, top_k=1)
    for text in ("the [MASK] lit the lamp", "the keeper[MASK] lamp and ship"):
        ((found,),) = inference.predict(str(folder), [text], top_k=1)
        assert found.text == pipe(text.replace("[MASK]", pipe.tokenizer.mask_token))[0]["sequence"]


# Tokenizers


def test_a_tokenizer_without_padding_answers_a_batch_as_one_with_it(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    (folder / "vocab.txt").unlink(missing_ok=True)
    configure(folder, "tokenizer_config.json", pad_token=None, tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = models.load_tokenizer(models.locate(str(folder)))
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("[PAD]", 0)
    texts = ["the [MASK] ship", "a [MASK] on the long red sea at night"]
    for mine, other in zip(
        *(inference.predict(str(each), texts) for each in (folder, tiny_bert)), strict=True
    ):
        assert list(mine[0].scores) == list(other[0].scores)
        assert list(mine[0].scores.values()) == pytest.approx(list(other[0].scores.values()), abs=1e-6)


def test_any_token_pads_where_none_was_meant_for_it(tmp_path: Path) -> None:
    folder = made("roberta", tmp_path / "model")
    said = json.loads((folder / "tokenizer.json").read_text())
    said["model"]["vocab"] = {
        ("<none>" if word == "<pad>" else word): number for word, number in said["model"]["vocab"].items()
    }
    said["added_tokens"] = [each for each in said["added_tokens"] if each["content"] != "<pad>"]
    (folder / "tokenizer.json").write_text(json.dumps(said))
    configure(
        folder,
        "tokenizer_config.json",
        pad_token=None,
        tokenizer_class="PreTrainedTokenizerFast",
        added_tokens_decoder={},
    )
    assert models.load_tokenizer(models.locate(str(folder))).pad_token in ("<unk>", "</s>")
    alone = [inference.predict(str(folder), [text])[0] for text in MASKED]
    for mine, other in zip(inference.predict(str(folder), MASKED), alone, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_allclose(list(one.scores.values()), list(two.scores.values()), atol=1e-6)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused_when_it_is_loaded(
    tiny_bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["covid", "blockchain"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError) as caught:
        inference.predict(str(folder), ["the [MASK] ship"])
    assert caught.value.message == (
        f"The tokenizer of {folder} has 2 tokens that the model has no embeddings for (blockchain, covid): "
        f"its vocab_size is {len(tokenizer) - 2}."
    )
    assert "resize_token_embeddings" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "file"),
    [("bert", "vocab.json"), ("roberta", "vocab.txt"), ("deberta-v2", "vocab.txt"), ("albert", "vocab.json")],
)
def test_a_vocabulary_of_another_kind_is_refused_where_every_word_would_be_unknown(
    kind: str, file: str, tmp_path: Path
) -> None:
    folder = made(kind, tmp_path / "model")
    for old in (*folder.glob("*token*.json"), *folder.glob("vocab*")):
        old.unlink()
    words = ["[UNK]", "the", "ship"]
    lines = json.dumps({word: number for number, word in enumerate(words)}), "\n".join(words)
    (folder / file).write_text(lines[file == "vocab.txt"])
    with pytest.raises(ModelError, match="has special tokens alone") as caught:
        models.load_tokenizer(models.locate(str(folder)))
    assert "tokenizer.json" in caught.value.hint


@pytest.mark.parametrize("cased", [True, False])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_a_vocabulary_alone_says_whether_letters_are_lowered(kind: str, cased: bool, tmp_path: Path) -> None:
    folder = made(kind, tmp_path / "model")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    listed = sorted(vocabulary, key=vocabulary.__getitem__)
    if cased:
        listed = ["Keeper" if word == "keeper" else "Ship" if word == "ship" else word for word in listed]
    else:
        listed = [word.lower() if not word.startswith("[") else word for word in listed]
    for file in (*folder.glob("*token*"), *folder.glob("vocab*")):
        file.unlink()
    (folder / "vocab.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    tokenizer = models.load_tokenizer(models.locate(str(folder)))
    assert tokenizer.tokenize("the Keeper") == ["the", "Keeper" if cased else "keeper"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert models.load_tokenizer(models.locate(str(folder))).tokenize("the Keeper")[1] != "Keeper"
