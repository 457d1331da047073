"""The training loop on a tiny BERT: what it yields, trains and keeps, and that its numbers are true."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertspace import models, training
from bertspace.errors import ConfigError
from bertspace.models.evaluation import evaluate
from bertspace.runs import Run
from bertspace.schema import TrainConfig, TrainEvent
from bertspace.tasks import TASKS
from bertspace.training import sharding
from tests.support.training import FAST, LABELS, SPLITS, TEXTS, Trained, made_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tiny_bert: Path) -> TrainConfig:
    return TrainConfig(model=str(tiny_bert), epochs=2, **FAST)


@pytest.fixture(scope="module")
def classified(base: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("classified"), replace(base, epochs=8, seed=2))


@pytest.fixture(scope="module")
def masked(base: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("masked"), replace(base, task="fill-mask", chunk_size=16))


# What a run yields and leaves


def test_the_events_come_in_order_with_their_totals(classified: Trained) -> None:
    kinds = [event.kind for event in classified.events if event.kind != "status"]
    assert kinds == ["base", "forecast", *(["step"] * 8 + ["epoch"]) * 8, "done"]
    steps = classified.of("step")
    assert [event.step for event in steps] == list(range(1, 65))
    assert {event.total_steps for event in steps} == {64}
    assert [event.epoch for event in steps[:4]] == [0.125, 0.25, 0.375, 0.5]
    assert [event.examples for event in steps] == list(range(8, 513, 8))
    assert [event.seconds for event in classified.events] == sorted(
        event.seconds for event in classified.events
    )
    assert [event.epoch for event in classified.of("epoch")] == [float(epoch) for epoch in range(1, 9)]
    assert all(event.message for event in classified.of("status"))


def test_tokens_are_the_texts_own_and_no_padding(classified: Trained, base: TrainConfig) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.model)
    an_epoch = sum(len(ids) for ids in tokenizer(SPLITS.train["text"].tolist())["input_ids"])
    assert classified.of("step")[7].tokens == an_epoch


def test_the_first_step_comes_after_the_base_was_scored_and_the_first_status_before_the_imports(
    classified: Trained,
) -> None:
    assert classified.events[0].message == "Loading the libraries"
    assert classified.of("base")[0].metrics == classified.result["base"]["validation"]


def test_the_learning_rate_falls_linearly_to_nothing(classified: Trained) -> None:
    rates = [event.learning_rate for event in classified.of("step")]
    assert rates == pytest.approx([2e-3 * (65 - step) / 64 for step in range(1, 65)])


def test_the_rate_climbs_for_the_share_of_steps_that_warms_up(base: TrainConfig, tmp_path: Path) -> None:
    found = Trained(tmp_path, replace(base, epochs=1, warmup_ratio=0.5, schedule="constant_with_warmup"))
    rates = [event.learning_rate for event in found.of("step")]
    assert rates == pytest.approx([2e-3 * min(1, (step - 1) / 4) for step in range(1, 9)])


def test_the_result_says_what_was_done_and_how_well(classified: Trained) -> None:
    result = classified.result
    assert result["config"] == classified.run.config().to_dict()
    assert set(result) == {
        *("config", "environment", "base", "epochs", "validation", "test", "best_step", "headline", "rows"),
        *(
            "truncated",
            "parameters",
            "steps",
            "stopped",
            "seconds",
            "training_seconds",
            "examples_per_second",
        ),
        *("tokens_per_second", "peak_memory_bytes", "verdict", "kept", "hints"),
    }
    assert result["rows"] == {"train": 64, "validation": 21, "test": 13}
    assert (result["steps"], result["best_step"], result["stopped"]) == (64, 64, False)
    assert result["headline"] == "accuracy"
    metrics = TASKS["text-classification"].metrics
    assert set(result["validation"]) == {"loss", *(each.name for each in metrics)}
    assert result["epochs"][-1] == {
        "epoch": 8.0,
        "step": 64,
        "train_loss": pytest.approx(np.mean(classified.losses[-8:])),
        **result["validation"],
    }
    assert result["parameters"]["trained"] == result["parameters"]["all"] > 10_000
    assert result["examples_per_second"] == pytest.approx(512 / result["training_seconds"], rel=1e-2)
    assert 0 < result["training_seconds"] < result["seconds"]
    assert result["environment"]["precision"] == "no"
    assert classified.of("done")[0].metrics == result["test"]


def test_a_task_that_can_be_learned_is_learned(classified: Trained) -> None:
    assert np.mean(classified.losses[-8:]) < 0.75 * np.mean(classified.losses[:8])
    assert classified.result["validation"]["accuracy"] > 0.9


def test_the_saved_model_says_in_plain_transformers_what_the_predictions_say(classified: Trained) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = classified.run.path / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == {0: "bad", 1: "good"} and model.config.label2id == {"bad": 0, "good": 1}
    table = pd.read_parquet(classified.run.path / "predictions.parquet")
    assert table["split"].tolist() == ["validation"] * 21 + ["test"] * 13
    for split, frame in (("validation", SPLITS.validation), ("test", SPLITS.test)):
        found = table[table["split"] == split]
        assert found["row"].tolist() == list(range(len(frame)))
        assert found["label"].tolist() == frame["label"].tolist()
        for text, kept, loss, label in zip(
            frame["text"], found["probabilities"], found["loss"], frame["label"], strict=True
        ):
            with torch.no_grad():
                wanted = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
            assert kept == pytest.approx(wanted.tolist(), abs=1e-5)
            assert loss == pytest.approx(-math.log(wanted[label]), abs=1e-4)


def test_the_saved_model_works_in_a_pipeline(classified: Trained) -> None:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(classified.run.path / "model"), device="cpu")
    found = classify(SPLITS.test["text"].tolist())
    table = pd.read_parquet(classified.run.path / "predictions.parquet").query("split == 'test'")
    assert [each["label"] for each in found] == [LABELS[np.argmax(row)] for row in table["probabilities"]]


def test_the_metrics_are_those_of_the_predictions(classified: Trained) -> None:
    table = pd.read_parquet(classified.run.path / "predictions.parquet")
    for split in ("validation", "test"):
        rows = table[table["split"] == split]
        right = [
            np.argmax(values) == label
            for values, label in zip(rows["probabilities"], rows["label"], strict=True)
        ]
        assert classified.result[split]["accuracy"] == pytest.approx(np.mean(right))
        assert classified.result[split]["loss"] == pytest.approx(rows["loss"].mean())


def test_the_folder_holds_nothing_unfinished_and_nothing_pickled(classified: Trained) -> None:
    left = {path.name for path in classified.run.path.iterdir()}
    assert left == {
        *("config.yaml", "data", "lock", "model", "predictions.parquet", "probe.safetensors", "result.json"),
        "base.parquet",
    }
    assert not [
        path for path in classified.run.path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".tmp")
    ]


# The base, before step 1


def test_the_base_of_a_classifier_is_a_probe_whose_metrics_sklearn_gives_too(
    classified: Trained, base: TrainConfig
) -> None:
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(base.model), AutoModel.from_pretrained(base.model).eval()

    def features(frame: pd.DataFrame) -> np.ndarray:
        with torch.no_grad():
            hidden = [
                model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in frame["text"]
            ]
        return np.stack([each.mean(0).numpy() for each in hidden])

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    probe.fit(features(SPLITS.train), SPLITS.train["label"])
    for name, frame in (("validation", SPLITS.validation), ("test", SPLITS.test)):
        guesses, truth = probe.predict(features(frame)), frame["label"]
        found = classified.result["base"][name]
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, guesses))
        assert found["f1_macro"] == pytest.approx(f1_score(truth, guesses, average="macro"))
        probabilities = probe.predict_proba(features(frame))
        wanted = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
        assert found["loss"] == pytest.approx(wanted, rel=0.02)
    assert (classified.result["base"]["kind"], classified.result["base"]["probe_rows"]) == ("probe", 64)


def test_the_majority_class_is_scored_beside_the_probe(classified: Trained) -> None:
    majority = SPLITS.train["label"].mode()[0]
    for name, frame in (("validation", SPLITS.validation), ("test", SPLITS.test)):
        found = classified.result["base"]["majority"][name]
        assert found["accuracy"] == pytest.approx((frame["label"] == majority).mean())
        assert found["matthews_correlation"] == 0 and "loss" not in found


def test_the_base_of_fill_mask_is_the_perplexity_that_evaluate_gives(
    masked: Trained, base: TrainConfig
) -> None:
    config = masked.run.config()
    for name, frame in (("validation", TEXTS.validation), ("test", TEXTS.test)):
        found, _ = evaluate(models.locate(base.model), frame, config)
        assert masked.result["base"][name] == pytest.approx(found, rel=1e-5)
    assert masked.result["base"]["kind"] == "model"
    assert not (masked.run.path / "probe.safetensors").exists()


# Evaluation


def test_a_perplexity_equals_a_computation_row_by_row_and_by_any_batch_size(masked: Trained) -> None:
    import torch
    from transformers import AutoModelForMaskedLM

    folder, config = masked.run.path / "model", masked.run.config()
    located = models.locate(str(folder))
    task, tokenizer = TASKS["fill-mask"], models.load_tokenizer(located)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = task.encode(tokenizer, TEXTS.validation, config)
    losses = []
    for row in range(len(rows)):
        batch = task.collate([(0, row)], rows, tokenizer, config)
        with torch.no_grad():
            scores = model(input_ids=batch["input_ids"]).logits[0].log_softmax(-1)
        losses += (-scores[batch["positions"], batch["targets"]]).tolist()
    wanted = math.exp(np.mean(losses))
    for batch_size in (1, 5, 64):
        found, table = evaluate(located, TEXTS.validation, replace(config, batch_size=batch_size))
        assert found["perplexity"] == pytest.approx(wanted, rel=1e-4)
        assert table["masks"].sum() == len(losses)
    assert masked.result["validation"]["perplexity"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 8, 21, 100])
def test_every_row_is_counted_once_whatever_the_batch_size(classified: Trained, batch_size: int) -> None:
    config = replace(classified.run.config(), batch_size=batch_size)
    found, table = evaluate(models.locate(str(classified.run.path / "model")), SPLITS.validation, config)
    assert table["label"].tolist() == SPLITS.validation["label"].tolist()
    assert table["probabilities"].shape == (21, 2)
    assert found == pytest.approx(classified.result["validation"], rel=1e-4)


def test_one_process_evaluates_in_one_precision_after_the_other(masked: Trained) -> None:
    """The page lives long, and the runs that it looks at were trained in whatever precision."""
    located, config = models.locate(str(masked.run.path / "model")), masked.run.config()
    exact, _ = evaluate(located, TEXTS.validation, config)
    coarse, _ = evaluate(located, TEXTS.validation, replace(config, precision="bf16"))
    assert coarse["loss"] == pytest.approx(exact["loss"], rel=0.02)


def test_training_lowers_the_perplexity(masked: Trained) -> None:
    result = masked.result
    assert result["headline"] == "perplexity"
    assert result["validation"]["perplexity"] < 0.8 * result["base"]["validation"]["perplexity"]
    assert [epoch["perplexity"] for epoch in result["epochs"]][-1] == result["validation"]["perplexity"]


def test_a_masked_models_predictions_are_a_row_a_chunk(masked: Trained) -> None:
    table = pd.read_parquet(masked.run.path / "predictions.parquet")
    assert set(table["split"]) == {"validation", "test"}
    rows = table[table["split"] == "validation"]
    loss = rows["loss_sum"].sum() / rows["masks"].sum()
    assert masked.result["validation"]["perplexity"] == pytest.approx(math.exp(loss))


# How it trains


def test_the_same_seed_gives_the_same_losses_and_weights(base: TrainConfig, tmp_path: Path) -> None:
    import torch

    config = replace(base, epochs=1)
    first, again, other = (
        Trained(tmp_path / name, each)
        for name, each in (("first", config), ("again", config), ("other", replace(config, seed=7)))
    )
    assert first.losses == again.losses
    assert all(torch.equal(again.weights()[name], tensor) for name, tensor in first.weights().items())
    assert first.losses != other.losses


@pytest.mark.parametrize("accumulation", [4, 7])
@pytest.mark.parametrize("task", ["text-classification", "fill-mask"])
def test_accumulated_batches_equal_one_large_batch(
    task: str, accumulation: int, base: TrainConfig, tmp_path: Path
) -> None:
    """Batches of 4, 4, 4 and a single row, of unlike lengths and numbers of masks; a step of them all."""
    words = "good bad ship sea light storm keeper lamp".split()
    texts = [" ".join(words[n % 3 : n % 3 + 1 + 7 * n % 6] * (1 + n % 4)) for n in range(13)]
    frame = pd.DataFrame({"text": pd.array(texts, dtype="str")})
    if task == "text-classification":
        frame = frame.assign(label=np.arange(13) % 2).astype({"label": "int64"})
    splits = replace(TEXTS if task == "fill-mask" else SPLITS, train=frame, test=None)
    config = replace(base, task=task, epochs=1, dropout=0.0, weight_decay=0.0, chunk_size=0)
    one = Trained(tmp_path / "one", replace(config, batch_size=13), splits)
    several = replace(config, batch_size=4, gradient_accumulation=accumulation)
    four = Trained(tmp_path / "four", several, splits)
    assert (len(one.losses), len(four.losses)) == (1, 1)
    assert four.of("step")[0].examples == 13
    assert four.losses == pytest.approx(one.losses, rel=1e-5)
    for kept in (one, four):
        assert kept.of("epoch")[0].metrics["train_loss"] == pytest.approx(one.losses[0], rel=1e-5)
    far = max((four.weights()[name] - tensor).abs().max().item() for name, tensor in one.weights().items())
    untrained = training.open_training(one.run.config(), one.run).model.state_dict()
    name = "bert.encoder.layer.0.output.dense.weight"
    moved = (untrained[name] - one.weights()[name]).abs().max().item()
    assert far < 2e-5 < 1e-4 < moved


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(base: TrainConfig, tmp_path: Path) -> None:
    found = Trained(tmp_path, replace(base, epochs=2, gradient_accumulation=3))
    steps = found.of("step")
    assert [event.examples for event in steps] == [24, 48, 64, 88, 112, 128]
    assert [event.epoch for event in steps] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "steps", "epochs"),
    [
        ({"epochs": 5, "max_steps": 3}, 3, [0.375]),
        ({"epochs": 5, "max_steps": 8}, 8, [1.0]),
        ({"epochs": 5, "max_steps": 10}, 10, [1.0, 1.25]),
        ({"epochs": 0.5}, 4, [0.5]),
        ({"epochs": 1.25}, 10, [1.0, 1.25]),
        ({"epochs": 0.01}, 1, [0.125]),
    ],
)
def test_it_ends_after_max_steps_or_a_part_of_an_epoch(
    changes: dict[str, Any], steps: int, epochs: list[float], base: TrainConfig, tmp_path: Path
) -> None:
    found = Trained(tmp_path, replace(base, **changes), replace(SPLITS, test=None))
    assert [event.total_steps for event in found.of("step")] == [steps] * steps
    assert [event.epoch for event in found.of("epoch")] == epochs
    assert found.result["steps"] == steps and found.result["test"] is None
    assert found.of("step")[-1].learning_rate == pytest.approx(base.learning_rate / steps)
    assert found.of("done")[0].metrics == found.result["validation"]
    assert (found.run.path / "model" / "model.safetensors").is_file()


def test_long_gradients_are_shortened(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    seen: list[float] = []
    plain = torch.optim.AdamW.step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        gradients = [
            each.grad for group in self.param_groups for each in group["params"] if each.grad is not None
        ]
        seen.append(torch.stack([each.norm() for each in gradients]).norm().item())
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    Trained(tmp_path / "short", replace(base, epochs=0.5, max_grad_norm=0.01))
    assert max(seen) <= 0.0101
    seen.clear()
    Trained(tmp_path / "long", replace(base, epochs=0.5, max_grad_norm=0))
    assert max(seen) > 0.1


@pytest.mark.parametrize("rate", [0.0, 2e-3])
def test_label_smoothing_changes_what_is_learned_and_not_how_losses_are_counted(
    rate: float, base: TrainConfig, tmp_path: Path
) -> None:
    config = replace(base, max_steps=4, learning_rate=rate, dropout=0.0)
    plain = Trained(tmp_path / "plain", config)
    smooth = Trained(tmp_path / "smooth", replace(config, label_smoothing=0.5))
    assert smooth.losses[0] == plain.losses[0]
    assert (smooth.losses == plain.losses) == (rate == 0)
    assert (smooth.result["validation"] == plain.result["validation"]) == (rate == 0)


def test_a_learning_rate_left_empty_is_the_models_own_and_is_written_down(
    base: TrainConfig, tmp_path: Path
) -> None:
    found = Trained(tmp_path, replace(base, epochs=0.2, learning_rate=None))
    assert found.run.config().learning_rate is None
    assert found.result["config"]["learning_rate"] == 1e-4


def test_a_model_is_trained_further_from_its_own_head(
    classified: Trained, base: TrainConfig, tmp_path: Path
) -> None:
    again = Trained(
        tmp_path, replace(base, model=str(classified.run.path / "model"), epochs=0.2, learning_rate=0.0)
    )
    assert again.result["validation"]["accuracy"] == classified.result["validation"]["accuracy"]


# Which epoch is kept


class Scores:
    """Stands in for the score of each epoch's table: the accuracy takes these values, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
        task = type(TASKS["text-classification"])
        self.plain, self.values = task.score, values
        self.tables: list[dict[str, np.ndarray]] = []
        monkeypatch.setattr(task, "score", lambda _, table: self.score(table))

    def score(self, table: dict[str, np.ndarray]) -> dict[str, float]:
        if not any(table is known for known in self.tables):
            self.tables.append(table)
        epoch = (
            next(n for n, known in enumerate(self.tables) if known is table) - 2
        )  # the probe, the majority
        found = self.plain(TASKS["text-classification"], table)
        return found | ({"accuracy": self.values[epoch]} if epoch >= 0 else {})


def test_best_metric_keeps_the_best_epochs_model_and_scores(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    Scores(monkeypatch, [0.5, 0.9, 0.7, 0.8])
    splits = replace(SPLITS, test=None)
    found = Trained(tmp_path / "best", replace(base, epochs=4, best_metric="accuracy"), splits)
    assert [epoch["accuracy"] for epoch in found.result["epochs"]] == [0.5, 0.9, 0.7, 0.8]
    assert (found.result["best_step"], found.result["validation"]["accuracy"]) == (16, 0.9)
    monkeypatch.undo()
    # The constant schedule makes the first two of four epochs the same as two alone.
    config = replace(base, schedule="constant_with_warmup")
    Scores(monkeypatch, [0.5, 0.9, 0.7, 0.8])
    best = Trained(tmp_path / "four", replace(config, epochs=4, best_metric="accuracy"), splits)
    monkeypatch.undo()
    two = Trained(tmp_path / "two", replace(config, epochs=2), splits)
    assert all(torch.equal(two.weights()[name], tensor) for name, tensor in best.weights().items())


def test_without_best_metric_the_last_epoch_is_kept(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scores(monkeypatch, [0.9, 0.5])
    found = Trained(tmp_path, base, replace(SPLITS, test=None))
    assert (found.result["best_step"], found.result["validation"]["accuracy"]) == (16, 0.5)


def test_patience_ends_a_training_that_gets_no_better(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scores(monkeypatch, [0.6, 0.5, 0.7, 0.7, 0.6, 0.9, 0.9])
    found = Trained(tmp_path, replace(base, epochs=7, patience=2), replace(SPLITS, test=None))
    assert [epoch["accuracy"] for epoch in found.result["epochs"]] == [0.6, 0.5, 0.7, 0.7, 0.6]
    assert (found.result["best_step"], found.result["stopped"]) == (24, False)
    assert found.of("done")


def test_an_unknown_best_metric_is_refused_with_the_known_ones(base: TrainConfig, tmp_path: Path) -> None:
    run = made_run(tmp_path, replace(base, best_metric="perplexity"))
    with pytest.raises(ConfigError) as caught:
        list(training.train(run.config(), run))
    assert str(caught.value) == (
        "best_metric is 'perplexity'. Choose from: loss, accuracy, f1_macro, f1_weighted, precision_macro,"
        " matthews_correlation."
    )


def test_a_precision_that_the_device_lacks_is_refused_in_words(base: TrainConfig, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this GPU knows fp16")
    run = made_run(tmp_path, replace(base, precision="fp16"))
    with pytest.raises(ConfigError, match="precision is 'fp16'"):
        list(training.train(run.config(), run))


@pytest.mark.parametrize("way", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_launchers_whose_weights_do_not_come_back_whole_are_refused_with_what_to_do(way: str) -> None:
    from accelerate.utils import DistributedType

    named = "FSDP version 1" if way == "FSDP" else way
    with pytest.raises(ConfigError, match=f"by {named}.*fsdp_version: 2.*fsdp_offload_params: true"):
        sharding.check_launcher(launched(DistributedType[way]))
    sharding.check_launcher(launched(DistributedType.MULTI_CPU))


def test_fsdp_is_taken_but_for_activation_checkpointing() -> None:
    from accelerate.utils import DistributedType

    sharding.check_launcher(launched(DistributedType.FSDP, SimpleNamespace(activation_checkpointing=False)))
    with pytest.raises(ConfigError, match="fsdp_activation_checkpointing out of its config"):
        sharding.check_launcher(
            launched(DistributedType.FSDP, SimpleNamespace(activation_checkpointing=True))
        )


def launched(way: Any, fsdp2: Any = None) -> Any:
    """An Accelerator as far as it says how it was launched; fsdp2: its plugin, of the second version."""
    state = SimpleNamespace(fsdp_plugin=fsdp2)
    return SimpleNamespace(distributed_type=way, is_fsdp2=fsdp2 is not None, state=state)


# LoRA and freezing


def test_lora_saves_a_plain_model_that_answers_as_the_unmerged_one(base: TrainConfig, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    for task in ("text-classification", "fill-mask"):
        config = replace(base, task=task, lora_rank=4, chunk_size=16, batch_size=16)
        found = Trained(tmp_path / task, config, replace(TEXTS if task == "fill-mask" else SPLITS, test=None))
        located = models.locate(str(found.run.path / "model"))
        frame = (TEXTS if task == "fill-mask" else SPLITS).validation
        score, table = evaluate(located, frame, found.run.config())
        kept = pd.read_parquet(found.run.path / "predictions.parquet")
        name = "loss_sum" if task == "fill-mask" else "loss"
        assert table[name] == pytest.approx(kept[name].to_numpy(), abs=1e-4)
        assert not [each for each in found.weights() if "lora" in each or "base_layer" in each]
        plain = AutoModelForMaskedLM.from_pretrained(base.model).state_dict()
        matrix = "bert.encoder.layer.0.attention.self.query.weight"
        assert (found.weights()[matrix] - plain[matrix]).abs().max() > 1e-4
        assert found.result["parameters"]["trained"] < found.result["parameters"]["all"]


def test_freezing_leaves_the_lower_layers_bit_identical(base: TrainConfig, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    before = load_file(Path(base.model) / "model.safetensors")
    found = Trained(tmp_path, replace(base, freeze_layers=1, epochs=1), replace(SPLITS, test=None)).weights()
    encoder = {name for name in before if name.startswith("bert.")}
    same = {name for name in encoder if torch.equal(before[name], found[name])}
    assert same == {name for name in encoder if "embeddings" in name or ".layer.0." in name}


def test_all_layers_move_when_nothing_is_frozen(classified: Trained, base: TrainConfig) -> None:
    import torch
    from safetensors.torch import load_file

    before, after = load_file(Path(base.model) / "model.safetensors"), classified.weights()
    still = {name for name in before if name in after and torch.equal(before[name], after[name])}
    assert still <= {"bert.embeddings.position_ids"}


# Stopping


def stop_after(run: Run, steps: int) -> Iterator[TrainEvent]:
    for event in training.train(run.config(), run):
        yield event
        if event.kind == "step" and event.step == steps:
            run.request_stop()


def test_a_stop_ends_after_the_step_with_a_model_that_is_scored(base: TrainConfig, tmp_path: Path) -> None:
    run = made_run(tmp_path, replace(base, epochs=50))
    events = list(stop_after(run, 3))
    assert [event.step for event in events if event.kind == "step"] == [1, 2, 3]
    assert [event.kind for event in events if event.kind != "status"][-2:] == ["epoch", "done"]
    result = run.result()
    assert (result["stopped"], result["steps"], result["test"]) == (True, 3, None)
    found, _ = evaluate(models.locate(str(tmp_path / "model")), SPLITS.validation, run.config())
    assert found == pytest.approx(result["validation"], rel=1e-4)


def test_a_stop_keeps_an_earlier_epoch_that_was_better(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scores(monkeypatch, [0.9, 0.1])
    run = made_run(tmp_path, replace(base, epochs=50, best_metric="accuracy"), replace(SPLITS, test=None))
    list(stop_after(run, 11))
    result = run.result()
    assert (result["steps"], result["best_step"], result["validation"]["accuracy"]) == (11, 8, 0.9)


def test_a_training_that_is_closed_half_way_leaves_the_next_one_unharmed(
    base: TrainConfig, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "closed", replace(base, gradient_accumulation=2))
    events = training.train(run.config(), run)
    next(event for event in events if event.kind == "step")
    events.close()
    found = Trained(tmp_path / "next", replace(base, gradient_accumulation=2), replace(SPLITS, test=None))
    assert len(found.losses) == 8


# Pairs


def test_pairs_are_trained_as_pairs(base: TrainConfig, tmp_path: Path) -> None:
    """The two halves differ by one word; only a model that sees both can tell the label."""
    pairs = {name: getattr(SPLITS, name).assign(pair="the ship at sea") for name in ("train", "validation")}
    columns = ["text", "pair", "label"]
    splits = replace(
        SPLITS, train=pairs["train"][columns], validation=pairs["validation"][columns], test=None
    )
    found = Trained(tmp_path, replace(base, epochs=1), splits)
    assert found.run.config().pair_column == "pair"
    opened = training.open_training(found.run.config(), found.run)
    assert opened.rows["train"].segments is not None
    assert found.result["validation"].keys() == found.result["base"]["validation"].keys()
