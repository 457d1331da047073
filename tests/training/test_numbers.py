"""What a run says of itself, against independent computations on tiny runs: losses, counts, perplexities."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from bertspace import training
from bertspace.models import comparison, tuning
from bertspace.models.batching import epoch_batches
from bertspace.models.evaluation import read_tables
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import TASKS, verdict
from bertspace.training.progress import Best, TrainingProgress, hints
from tests.support.training import FAST, SPLITS, Trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tiny_bert: Path) -> TrainConfig:
    return TrainConfig(model=str(tiny_bert), epochs=1, **FAST)


# The held-out rows of a run and of a later evaluation


@pytest.mark.parametrize(
    "changes",
    [
        {"max_train_rows": 12},
        {"max_train_rows": 25, "validation_share": 0.3, "whole_words": True},
        {"max_train_rows": 20, "validation_share": 0.5, "chunk_size": 0},
        {"max_train_rows": 20, "lora_rank": 2},
        {"max_train_rows": 12, "precision": "bf16"},
        {"max_train_rows": 12, "precision": "bf16", "lora_rank": 2},
        {},
    ],
)
def test_a_run_evaluated_on_its_own_held_out_rows_has_its_own_perplexity(
    changes: dict[str, Any], base: TrainConfig, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"task": "fill-mask", "chunk_size": 8} | changes
    AcceleratorState._reset_state(reset_partial_state=True)  # precision is one a process
    trained = Trained(tmp_path / "run", replace(base, **settings))
    trained.run.write_state(RunState(status="done"))
    for split in ("validation", "test"):
        found = comparison.evaluate_file(
            f"run:{trained.run.path}", trained.run.path / "data" / f"{split}.parquet"
        )
        assert found["rows"] == trained.result["rows"][split]
        assert found["metrics"] == pytest.approx(trained.result[split], rel=1e-6)


# What the steps and the epochs say


@dataclass
class Step:
    """A step as a plain loop computes it: the losses and the rows (or masked tokens) of its batches."""

    losses: list[float]
    weights: list[int]
    tokens: int

    @property
    def loss(self) -> float:
        return float(np.average(self.losses, weights=self.weights))


def plain_loop(trained: Trained) -> tuple[list[Step], list[float]]:
    """Every step's and every epoch's training loss, by transformers' own loss and torch's own AdamW."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

    config = trained.run.config()
    fill_mask = config.task == "fill-mask"
    opened = training.open_training(config, trained.run)
    kind = AutoModelForMaskedLM if fill_mask else AutoModelForSequenceClassification
    torch.manual_seed(config.seed)
    model = kind.from_pretrained(config.model, **({} if fill_mask else {"num_labels": 2}))
    model.load_state_dict(opened.model.state_dict())  # a new head is drawn once
    tuning.set_dropout(model, 0.0)
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    task, rows = TASKS[config.task], opened.rows["train"]
    groups = tuning.parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    per_epoch = math.ceil(len(rows) / config.batch_size)
    total = config.total_steps(per_epoch)
    model.train()
    steps: list[Step] = []
    epochs: list[float] = []
    for epoch in range(1, math.ceil(config.epochs) + 1):
        batches = epoch_batches(rows.lengths, config.batch_size, config.seed, epoch)
        begun = len(steps)
        for start in range(0, len(batches), config.gradient_accumulation):
            found, losses = Step([], [], 0), []
            for numbers in batches[start : start + config.gradient_accumulation]:
                batch = task.collate([(epoch, int(row)) for row in numbers], rows, tokenizer, config)
                labels = batch.get("labels")
                if fill_mask:
                    labels = torch.full(batch["input_ids"].shape, -100)
                    labels.view(-1)[batch["positions"]] = batch["targets"]
                logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                logits, labels = logits.flatten(0, -2), labels.flatten()
                each = torch.nn.functional.cross_entropy
                losses.append(each(logits, labels, label_smoothing=config.label_smoothing))
                found.losses.append(each(logits, labels).item())
                found.weights.append(int((labels >= 0).sum()))
                found.tokens += int(batch["attention_mask"].sum())
            whole = sum(found.weights)
            sum(loss * weight / whole for loss, weight in zip(losses, found.weights, strict=True)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (total - len(steps)) / total
            optimizer.step()
            optimizer.zero_grad()
            steps.append(found)
        of_epoch = steps[begun:]
        epochs.append(
            np.average([each.loss for each in of_epoch], weights=[sum(each.weights) for each in of_epoch])
        )
    return steps, epochs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.3},
        {"gradient_accumulation": 3, "batch_size": 7, "label_smoothing": 0.1},
        {"task": "fill-mask", "chunk_size": 0, "batch_size": 15},
        {"task": "fill-mask", "chunk_size": 0, "gradient_accumulation": 2, "label_smoothing": 0.2},
    ],
)
def test_losses_rates_and_counts_are_those_of_a_plain_loop(
    changes: dict[str, Any], base: TrainConfig, tmp_path: Path
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings: dict[str, Any] = {"dropout": 0.0, "epochs": 2} | changes
    trained = Trained(tmp_path, replace(base, **settings))
    steps, epochs = plain_loop(trained)
    events = trained.of("step")
    assert trained.losses == pytest.approx([each.loss for each in steps], rel=1e-4)
    assert [event.metrics["train_loss"] for event in trained.of("epoch")] == pytest.approx(epochs, rel=1e-4)
    assert [event.tokens for event in events] == np.cumsum([each.tokens for each in steps]).tolist()
    total = len(events)
    assert [event.learning_rate for event in events] == pytest.approx(
        [base.learning_rate * (total - done) / total for done in range(total)]
    )


# What a run says of itself in words


def test_a_runs_verdict_is_that_of_its_tables(base: TrainConfig, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    trained = Trained(tmp_path, base)
    told = trained.result["verdict"]
    tables = [read_tables(tmp_path / name)["test"] for name in ("predictions.parquet", "base.parquet")]
    counts = np.bincount(SPLITS.train["label"])
    found = verdict.of_labels("accuracy", *tables, SPLITS.label_names, counts, split="test")
    assert told == json.loads(json.dumps(found.to_dict()))
    assert told["tuned"]["value"] == trained.result["test"]["accuracy"]
    assert told["rows"] == 13 and "Only 13 rows were measured" in told["words"]
    assert trained.result["kept"] == "The model is that of the last step (8); no metric chose it."


def test_a_run_that_hardly_learned_says_so_and_what_to_try(base: TrainConfig, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    config = replace(base, learning_rate=1e-7, lora_rank=2, dropout=0.0)
    trained = Trained(tmp_path, config)
    (hint,) = trained.result["hints"]
    first, last = (np.mean(trained.losses[part]) for part in (slice(0, 2), slice(6, 8)))
    assert hint.startswith(
        f"The training loss hardly changed ({first:.3f} in the first quarter of the steps, {last:.3f} in the "
        "last): raise the learning rate from 1e-07 (LoRA usually takes ten times"
    )


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.7] * 8, "hardly changed"),
        ([0.7, 0.69, 0.6, 0.5, 0.4, 0.3, 0.3, 0.2], ""),
        ([0.7, 0.7, 0.8, 0.9, 1.0, 1.5, 1.8, 2.0], "rose"),
        ([0.7, 0.7], "Only 2 steps were taken"),
    ],
)
def test_a_hint_goes_by_the_first_and_the_last_quarter(losses: list[float], said: str) -> None:
    found = TrainingProgress()
    for loss in losses:
        found.step += 1
        found.count_loss(loss, 8, len(losses))
    told = list(hints(found, TrainConfig(learning_rate=2e-5)))
    assert len(told) == bool(said) and all(said in each for each in told)


def test_an_epoch_whose_loss_was_no_number_does_not_stay_the_best() -> None:
    best = Best(TASKS["text-classification"], TrainConfig(best_metric="loss"))
    offered = [
        best.offer({"loss": loss}, step, {}) for step, loss in enumerate((math.nan, 0.5, math.nan, 0.6, 0.4))
    ]
    assert offered == [True, True, False, False, True]


def test_an_early_end_says_why_and_which_epoch_is_kept(base: TrainConfig, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    config = replace(base, epochs=9, best_metric="loss", patience=2, learning_rate=3e-2)
    trained = Trained(tmp_path, config)
    losses = [epoch["loss"] for epoch in trained.result["epochs"]]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 9
    assert trained.result["best_step"] == 8 * (best + 1)
    assert trained.result["kept"] == (
        f"The model is that of epoch {best + 1} (step {8 * (best + 1)}), the best of {len(losses)} by loss "
        f"on the validation rows. The training ended early, after step {8 * len(losses)} of 72: the last "
        "2 epochs had no better loss."
    )
    assert trained.result["validation"]["loss"] == min(losses)
