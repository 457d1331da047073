"""Tasks: rows to tokens, tokens to batches, batches to losses and tables, and back to words."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertspace import hardware
from bertspace.errors import DataError
from bertspace.schema import TASK_NAMES, TrainConfig
from bertspace.tasks import TASKS, Rows
from bertspace.tasks.fill_mask.task import choose, logits_at, with_mask_token
from tests.support.models import roberta_tokenizer, saying, small

FILL, CLASSIFY = TASKS["fill-mask"], TASKS["text-classification"]
MASKING = TrainConfig(task="fill-mask", chunk_size=16, max_length=16)


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> Any:
    from bertspace import models

    return models.load_tokenizer(models.locate(str(tiny_bert)))


@pytest.fixture(scope="module")
def model(tiny_bert: Path) -> Any:
    from transformers import BertForMaskedLM

    return BertForMaskedLM.from_pretrained(tiny_bert).eval()


def frame(*texts: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"text": list(texts), **columns})


def long_rows(tokenizer: Any, count: int = 200, width: int = 100) -> Rows:
    """Rows of random ordinary tokens between [CLS] and [SEP]."""
    random = np.random.default_rng(0)
    first = tokenizer.convert_tokens_to_ids("the")
    middle = random.integers(first, len(tokenizer), size=(count, width - 2))
    return Rows(
        [np.array([tokenizer.cls_token_id, *row, tokenizer.sep_token_id], np.int32) for row in middle]
    )


# The registry


def test_the_registry_holds_every_task_that_a_config_can_name() -> None:
    assert list(TASKS) == TASK_NAMES
    for task in TASKS.values():
        assert task.headline in {each.name for each in task.metrics} and task.columns[0] == "text"


# Classification: encoding


def test_a_text_is_encoded_as_the_tokenizer_does(tokenizer: Any) -> None:
    texts = ["the good ship", "", "a storm, a light"]
    rows = CLASSIFY.encode(tokenizer, frame(*texts, label=[1, 0, 1]), TrainConfig())
    assert [row.tolist() for row in rows.input_ids] == tokenizer(texts)["input_ids"]
    assert (rows.labels.tolist(), rows.segments, rows.words, rows.truncated) == ([1, 0, 1], None, None, 0)
    assert (len(rows), rows.lengths.tolist()) == (3, [5, 2, 7])


def test_a_pair_has_two_segments_as_the_tokenizer_makes_them(tokenizer: Any) -> None:
    texts, pairs = ["the ship", "a dog"], ["the sea is good", "the cat"]
    rows = CLASSIFY.encode(tokenizer, frame(*texts, pair=pairs, label=[0, 1]), TrainConfig())
    wanted = tokenizer(texts, pairs)
    assert [row.tolist() for row in rows.input_ids] == wanted["input_ids"]
    assert [row.tolist() for row in rows.segments] == wanted["token_type_ids"]
    assert set(rows.segments[0].tolist()) == {0, 1}
    batch = CLASSIFY.collate([(1, 0), (1, 1)], rows, tokenizer, TrainConfig())
    padded = tokenizer(texts, pairs, padding=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert batch[name].tolist() == padded[name].tolist()
    assert (batch["labels"].tolist(), batch["rows"].tolist()) == ([0, 1], [0, 1])


def test_a_gpu_gets_widths_that_its_cores_take_as_far_as_the_model_reaches(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = CLASSIFY.encode(tokenizer, frame("the ship", "a dog", label=[0, 1]), TrainConfig())
    lines = replace(MASKING, chunk_size=0)
    masked = FILL.encode(tokenizer, frame("the ship", "a dog saw the sea"), lines)
    plain = CLASSIFY.collate([(1, 0), (1, 1)], rows, tokenizer, TrainConfig())
    hidden = FILL.collate([(1, 0), (1, 1)], masked, tokenizer, MASKING)
    monkeypatch.setattr(hardware, "device", lambda: "cuda")
    wide = CLASSIFY.collate([(1, 0), (1, 1)], rows, tokenizer, TrainConfig())
    assert (plain["input_ids"].shape, wide["input_ids"].shape) == ((2, 4), (2, 8))
    assert wide["attention_mask"].sum() == plain["attention_mask"].sum()
    assert (wide["input_ids"][:, :4] == plain["input_ids"]).all()
    batch = FILL.collate([(1, 0), (1, 1)], masked, tokenizer, MASKING)
    assert batch["input_ids"].shape[1] == 8 > hidden["input_ids"].shape[1]
    for made in (hidden, batch):  # the positions are those of the same tokens
        places = made["positions"]
        assert (made["attention_mask"].flatten()[places] == 1).all()
    assert batch["targets"].tolist() == hidden["targets"].tolist()
    monkeypatch.setattr(tokenizer, "model_max_length", 6)
    assert CLASSIFY.collate([(1, 0)], rows, tokenizer, TrainConfig())["input_ids"].shape == (1, 6)


def test_a_pair_for_a_model_without_segments_has_none() -> None:
    rows = CLASSIFY.encode(roberta_tokenizer(), frame("the ship", pair=["the sea"], label=[0]), TrainConfig())
    assert rows.segments is None and len(rows.input_ids[0]) > 4


def test_cut_texts_are_counted_and_cut_as_the_tokenizer_does(tokenizer: Any) -> None:
    config = TrainConfig(max_length=8)
    six, seven = "the a an and or but", "the a an and or but not"
    rows = CLASSIFY.encode(tokenizer, frame(six, seven, label=[0, 0]), config)
    assert (rows.lengths.tolist(), rows.truncated) == ([8, 8], 1)
    rows = CLASSIFY.encode(tokenizer, frame(six, seven, pair=["the", "a an and"], label=[0, 0]), config)
    wanted = tokenizer([six, seven], ["the", "a an and"], truncation=True, max_length=8)
    assert [row.tolist() for row in rows.input_ids] == wanted["input_ids"]
    assert rows.truncated == 2


def test_no_row_is_longer_than_the_model_can_take(tokenizer: Any) -> None:
    rows = CLASSIFY.encode(tokenizer, frame("the " * 500, label=[0]), TrainConfig(max_length=4000))
    assert (rows.lengths.tolist(), rows.truncated) == ([128], 1)


def test_more_texts_than_are_tokenised_at_once_keep_their_order(tokenizer: Any) -> None:
    texts = ["the " * (1 + number % 7) for number in range(2345)]
    rows = CLASSIFY.encode(tokenizer, frame(*texts, label=[0] * 2345), TrainConfig())
    assert rows.lengths.tolist() == [3 + number % 7 for number in range(2345)]
    assert CLASSIFY.encode(tokenizer, frame(*texts), TrainConfig(), 5).lengths.tolist() == [3, 4, 5, 6, 7]


def test_a_batch_is_padded_to_its_own_longest_row(tokenizer: Any) -> None:
    rows = CLASSIFY.encode(tokenizer, frame("the", "a an and", "the " * 50, label=[0, 1, 2]), TrainConfig())
    batch = CLASSIFY.collate([(3, 1), (3, 0)], rows, tokenizer, TrainConfig())
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    a, an, and_, the = tokenizer.convert_tokens_to_ids(["a", "an", "and", "the"])
    assert batch["input_ids"].tolist() == [[cls, a, an, and_, sep], [cls, the, sep, pad, pad]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert (batch["labels"].tolist(), batch["rows"].tolist()) == ([1, 0], [1, 0])


# Classification: loss, table, predictions


@pytest.fixture(scope="module")
def classifier(tiny_bert: Path) -> Any:
    import torch
    from transformers import BertForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        names = {0: "bad", 1: "good", 2: "so-so"}
        found = BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=3, id2label=names)
        found.classifier.weight.data.normal_(std=0.5)
        return found.eval()


def test_a_classifiers_loss_and_table_equal_transformers_own(tokenizer: Any, classifier: Any) -> None:
    import torch

    rows = CLASSIFY.encode(tokenizer, frame("good", "a bad ship", "the sea", label=[1, 0, 2]), TrainConfig())
    batch = CLASSIFY.collate([(1, 0), (1, 1), (1, 2)], rows, tokenizer, TrainConfig())
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    with torch.no_grad():
        wanted = classifier(**inputs)
        assert CLASSIFY.loss(classifier, batch, 0.0)[0].item() == pytest.approx(wanted.loss.item(), rel=1e-6)
        table = CLASSIFY.table(classifier, batch)
    assert torch.allclose(table["probabilities"], wanted.logits.softmax(-1), atol=1e-7)
    picked = table["probabilities"][[0, 1, 2], [1, 0, 2]]
    assert table["loss"].tolist() == pytest.approx((-picked.log()).tolist(), rel=1e-5)
    smooth = torch.nn.functional.cross_entropy(wanted.logits, batch["labels"], label_smoothing=0.2)
    found, plain = CLASSIFY.loss(classifier, batch, 0.2)
    assert found.item() == pytest.approx(smooth.item(), rel=1e-6)
    assert plain.item() == pytest.approx(wanted.loss.item(), rel=1e-6)


def test_a_classifiers_score_is_computed_from_the_whole_table() -> None:
    table = {
        "probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]),
        "label": np.array([0, 1, 1, 1]),
        "loss": np.array([0.1, 0.2, 0.9, 0.4]),
    }
    assert CLASSIFY.score(table) == {
        "loss": pytest.approx(0.4),
        "accuracy": 0.75,
        "f1_macro": pytest.approx((2 / 3 + 4 / 5) / 2),
        "f1_weighted": pytest.approx((2 / 3 + 3 * 4 / 5) / 4),
        "precision_macro": pytest.approx((1 / 2 + 1) / 2),
        "matthews_correlation": pytest.approx((1 * 2 - 1 * 0) / math.sqrt(2 * 3 * 1 * 2)),
    }


def test_a_classifier_names_every_label_and_its_probabilities_fall(tokenizer: Any, classifier: Any) -> None:
    import torch

    texts = ["a bad day", "the very good ship and the sea"]
    with torch.inference_mode():
        found = CLASSIFY.predict(classifier, tokenizer, texts, None, 5)
        for text, (prediction,) in zip(texts, found, strict=True):
            wanted = classifier(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
            named = {classifier.config.id2label[n]: value.item() for n, value in enumerate(wanted)}
            assert prediction.scores == pytest.approx(named, abs=1e-6)
            assert list(prediction.scores.values()) == sorted(prediction.scores.values(), reverse=True)
            assert (prediction.text, prediction.pair) == (text, "")


def test_a_classifier_reads_a_pair_as_two_segments(tokenizer: Any, classifier: Any) -> None:
    import torch

    with torch.inference_mode():
        ((found,),) = CLASSIFY.predict(classifier, tokenizer, ["the ship"], ["the sea"], 5)
        wanted = classifier(**tokenizer("the ship", "the sea", return_tensors="pt")).logits.softmax(-1)[0]
    assert sorted(found.scores.values()) == pytest.approx(sorted(wanted.tolist()), abs=1e-6)
    assert (found.text, found.pair) == ("the ship", "the sea")


# Fill-mask: rows


def test_chunks_run_on_across_documents(tokenizer: Any) -> None:
    texts = ["the good ship", "a storm and a light at sea", "one two three first last new old"]
    rows = FILL.encode(tokenizer, frame(*texts), TrainConfig(task="fill-mask", chunk_size=8))
    stream = [token for ids in tokenizer(texts)["input_ids"] for token in ids]
    assert len(stream) == 23
    assert [row.tolist() for row in rows.input_ids] == [stream[:8], stream[8:16]]
    assert tokenizer.sep_token_id in rows.input_ids[0][1:-1]


def test_less_text_than_a_chunk_is_one_short_chunk(tokenizer: Any) -> None:
    rows = FILL.encode(tokenizer, frame("the good ship"), TrainConfig(task="fill-mask", chunk_size=64))
    assert [row.tolist() for row in rows.input_ids] == tokenizer(["the good ship"])["input_ids"]


def test_a_limit_counts_chunks_and_draws_documents_by_the_seed(tokenizer: Any) -> None:
    texts = [f"the {word} " * 10 for word in ("good", "bad", "red", "blue", "green", "big", "old", "new")]

    def chunks(limit: int, seed: int) -> list[list[int]]:
        config = TrainConfig(task="fill-mask", chunk_size=16, seed=seed)
        return [row.tolist() for row in FILL.encode(tokenizer, frame(*texts), config, limit).input_ids]

    assert len(chunks(0, 1)) == 8 * 22 // 16
    assert chunks(3, 1) == chunks(3, 1)
    assert chunks(3, 1) != chunks(3, 2)
    assert len(chunks(3, 1)) == 3
    assert chunks(0, 1) == chunks(0, 2)


def test_a_limit_is_a_maximum_also_where_one_document_is_longer(tokenizer: Any) -> None:
    texts = frame("the sea", "the good ship saw a light " * 60, "a storm")
    for whole_words in (False, True):
        config = TrainConfig(task="fill-mask", chunk_size=8, whole_words=whole_words)
        everything = FILL.encode(tokenizer, texts, config)
        assert len(everything) > 40
        for limit in (1, 10, len(everything)):
            rows = FILL.encode(tokenizer, texts, config, limit)
            assert len(rows) == limit and set(rows.lengths.tolist()) == {8}
            assert rows.words is None or [len(each) for each in rows.words] == [8] * limit
        assert len(FILL.encode(tokenizer, texts, config, 1000)) == len(everything)


def test_without_chunks_a_text_is_a_row_and_the_cut_ones_are_counted(tokenizer: Any) -> None:
    texts = ["the good ship", "the " * 30]
    config = TrainConfig(task="fill-mask", chunk_size=0, max_length=10)
    rows = FILL.encode(tokenizer, frame(*texts), config)
    wanted = tokenizer(texts, truncation=True, max_length=10)["input_ids"]
    assert ([row.tolist() for row in rows.input_ids], rows.truncated) == (wanted, 1)
    assert len(FILL.encode(tokenizer, frame(*texts), config, 1)) == 1


def test_word_numbers_never_join_two_documents(tokenizer: Any) -> None:
    config = TrainConfig(task="fill-mask", chunk_size=64, whole_words=True)
    rows = FILL.encode(tokenizer, frame("zebra", "quokka ship"), config)
    ids, words = rows.input_ids[0], rows.words[0]
    assert tokenizer.convert_ids_to_tokens(ids)[1:6] == ["z", "##e", "##b", "##r", "##a"]
    special = np.isin(ids, tokenizer.all_special_ids)
    assert (words[special] == -1).all()
    assert len(set(words[~special])) == 3
    assert (np.diff(words[~special]) >= 0).all()


# Fill-mask: masks


def test_masks_are_a_pure_function_of_seed_epoch_and_row(tokenizer: Any) -> None:
    rows = long_rows(tokenizer, 6)

    def hidden(keys: list[tuple[int, int]], seed: int = 42) -> dict[int, list[int]]:
        config = TrainConfig(task="fill-mask", seed=seed)
        batch = FILL.collate(keys, rows, tokenizer, config)
        return dict(zip(batch["rows"].tolist(), batch["input_ids"].tolist(), strict=True))

    together = hidden([(1, row) for row in range(6)])
    assert together == {row: hidden([(1, row)])[row] for row in (5, 3, 1, 0, 2, 4)}
    assert together[0] != hidden([(2, 0)])[0]
    assert together[0] != hidden([(1, 0)], seed=43)[0]
    same = Rows([rows.input_ids[0]] * 2)
    batch = FILL.collate([(1, 0), (1, 1)], same, tokenizer, MASKING)
    assert batch["input_ids"][0].tolist() != batch["input_ids"][1].tolist()


def test_the_masks_do_not_touch_the_rows(tokenizer: Any) -> None:
    rows = long_rows(tokenizer, 3)
    before = [row.copy() for row in rows.input_ids]
    FILL.collate([(1, 0), (1, 1), (1, 2)], rows, tokenizer, MASKING)
    assert all((row == old).all() for row, old in zip(rows.input_ids, before, strict=True))


def test_15_percent_are_chosen_and_80_10_10_of_them_masked_swapped_and_kept(tokenizer: Any) -> None:
    rows = long_rows(tokenizer, 600)
    batch = FILL.collate([(1, row) for row in range(600)], rows, tokenizer, TrainConfig(task="fill-mask"))
    shown = batch["input_ids"].flatten()[batch["positions"]]
    targets = batch["targets"]
    masked = (shown == tokenizer.mask_token_id).sum().item()
    kept = (shown == targets).sum().item()
    total = len(targets)

    def near(found: int, share: float, of: int) -> bool:
        return abs(found - share * of) < 3 * math.sqrt(of * share * (1 - share))

    swaps_that_change = 0.1 * (1 - 1 / len(tokenizer))  # a random token may be the same one, or the mask
    assert near(total, 0.15, 600 * 98)
    assert near(masked, 0.8 + 0.1 / len(tokenizer), total)
    assert near(kept, 0.1 + 0.1 / len(tokenizer), total)
    assert near(total - masked - kept, swaps_that_change, total)


def test_targets_are_the_tokens_that_stood_there_and_all_else_stays(tokenizer: Any) -> None:
    rows = long_rows(tokenizer, 4)
    batch = FILL.collate([(1, row) for row in range(4)], rows, tokenizer, TrainConfig(task="fill-mask"))
    original = np.stack(rows.input_ids).flatten()
    positions = batch["positions"].numpy()
    assert (original[positions] == batch["targets"].numpy()).all()
    assert (batch["owners"].numpy() == positions // 100).all()
    rest = np.setdiff1d(np.arange(400), positions)
    assert (batch["input_ids"].numpy().flatten()[rest] == original[rest]).all()


def test_special_tokens_are_never_chosen(tokenizer: Any) -> None:
    texts = ["the good ship", "a [MASK] and a [UNK] light", "zebra"] * 10
    config = TrainConfig(task="fill-mask", chunk_size=0, mask_probability=0.9)
    rows = FILL.encode(tokenizer, frame(*texts), config)
    batch = FILL.collate([(1, row) for row in range(30)], rows, tokenizer, config)
    assert not set(batch["targets"].tolist()) & set(tokenizer.all_special_ids)
    assert (batch["attention_mask"].flatten()[batch["positions"]] == 1).all()


def test_every_row_has_a_mask_however_small_the_probability(tokenizer: Any) -> None:
    for whole_words in (False, True):
        config = TrainConfig(task="fill-mask", chunk_size=0, mask_probability=0.01, whole_words=whole_words)
        rows = FILL.encode(tokenizer, frame(*["the"] * 20), config)
        batch = FILL.collate([(1, row) for row in range(20)], rows, tokenizer, config)
        assert batch["owners"].tolist() == list(range(20))
        assert set(batch["targets"].tolist()) == {tokenizer.convert_tokens_to_ids("the")}


def test_a_row_of_specials_only_still_makes_a_batch(tokenizer: Any) -> None:
    config = TrainConfig(task="fill-mask", chunk_size=0)
    rows = FILL.encode(tokenizer, frame("", "the ship"), config)
    batch = FILL.collate([(1, 0), (1, 1)], rows, tokenizer, config)
    assert 0 in batch["owners"].tolist()


def test_whole_words_are_never_split(tokenizer: Any) -> None:
    random = np.random.default_rng(0)
    ids = np.arange(10, 210)
    words = np.sort(random.integers(0, 60, size=200))
    shares = []
    for seed in range(50):
        chosen = choose(ids, words, 0.2, tokenizer.all_special_ids, np.random.default_rng(seed))
        hit = set(words[chosen].tolist())
        assert chosen.tolist() == [place for place in range(200) if words[place] in hit]
        shares.append(len(hit) / len(set(words.tolist())))
    assert abs(np.mean(shares) - 0.2) < 3 * math.sqrt(0.2 * 0.8 / (50 * 60))


def test_whole_words_of_a_text_are_masked_together(tokenizer: Any) -> None:
    config = TrainConfig(
        task="fill-mask", chunk_size=0, whole_words=True, mask_probability=0.5, max_length=64
    )
    rows = FILL.encode(tokenizer, frame("zebra the quokka ship xylophone"), config)
    for epoch in range(20):
        chosen = FILL.collate([(epoch, 0)], rows, tokenizer, config)["positions"].numpy()
        words = rows.words[0]
        assert chosen.tolist() == np.flatnonzero(np.isin(words, words[chosen])).tolist()


# Fill-mask: the projection at the masked positions


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "Albert", "Electra"])
def test_loss_logits_and_gradients_equal_transformers_own_loss_with_labels(name: str, tokenizer: Any) -> None:
    import torch

    model = small(name)
    random = np.random.default_rng(1)
    rows = Rows([random.integers(10, 300, size=size).astype(np.int32) for size in (20, 7, 33, 12)])
    batch = FILL.collate([(1, row) for row in range(4)], rows, tokenizer, TrainConfig(task="fill-mask"))

    labels = torch.full(batch["input_ids"].shape, -100)
    labels.view(-1)[batch["positions"]] = batch["targets"]
    plain = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels)
    plain.loss.backward()
    wanted = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)

    logits = logits_at(model, batch)
    assert logits.shape == (len(batch["targets"]), 400)
    assert torch.allclose(logits, plain.logits.flatten(0, 1)[batch["positions"]], atol=1e-5)
    loss, _ = FILL.loss(model, batch, 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    assert FILL.loss(model, batch, 0.2)[1].item() == pytest.approx(plain.loss.item(), rel=1e-5)
    found = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert found.keys() == wanted.keys()
    assert max((found[key] - wanted[key]).abs().max().item() for key in wanted) < 1e-5


def test_the_hook_is_taken_off_again_also_after_an_error(model: Any, tokenizer: Any) -> None:
    batch = FILL.collate([(1, 0)], long_rows(tokenizer, 1, 20), tokenizer, MASKING)
    logits_at(model, batch)
    with pytest.raises(IndexError):
        logits_at(model, batch | {"input_ids": batch["input_ids"] + 10_000})
    assert model(batch["input_ids"]).logits.shape == (1, 20, model.config.vocab_size)


def test_a_model_that_never_calls_its_output_embeddings_is_served_too(model: Any, tokenizer: Any) -> None:
    """As MobileBERT, which computes its logits by a matrix product of its own."""
    import torch

    class Sidestep(torch.nn.Module):
        def forward(self, **inputs: Any) -> Any:
            return type("Output", (), {"logits": model(**inputs).logits})

        def get_output_embeddings(self) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

    batch = FILL.collate([(1, 0), (1, 1)], long_rows(tokenizer, 2, 20), tokenizer, MASKING)
    with torch.no_grad():
        assert torch.allclose(logits_at(Sidestep(), batch), logits_at(model, batch), atol=1e-5)


def test_a_table_and_its_score_equal_a_computation_row_by_row(model: Any, tokenizer: Any) -> None:
    import torch

    rows = Rows(
        [row[:size] for row, size in zip(long_rows(tokenizer, 5).input_ids, (9, 40, 25, 12, 60), strict=True)]
    )
    config = TrainConfig(task="fill-mask")
    with torch.no_grad():
        table = FILL.table(model, FILL.collate([(0, row) for row in range(5)], rows, tokenizer, config))
        total, right, masks = 0.0, 0, 0
        for row in range(5):
            batch = FILL.collate([(0, row)], rows, tokenizer, config)
            logits = model(batch["input_ids"]).logits[0].log_softmax(-1)
            for position, target in zip(batch["positions"].tolist(), batch["targets"].tolist(), strict=True):
                total -= logits[position, target].item()
                right += int(logits[position].argmax()) == target
                masks += 1
    found = FILL.score({name: value.numpy() for name, value in table.items()})
    assert found["loss"] == pytest.approx(total / masks, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(total / masks), rel=1e-4)
    assert found["accuracy"] == pytest.approx(right / masks)
    assert table["masks"].sum().item() == masks


def test_a_hopeless_loss_gives_a_finite_perplexity() -> None:
    table = {"loss_sum": np.array([5000.0]), "masks": np.array([5.0]), "correct": np.array([0.0])}
    assert FILL.score(table)["perplexity"] == math.exp(700)


# Fill-mask: predictions


def fill(model: Any, tokenizer: Any, *texts: str, top_k: int = 5) -> list[list[Any]]:
    import torch

    with torch.inference_mode():
        return FILL.predict(model, tokenizer, texts, None, top_k)


def test_every_mask_of_a_text_gets_its_own_prediction_as_the_model_gives_it(
    model: Any, tokenizer: Any
) -> None:
    import torch

    texts = ["the [MASK] ship", "a [MASK] and a [MASK] at the sea today", "[MASK]"]
    found = fill(model, tokenizer, *texts)
    assert [len(each) for each in found] == [1, 2, 1]
    for text, predictions in zip(texts, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**encoded).logits[0].softmax(-1)
        places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
        for prediction, place in zip(predictions, places, strict=True):
            best = logits[place].topk(5)
            assert list(prediction.scores.values()) == pytest.approx(best.values.tolist(), abs=1e-6)
            assert list(prediction.scores) == tokenizer.convert_ids_to_tokens(best.indices)


def test_the_text_comes_back_with_the_best_words_filled_in(tokenizer: Any) -> None:
    model = saying(tokenizer, ["storm", "##s"])
    (found,) = fill(model, tokenizer, "The [MASK] and the ship[MASK] rest")
    assert [prediction.best for prediction in found] == ["storm", "##s"]
    assert {prediction.text for prediction in found} == {"The storm and the ships rest"}


def test_a_mask_that_was_cut_off_leaves_the_rest_of_the_text_as_it_is(tokenizer: Any) -> None:
    model = saying(tokenizer, ["storm"])
    text = "a [MASK] " + "the " * 200 + "[MASK] end"
    (found,) = fill(model, tokenizer, text)
    assert len(found) == 1
    assert found[0].text.startswith("a storm the the") and found[0].text.endswith("end")


def test_a_mask_behind_what_the_model_reads_is_refused_for_that(model: Any, tokenizer: Any) -> None:
    with pytest.raises(DataError) as caught:
        fill(model, tokenizer, "the " * 200 + "[MASK] end")
    assert f"[MASK] lies behind the {tokenizer.model_max_length} tokens that the model" in str(caught.value)
    assert caught.value.hint == "Shorten what stands before [MASK]."


def test_a_text_without_a_mask_is_refused_by_name(model: Any, tokenizer: Any) -> None:
    with pytest.raises(DataError) as caught:
        fill(model, tokenizer, "the [MASK] ship", "no mask here")
    assert str(caught.value) == "No [MASK] in 'no mask here'. Write [MASK] where a word is to be guessed."


def test_more_words_than_there_are_is_all_of_them(model: Any, tokenizer: Any) -> None:
    ((found,),) = fill(model, tokenizer, "[MASK]", top_k=10_000)
    assert len(found.scores) == model.config.vocab_size
    assert sum(found.scores.values()) == pytest.approx(1, abs=1e-4)


def test_a_person_may_write_either_mask_for_any_model(tokenizer: Any) -> None:
    roberta = roberta_tokenizer()
    for written in ("a [MASK] ship", "a <mask> ship"):
        assert with_mask_token(written, tokenizer) == "a [MASK] ship"
        assert with_mask_token(written, roberta) == "a <mask> ship"


def test_a_model_whose_mask_is_written_otherwise_predicts_for_mask() -> None:
    roberta = roberta_tokenizer()
    model = saying(roberta, ["Ġship"])
    (found,) = fill(model, roberta, "the [MASK] at sea")
    assert (found[0].best, found[0].text) == ("ship", "the ship at sea")
