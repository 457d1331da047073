"""The model card: every number against another computation, hostile texts, what is claimed to have run."""

import html as entities
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard

from bertspace import data, models, training
from bertspace.data.origin import Origin, read
from bertspace.errors import ModelError, RunError
from bertspace.models import inference
from bertspace.models.evaluation import read_tables
from bertspace.publish import RunFacts, card
from bertspace.publish.card import drawing, markdown, render, scores, snippet
from bertspace.publish.card import sentences as sentences_of_cards
from bertspace.publish.card.content import Base, Card, Label, Results
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import TASKS, intervals, metric
from bertspace.tasks.card import Example
from bertspace.tasks.fill_mask.card import mask_token
from bertspace.words import decimals, one_line, signed

if TYPE_CHECKING:
    from tests.support.hub import Hub

pytestmark = pytest.mark.slow

# Labels and texts that mean something to markdown, HTML, YAML, Jinja, a table or a terminal.
HOSTILE = (
    "a|b\\|c",
    "`tick` ``two``",
    "<script>alert(1)</script>",
    "--- x",
    "yes: {y: [z, &a *b",
    "[link](http://evil.example) ![i](x.png)",
    "{{ 7 * 7 }} {% raw %} $$x$$ \\(y\\)",
    "# *bold* _it_ ~~no~~ :smile: &amp; \u202etxt\x07",
)
EXACT = {"precision": "fp32", "dropout": 0.0, "batch_size": 8, "learning_rate": 5e-3, "max_length": 16}


def sentences(labels: int, count: int, seed: int, hostile: bool = False) -> pd.DataFrame:
    """Short texts whose last word tells the label; where they are hostile, with lines that end a table."""
    random = np.random.default_rng(seed)
    places = "sea light storm lamp night ship house new".split()
    rest = "the a keeper saw took old big small told".split()
    codes = np.arange(count) % labels
    texts = [" ".join([*random.choice(rest, size=random.integers(4, 7)), places[code]]) for code in codes]
    if hostile:
        texts = [f"{text} \n---\n| {HOSTILE[code]}" for text, code in zip(texts, codes, strict=True)]
    frame = pd.DataFrame({"text": texts}, dtype="str")
    return frame.assign(label=codes.astype("int64"))


def train(folder: Path, config: TrainConfig, splits: data.Splits, stop_at: int = 0) -> Run:
    """A finished run, as a worker leaves it; stopped after so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    data.write_splits(splits, folder / "data")
    run.write_config(data.run_config(config, splits))
    run.write_state(RunState(name="a run"))
    (folder / "lock").touch()
    for event in training.train(run.config(), run):
        run.append(event)
        if stop_at and event.step == stop_at:
            run.request_stop()
    return run


@dataclass(frozen=True)
class Made:
    """A run, its card once it has been run, and the card's text."""

    run: Run
    card: Card
    text: str

    @property
    def front(self) -> dict[str, Any]:
        return dict(ModelCard(self.text).data.to_dict())

    def table(self, split: str) -> dict[str, np.ndarray]:
        return read_tables(self.run.path / "predictions.parquet")[split]

    def rows(self, split: str) -> pd.DataFrame:
        return pd.read_parquet(self.run.path / "predictions.parquet").query("split == @split")


Maker = Callable[..., Made]


@pytest.fixture(scope="module")
def make(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    def make(splits: data.Splits, stop_at: int = 0, ran: bool = False, **settings: Any) -> Made:
        config = TrainConfig(model=str(tiny_bert), **(EXACT | settings))
        run = train(tmp_path_factory.mktemp("run"), config, splits, stop_at)
        found = card.describe(RunFacts(run), "alice/ships", license="mit", language="en", texts=True)
        if ran:
            found = card.run_snippet(found, run.path / "model")
        return Made(run, found, card.write(found))

    return make


NAMES = ("sea", "light", "storm")


@pytest.fixture(scope="module")
def single(make: Maker) -> Made:
    """Three labels, test rows, the best epoch kept."""
    parts = [sentences(3, count, seed) for count, seed in ((48, 1), (18, 2), (33, 3))]
    origin = Origin("owner/ships", "plain", "0" * 40, {"train": "owner/ships (train)", "test": "x (check)"})
    splits = data.Splits(*parts, NAMES, "owner/ships (plain)", ("2 rows repeat.",), origin)
    return make(splits, ran=True, epochs=3, best_metric="f1_macro")


@pytest.fixture(scope="module")
def hostile(make: Maker) -> Made:
    parts = [sentences(8, count, seed, hostile=True) for count, seed in ((64, 1), (16, 2))]
    findings = (f"The labels {HOSTILE[0]!r} and {HOSTILE[2]!r} are alike.", "# 1 \n---\n- x")
    origin = Origin(parts={"train": "we|rd`.csv"})
    return make(data.Splits(*parts, None, HOSTILE, "we|rd`.csv", findings, origin), epochs=1)


@pytest.fixture(scope="module")
def pairs(make: Maker) -> Made:
    """Pairs with numbers for labels, LoRA, stopped early, no test rows."""
    parts = [
        sentences(2, count, seed).assign(pair=sentences(2, count, seed + 9)["text"])[
            ["text", "pair", "label"]
        ]
        for count, seed in ((40, 1), (12, 2))
    ]
    splits = data.Splits(*parts, None, ("0", "1"), "pairs.csv", (), Origin(parts={"train": "pairs.csv"}))
    return make(splits, stop_at=4, epochs=3, lora_rank=2)


@pytest.fixture(scope="module")
def masked(make: Maker) -> Made:
    texts = [sentences(8, count, seed)[["text"]] for count, seed in ((60, 1), (40, 2))]
    splits = data.Splits(*texts, None, (), "sea.txt", (), Origin(parts={"train": "sea.txt"}))
    return make(splits, ran=True, task="fill-mask", chunk_size=16, epochs=2)


# Numbers


def guesses(rows: pd.DataFrame) -> np.ndarray:
    return np.stack(rows["probabilities"].to_list()).argmax(-1)


def sklearn_scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    return {
        "accuracy": metrics.accuracy_score(truth, guess),
        "f1_macro": metrics.f1_score(truth, guess, average="macro", zero_division=0),
        "f1_weighted": metrics.f1_score(truth, guess, average="weighted", zero_division=0),
        "precision_macro": metrics.precision_score(truth, guess, average="macro", zero_division=0),
        "matthews_correlation": metrics.matthews_corrcoef(truth, guess),
    }


def cells(text: str, heading: str) -> dict[str, list[str]]:
    """A table of the card by its rows' first cells: the one whose heading begins so."""
    lines = text[text.index(f"| {heading}") :].split("\n\n")[0].splitlines()
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_no_part_of_a_card_fails(single: Made, hostile: Made, pairs: Made, masked: Made) -> None:
    for made in (single, hostile, pairs, masked):
        assert made.card.problems == () and "left out" not in made.text


def test_every_metric_is_scikit_learn_s_of_the_predictions(single: Made) -> None:
    rows, base = single.rows("test"), pd.read_parquet(single.run.path / "base.parquet")
    base = base.query("split == 'test'")
    expected = sklearn_scores(rows["label"].to_numpy(), guesses(rows))
    before = sklearn_scores(base["label"].to_numpy(), guesses(base))
    commonest = sklearn_scores(rows["label"].to_numpy(), np.zeros(33, dtype=int))
    table = cells(single.text, "On 33 test rows")
    assert list(table)[2:] == [metric(name).title for name in expected]
    for score in single.card.results.scores:
        assert score.tuned.value == pytest.approx(expected[score.metric])
        assert score.base.value == pytest.approx(before[score.metric])
        assert score.majority == pytest.approx(commonest[score.metric])
        shown = table[metric(score.metric).title]
        assert [cell.split(" (")[0] for cell in shown[:3]] == [
            decimals(each[score.metric]) for each in (commonest, before, expected)
        ]
        assert shown[3].startswith(signed(decimals(expected[score.metric] - before[score.metric])))
    index = single.front["model-index"][0]["results"][0]["metrics"]
    assert [each["value"] for each in index] == [round(value, 4) for value in expected.values()]


def test_every_label_s_scores_and_the_confusion_matrix_are_scikit_learn_s(single: Made) -> None:
    from sklearn.metrics import classification_report, confusion_matrix

    rows = single.rows("test")
    truth, guess = rows["label"].to_numpy(), guesses(rows)
    report = classification_report(truth, guess, target_names=NAMES, output_dict=True, zero_division=0)
    assert np.array_equal(np.array(single.card.results.confusion), confusion_matrix(truth, guess))
    table = cells(single.text, "Label | Precision")
    for name in NAMES:
        found = [report[name][key] for key in ("precision", "recall", "f1-score")]
        assert table[f"`{name}`"] == [*map(decimals, found), str(int(report[name]["support"]))]
    right = int((truth == guess).sum())
    assert f"{right} of 33 lie on the diagonal" in single.text


def test_perplexity_is_that_of_the_masked_rows(masked: Made) -> None:
    rows = masked.rows("validation")
    expected = math.exp(rows["loss_sum"].sum() / rows["masks"].sum())
    score = masked.card.results.score("perplexity")
    assert score.tuned.value == pytest.approx(expected)
    assert score.tuned.low < expected < score.tuned.high
    assert metric("perplexity").figure(expected) in cells(masked.text, "On ")["Perplexity"][1]
    assert f"{int(rows['masks'].sum())} hidden tokens" in masked.text
    result = masked.run.result() or {}
    assert score.base.value == pytest.approx(result["base"]["validation"]["perplexity"])


def table_of(truth: np.ndarray, guess: np.ndarray) -> dict[str, np.ndarray]:
    classes = int(max(truth.max(), guess.max())) + 1
    return {"probabilities": np.eye(classes)[guess], "label": truth, "loss": np.ones(len(truth))}


def measure(
    names: Sequence[str],
    tuned: dict[str, np.ndarray],
    base: dict[str, np.ndarray] | None = None,
    recorded: dict[str, float] | None = None,
) -> Results:
    tables = {"tuned": tuned} | ({"base": base} if base else {})
    return scores.measure(TASKS["text-classification"], "test", names, tables, recorded or {}, {})


def drawn_labels(seed: int, accuracy: float, count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.random.default_rng(0).choice(4, size=count, p=[0.5, 0.3, 0.15, 0.05])
    return truth, np.where(random.random(count) < accuracy, truth, random.integers(0, 4, size=count))


def test_the_intervals_agree_with_a_bootstrap_that_draws_the_rows_one_by_one() -> None:
    truth, before = drawn_labels(1, 0.4)
    _, after = drawn_labels(2, 0.8)
    found = measure("abcd", table_of(truth, after), table_of(truth, before))
    random, drawn = np.random.default_rng(5), []
    for _ in range(200):
        rows = random.integers(0, len(truth), size=len(truth))
        drawn.append(
            [list(sklearn_scores(truth[rows], each[rows]).values()) for each in (after, before)],
        )
    values = np.array(drawn)  # (draws, 2 models, metrics)
    for place, score in enumerate(found.scores):
        after_, before_ = values[:, 0, place], values[:, 1, place]
        for measured, each in (
            (score.tuned, after_),
            (score.base, before_),
            (score.change, after_ - before_),
        ):
            expected = np.quantile(each, [0.025, 0.975])
            near = (
                0.05 if score.metric == "accuracy" else 0.03
            )  # Wilson's and Newcombe's are wider on purpose
            assert [measured.low, measured.high] == pytest.approx(expected, abs=near), score.metric


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_resampled_metrics_are_scikit_learn_s_of_the_rows_drawn_also_where_a_label_is_missing() -> None:
    truth, guess = np.array([0, 0, 1, 2, 1, 0]), np.array([0, 1, 1, 1, 1, 2])
    weights = np.array([[1.0] * 6, [2, 1, 3, 0, 0, 0], [0, 0, 6, 0, 0, 0], [0, 0, 0, 0, 0, 6]])
    found = intervals.label_metrics(truth, guess, 3)(weights)
    for place, weight in enumerate(weights):
        rows = np.repeat(np.arange(6), weight.astype(int))
        for name, value in sklearn_scores(truth[rows], guess[rows]).items():
            assert found[name][place] == pytest.approx(value), (name, place)


def test_wilson_s_and_newcombe_s_intervals_are_the_published_ones() -> None:
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert intervals.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert intervals.wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
    # Newcombe 1998 (improved intervals for paired data), table III: method 10
    assert intervals.newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    assert intervals.newcombe(36, 14, 0, 0) == pytest.approx((0.1528, 0.4167), abs=5e-5)
    assert intervals.newcombe(0, 0, 0, 30) == pytest.approx((-0.1135, 0.1135), abs=5e-5)


def test_perfect_predictions_have_no_interval_that_resampling_could_not_tell() -> None:
    truth, before = drawn_labels(1, 0.4)
    found = measure("abcd", table_of(truth, truth), table_of(truth, before))
    accuracy, f1 = found.score("accuracy"), found.score("f1_macro")
    assert (accuracy.tuned.high, f1.tuned.low, f1.change.low) == (1.0, None, None)
    assert 0.95 < accuracy.tuned.low < 1
    assert (render.sentences.interval(f1.tuned, "f1_macro"), f1.base.low is None) == ("1.000", False)


def test_a_run_that_kept_no_base_rows_has_an_interval_of_the_base_s_accuracy_alone(single: Made) -> None:
    told = {"accuracy": 20 / 33, "f1_macro": 0.5}
    found = measure(NAMES, single.table("test"), None, told)
    accuracy, f1 = found.score("accuracy"), found.score("f1_macro")
    assert (accuracy.base.low, accuracy.base.high) == intervals.wilson(20, 33)
    assert (f1.base.low, f1.change, accuracy.change) == (None, None, None)
    assert found.score("f1_weighted").base is None


def test_tables_of_other_rows_are_not_compared(single: Made) -> None:
    table = single.table("test")
    with pytest.raises(ValueError, match="not of the same rows"):
        measure(NAMES, table, {name: values[1:] for name, values in table.items()})


# Front matter


def test_the_front_matter_of_a_hub_data_set_is_whole(single: Made) -> None:
    front = single.front
    results = front.pop("model-index")
    assert {name: front[name] for name in front if name != "widget"} == {
        "language": "en",
        "license": "mit",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "datasets": ["owner/ships"],
        "metrics": ["accuracy", "f1", "precision", "matthews_correlation"],
        "tags": ["bertspace", "bert"],
    }
    (result,) = results[0]["results"]
    assert (results[0]["name"], result["task"]["type"]) == ("ships", "text-classification")
    assert result["dataset"] == {
        "name": "ships",
        "type": "owner/ships",
        "config": "plain",
        "split": "check",
        "revision": "0" * 40,
    }
    args = [each.get("args") for each in result["metrics"]]
    assert args == [None, {"average": "macro"}, {"average": "weighted"}, {"average": "macro"}, None]


def test_every_entry_of_a_model_index_is_complete_and_huggingface_hub_reads_it_again(
    single: Made, hostile: Made, pairs: Made, masked: Made
) -> None:
    for made in (single, hostile, pairs, masked):
        parsed = ModelCard(made.text)
        assert ModelCard(str(parsed)).data.to_dict() == parsed.data.to_dict()
        assert parsed.data.eval_results
        for result in parsed.data.eval_results:
            named = (result.task_type, result.dataset_type, result.dataset_name, result.metric_type)
            assert all(named) and isinstance(result.metric_value, float)


def test_the_hub_takes_every_card(
    hub: "Hub", single: Made, hostile: Made, pairs: Made, masked: Made, tmp_path: Path
) -> None:
    base = Base("owner/base", "abc", "mit", direct=True)
    texts = [made.text for made in (single, hostile, pairs, masked)]
    texts.append(card.write(replace(pairs.card, adapter=True, base=base)))
    texts.append(card.write_minimal(single.card))
    texts.append(card.safe_write(RunFacts(Run(tmp_path / "none")), "alice/ships", tmp_path).text)
    for text in texts:
        ModelCard(text).validate()  # raises ValueError where the Hub says no


def test_results_on_unknown_data_stay_out_of_the_model_index(single: Made) -> None:
    bare = replace(single.card, origin=Origin(), source="somewhere")
    front = card.metadata(bare).to_dict()
    assert not {"model-index", "eval_results", "metrics", "datasets"} & front.keys()
    assert "## Results" in card.write(bare)


def test_widget_examples_carry_the_answers_that_were_recorded(single: Made, masked: Made) -> None:
    held_out = set(single_texts(single, "test"))
    for entry in single.front["widget"]:
        assert entry["text"] in held_out
        assert [each["label"] for each in entry["output"]] and len(entry["output"]) == 3
        assert sum(each["score"] for each in entry["output"]) == pytest.approx(1, abs=1e-3)
    assert [entry["example_title"] for entry in single.front["widget"]] == [f"Labelled {n}" for n in NAMES]
    for entry in masked.front["widget"]:
        hidden = entry["example_title"].removeprefix("Hidden word: ")
        assert entry["text"].replace("[MASK]", hidden) in set(single_texts(masked, "validation"))
        assert len(entry["output"]) == 5


def single_texts(made: Made, part: str) -> list[str]:
    return pd.read_parquet(made.run.path / "data" / f"{part}.parquet")["text"].tolist()


def test_recorded_answers_are_the_model_s_own(single: Made) -> None:
    example = single.card.examples[0]
    (found,) = inference.predict(str(single.run.path / "model"), [example.text])[0]
    assert dict(example.output) == pytest.approx(found.scores, abs=1e-5)


def test_pairs_have_no_widget_and_stand_in_the_snippet(pairs: Made) -> None:
    assert "widget" not in pairs.front
    assert '"text_pair": ' in card.usage(pairs.card) and '"text_pair": ' in pairs.text


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("", {"license": "apache-2.0"}),
        (" MIT ", {"license": "mit"}),
        ("Our terms: no", {"license": "other", "license_name": "our terms: no"}),
    ],
)
def test_the_licence_is_inherited_or_the_one_that_was_confirmed(
    license: str, expected: dict[str, str], single: Made
) -> None:
    described = replace(single.card, base=Base(license="apache-2.0"))
    described = replace(described, license=license.strip().lower() or described.base.license)
    front = card.metadata(described).to_dict()
    assert {name: value for name, value in front.items() if name.startswith("license")} == expected
    said = card.write(described).partition("## Licence")[2]
    assert ("like the base model." in said) == (not license)


def test_an_adapter_is_peft_s_and_relates_to_its_base(pairs: Made) -> None:
    base = Base("owner/base", "abc", "mit", direct=True)
    front = card.metadata(replace(pairs.card, adapter=True, base=base)).to_dict()
    assert (front["library_name"], front["base_model"]) == ("peft", "owner/base")
    assert front["base_model_relation"] == "adapter" and "lora" in front["tags"]
    assert card.metadata(replace(pairs.card, base=base)).to_dict()["base_model_relation"] == "finetune"


# The base model


def chain(home: Path, *names: str) -> TrainConfig:
    """Runs of runs, the first of which began with names[0]; the settings of the last one."""
    config = TrainConfig(model=names[0])
    for place in range(1, len(names) + 1):
        folder = home / "local" / f"run-{place}"
        run = Run(folder)
        folder.mkdir(parents=True)
        run.write_config(config)
        run.write_state(RunState())
        config = TrainConfig(model=f"run:run-{place}")
    return config


def test_a_run_of_a_run_goes_back_to_the_model_on_the_hub(home: Path) -> None:
    found = card.base_of(chain(home, "owner/name@abc", "x", "y"))
    assert found == Base("owner/name", "abc", direct=False)
    assert card.base_of(TrainConfig(model="owner/name@abc")).direct


def test_the_starter_goes_by_its_name_on_the_hub() -> None:
    found = card.base_of(TrainConfig())
    assert (found.repo_id, found.license, found.direct) == (models.STARTER_HUB_ID, "apache-2.0", True)
    # For fill-mask the starter's encoder has other weights than the one on the Hub.
    assert not card.base_of(TrainConfig(task="fill-mask")).direct


@pytest.mark.parametrize("name", ["/somewhere/else", "./here", "~/there", "run:20200101-000000-abcdef"])
def test_a_local_base_has_no_name_and_no_path_in_the_card(name: str, single: Made) -> None:
    found = card.base_of(TrainConfig(model=name))
    assert found == Base()
    assert str(single.run.config().model) not in single.text
    assert not {"base_model", "base_model_relation"} & single.front.keys()
    assert "A local model (bert) fine-tuned to classify texts" in single.text


def test_the_licence_of_a_base_is_read_from_its_readme_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertspace.hub import cache

    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlanguage: en\nlicense: 'MIT'\n---\nlicense: gpl\n")
    monkeypatch.setattr(cache, "places", lambda: [tmp_path])
    assert card.inherited_license("owner/name", "abc") == "mit"
    assert card.inherited_license("owner/name", "def") == card.inherited_license("owner/other") == ""


# What is said


def test_the_best_epoch_is_named_with_what_chose_it(single: Made, masked: Made) -> None:
    result = single.run.result() or {}
    kept = next(each for each in result["epochs"] if each["step"] == result["best_step"])
    assert f"epoch {kept['epoch']:g} (step {result['best_step']}), the best of 3 by macro F1" in single.text
    assert "is that of the last step" in masked.text
    for epoch in result["epochs"]:
        row = cells(single.text, "Epoch")[f"{epoch['epoch']:g}"]
        shown = [decimals(epoch[name]) for name in ("train_loss", "loss", "accuracy", "f1_macro")]
        assert [cell.strip("* ") for cell in row[1:]] == shown


def test_the_data_are_cited_as_exactly_as_they_are_known(single: Made, pairs: Made, masked: Made) -> None:
    assert "[owner/ships](https://huggingface.co/datasets/owner/ships), configuration `plain`" in single.text
    assert f"revision `{'0' * 40}`. 48 training rows, 18 validation rows and 33 test rows." in single.text
    assert "- 2 rows repeat." in single.text
    assert "A file of the author's own: `pairs.csv` (training). 40 training rows" in pairs.text
    assert "10 % of the rows were held out at random for validation, keeping each label's share" in pairs.text
    counts = cells(single.text, "Label | Training")["`light`"]
    assert [int(count) for count in counts[:3]] == [16, 6, 11]
    train = set(single_texts(single, "train"))
    assert all(text in train for label in single.card.labels for (text,) in label.texts)
    assert "training chunks and" in masked.text and "| Label |" not in masked.text


def test_limits_say_what_the_run_showed(single: Made, pairs: Made) -> None:
    assert "- Only 33 rows were measured" in single.text
    cut = pairs.run.result()["truncated"]["train"]  # type: ignore[index]
    assert "- The training was stopped after 4 of 15 steps." in pairs.text
    assert bool(cut) == ("of the training rows" in pairs.text and "were cut off there" in pairs.text)


def test_the_verdict_is_the_run_s_own(single: Made, pairs: Made, masked: Made) -> None:
    for made in (single, pairs, masked):
        told = (made.run.result() or {})["verdict"]
        assert markdown.item(made.card.verdict.sentence) in made.text
        assert told["words"].startswith(made.card.verdict.sentence)
        assert set(told["notes"]) <= set(made.card.limits)


def test_a_weak_label_is_named_with_what_it_is_taken_for() -> None:
    truth = np.repeat([0, 1, 2], 40)
    guess = truth.copy()
    guess[40:70] = 2
    results = measure(NAMES, table_of(truth, guess))
    from bertspace.publish.card.limits import _weak_labels

    assert list(_weak_labels(results)) == [
        "“light” is among the least reliable labels: F1 0.400, 10 of 40 rows found, 30 mistaken for “storm”."
    ]


def test_settings_name_the_steps_and_the_machine_but_no_path(pairs: Made, tiny_bert: Path) -> None:
    table = cells(pairs.text, "| |") if "| | |" in pairs.text else {}
    result = pairs.run.result() or {}
    assert table["Epochs"] == ["0.8 (4 steps)"]
    assert "LoRA of rank 2" in table["Trained"][0]
    assert table["Precision"] == ["fp32"] and table["Seed"] == ["42"]
    assert result["environment"]["torch"] in table["Versions"][0]
    assert str(tiny_bert) not in pairs.text and str(pairs.run.path) not in pairs.text


def test_what_has_nothing_to_say_is_left_out(single: Made) -> None:
    bare = Card("alice/ships", "text-classification", single.card.config, Base(), placeholder="A text.")
    text = card.write(bare)
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# ships", "## How to use"]
    assert "None" not in text.replace("top_k=None", "") and "nan" not in text


def test_texts_of_the_data_can_be_kept_out(hostile: Made) -> None:
    text = card.write(card.describe(RunFacts(hostile.run), "alice/ships", texts=False))
    assert "keeper" not in text and "widget" not in text and "Examples" not in text
    assert '\ntext = "A text of yours."\n' in text
    assert "| Label | Training | Validation |" in text


def test_a_masked_card_without_texts_has_a_sentence_with_the_model_s_mask(masked: Made) -> None:
    described = card.describe(RunFacts(masked.run), "alice/ships", texts=False)
    assert described.examples == () and '"The [MASK] was there."' in card.usage(described)
    assert card.usage(replace(described, placeholder="")) == ""


def test_many_labels_are_cut_to_the_worst_and_the_commonest(single: Made) -> None:
    names = [f"label {number}" for number in range(90)]
    truth = np.tile(np.arange(90), 3)
    guess = truth.copy()
    guess[:3] = 50
    results = measure(names, table_of(truth, guess))
    labels = tuple(Label(name, {"train": number}) for number, name in enumerate(names))
    described = replace(single.card, label_names=tuple(names), labels=labels)
    text = card.write(replace(described, results=results))
    assert "classify texts by 90 labels" in text
    assert list(cells(text, "The 40 least reliable labels"))[2:4] == ["`label 50`", "`label 0`"]
    assert list(cells(text, "The 40 most common of 90 labels"))[2] == "`label 89`"


# Hostile texts


def structure(text: str) -> list[tuple[str, str]]:
    """What a markdown reader makes of the body: blocks, and in lines all but the markdown."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    found = []
    for token in tokens:
        inner = [each for each in token.children or [] if each.type not in ("text", "code_inline")]
        # A label is code either as markdown has it or as HTML.
        inner = [each for each in inner if each.content not in ("<code>", "</code>")]
        found += [(token.type, token.tag), *((each.type, each.tag) for each in inner)]
    return found


def tamed(described: Card) -> Card:
    """The same card with harmless words in the place of hostile ones."""
    results = described.results
    assert results is not None
    return replace(
        described,
        label_names=tuple(f"label{n}" for n in range(8)),
        labels=tuple(
            Label(f"label{n}", label.rows, tuple(("words",) for _ in label.texts))
            for n, label in enumerate(described.labels)
        ),
        results=replace(results, classes=tuple(replace(each, label="label") for each in results.classes)),
        findings=("words", "words"),
        limits=tuple("words" for _ in described.limits),
        source="file.csv",
        origin=Origin(parts={"train": "file.csv"}),
        examples=(Example("words", "words"),),
    )


def body(text: str) -> str:
    return ModelCard(text).text


def test_hostile_texts_leave_the_card_s_structure_as_harmless_ones_would(hostile: Made) -> None:
    described = replace(hostile.card, examples=(Example("```\n---\n" + HOSTILE[1], "words"),))
    assert structure(body(card.write(described))) == structure(body(card.write(tamed(described))))


def test_hostile_texts_are_shown_as_they_are(hostile: Made) -> None:
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable(["table"]).render(body(hostile.text))
    tags = set(re.findall(r"<(/?\w+)", html))
    assert not tags & {"script", "del", "s"} and "<em>" not in html.replace("<em>Written", "")
    ours = [f"training/{name}" for name in ("config.yaml", "environment.json", "data.json")]
    assert re.findall('href="([^"]*)"', html) == [*ours, sentences_of_cards.PROJECT]
    shown = re.findall(r"<td[^>]*><code>(.*?)</code></td>", html)
    assert {entities.unescape(each) for each in shown} == {one_line(label) for label in HOSTILE}


def test_hostile_texts_come_through_the_front_matter_unchanged(hostile: Made) -> None:
    for example in hostile.card.examples:
        assert {"text": example.text, "example_title": example.title} in hostile.front["widget"]
    assert hostile.text.count("\n---\n") == 1  # the end of the front matter and nothing else
    yaml.safe_load(hostile.text.split("\n---\n")[0].removeprefix("---\n"))


@pytest.mark.parametrize(
    "text", ["no", "null", "1.0", "a: b", "- x", "'", '"', "%", "!tag", "@x", "é 日本 😀"]
)
def test_texts_that_are_something_else_to_yaml_stay_texts(text: str, single: Made) -> None:
    described = replace(single.card, examples=(Example(text, text, output=((text, 0.5),)),))
    (entry,) = ModelCard(card.write(described)).data.to_dict()["widget"]
    assert entry == {"text": text, "example_title": text, "output": [{"label": text, "score": 0.5}]}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain words, it's fine (really)!", "plain words, it's fine (really)!"),
        ("two\nlines\u2028and\ttabs", "two lines and tabs"),
        ("a\u202eb\x00c\u200dd", "abc\u200dd"),
        ("a | b", "a &#124; b"),
        ("www.evil.example", "www&#46;evil.example"),
    ],
)
def test_prose_escapes_what_means_something_and_nothing_else(text: str, written: str) -> None:
    assert markdown.prose(text) == written


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert markdown.fenced("````\nx\n````") == "`````\n````\nx\n````\n`````"


# The snippet


def test_what_the_snippet_printed_is_what_it_prints(single: Made, masked: Made) -> None:
    import transformers

    for made, key in ((single, "label"), (masked, "token_str")):
        assert made.card.ran is not None
        expected = [f"{score:.3f}  {name}" for name, score in made.card.examples[0].output]
        assert made.card.ran.output.splitlines() == expected and key in card.usage(made.card)
        assert made.card.ran.transformers == transformers.__version__
        assert made.card.ran.output in made.text and "Run before publication" in made.text
        compile(card.usage(made.card), "snippet", "exec")


def test_an_adapter_is_loaded_onto_its_base_by_the_snippet(
    pairs: Made, tiny_bert: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "pushed"
    shutil.copytree(pairs.run.path / "model" / "adapter", folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pairs.run.path / "model" / name, folder)
    described = replace(pairs.card, adapter=True, base=Base("owner/base", "abc", direct=True), ran=None)
    found = card.run_snippet(described, folder, tiny_bert)
    texts, second = zip(*((example.text, example.pair) for example in found.examples), strict=True)
    answers = inference.predict(str(pairs.run.path / "model"), texts, pairs=second)
    for example, (answer,) in zip(found.examples, answers, strict=True):
        assert dict(example.output) == pytest.approx(answer.scores, abs=1e-5)
    assert 'from_pretrained("owner/base", revision="abc", num_labels=2' in card.write(found)


def test_nothing_is_said_of_an_adapter_whose_base_is_not_on_the_hub(pairs: Made) -> None:
    described = replace(pairs.card, adapter=True, base=Base("owner/base"), ran=None)
    assert card.usage(described) == "" and "## How to use" not in card.write(described)
    assert card.run_snippet(described, Path("nowhere")) == described


def test_a_snippet_that_fails_is_not_claimed(single: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    described = replace(single.card, ran=None)
    with pytest.raises(ModelError, match="TimeoutExpired"):
        card.run_snippet(described, single.run.path / "model", seconds=0.01)
    monkeypatch.setattr(snippet.sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match="fails"):
        card.run_snippet(described, single.run.path / "model")
    text = card.write(described)
    assert "Run before" not in text and "## How to use" in text


# Pictures


@pytest.fixture
def drawn(single: Made, tmp_path: Path) -> Path:
    card.pictures(single.card, tmp_path)
    return tmp_path


def test_the_pictures_are_those_that_the_text_links_with_words_for_who_cannot_see_them(
    single: Made, drawn: Path
) -> None:
    linked = re.findall(r'<img src="([^"/]+)" width="(\d+)" alt="([^"]+)">', single.text)
    assert [name for name, _, _ in linked] == ["confusion_matrix.svg", "learning_curve.svg"]
    assert {path.name for path in drawn.iterdir()} == {name for name, _, _ in linked}
    for name, width, alt in linked:
        svg = ElementTree.parse(drawn / name).getroot()
        assert svg.get("width") == width and len(alt) > 30
        assert (drawn / name).stat().st_size < 200_000


def test_the_sheet_is_opaque_so_that_it_reads_on_dark_pages(drawn: Path) -> None:
    first = ElementTree.parse(drawn / "confusion_matrix.svg").getroot()[0]
    assert (first.get("width"), first.get("height"), first.get("fill")) == ("100%", "100%", "#ffffff")


def test_a_cell_is_the_redder_the_more_of_its_row_it_holds(single: Made) -> None:
    results = replace(single.card.results, confusion=((8, 2, 0), (0, 10, 0), (1, 1, 1)))
    svg = drawing.confusion_matrix(results).svg()
    shares = [float(share) for share in re.findall(r'fill-opacity="([\d.]+)"', svg)]
    assert shares == pytest.approx([0.8**0.8, 0.2**0.8, 1, *[(1 / 3) ** 0.8] * 3], abs=0.001)


@pytest.mark.parametrize("labels", [("日本", "b"), ("x" * 300, "<&{{}}"), tuple(map(str, range(40)))])
def test_any_labels_can_be_drawn(labels: tuple[str, ...]) -> None:
    truth = np.arange(len(labels)).repeat(2)
    results = measure(labels, table_of(truth, truth))
    svg = ElementTree.fromstring(drawing.confusion_matrix(results).svg())
    shown = [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {label if len(label) <= 24 else f"{label[:23]}…" for label in labels} <= set(shown)


def test_a_loss_that_is_not_a_number_leaves_the_rest_of_the_curve(single: Made, tmp_path: Path) -> None:
    broken = replace(single.card, curve=((1.0, float("nan")), (2.0, 1.0), (3.0, float("inf"))))
    drawing.pictures(broken, tmp_path)
    ElementTree.parse(tmp_path / "learning_curve.svg")


# A card never stands in the way of weights


def test_a_whole_card_is_written_beside_its_pictures(single: Made, tmp_path: Path) -> None:
    found = card.safe_write(
        RunFacts(single.run), "alice/ships", tmp_path / "new", license="mit", language="en"
    )
    assert found.problems == () and found.text == (tmp_path / "new" / "README.md").read_text()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"README.md", *found.pictures}


def copied(run: Run, folder: Path) -> Run:
    import shutil

    return Run(Path(shutil.copytree(run.path, folder / "copy")))


BREAK: dict[str, Callable[[Run], object]] = {
    "the results": lambda run: (run.path / "predictions.parquet").write_text("x"),
    "the rows": lambda run: (run.path / "data" / "train.parquet").write_text("x"),
    "the curve": lambda run: (run.path / "events.jsonl").write_text("{}\n"),
}


@pytest.mark.parametrize("part", BREAK)
def test_a_part_that_fails_is_left_out_and_named(part: str, single: Made, tmp_path: Path) -> None:
    run = copied(single.run, tmp_path)
    BREAK[part](run)
    found = card.safe_write(RunFacts(run), "alice/ships", tmp_path / "out")
    assert any(problem.startswith(part) for problem in found.problems)
    assert f"<!-- bertspace left out: {part} (" in found.text and str(tmp_path) not in found.text
    assert ModelCard(found.text).data.pipeline_tag == "text-classification"
    assert all((tmp_path / "out" / name).is_file() for name in found.pictures)


@pytest.mark.parametrize("name", ["result.json", "config.yaml"])
def test_where_all_fails_there_is_a_card_of_front_matter_and_a_sentence(
    name: str, single: Made, tmp_path: Path
) -> None:
    run = copied(single.run, tmp_path)
    (run.path / name).write_text("{" if name.endswith("json") else "model: [")
    found = card.safe_write(RunFacts(run), "alice/ships", tmp_path / "out", license="mit")
    parsed = ModelCard(found.text)
    known = name == "result.json"
    assert (parsed.data.license, parsed.data.tags) == ("mit", ["bertspace"])
    assert parsed.data.pipeline_tag == ("text-classification" if known else None)
    said = (
        "fine-tuned to classify texts as `sea`, `light` or `storm`."
        if known
        else "fine-tuned with bertspace."
    )
    assert f"A local model {said}" in parsed.text and "<!-- bertspace left out" in parsed.text
    assert found.pictures == () and parsed.data.eval_results is None


def test_a_template_that_fails_leaves_the_small_card(
    single: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_names", lambda _: {})
    found = card.safe_write(RunFacts(single.run), "alice/ships", tmp_path)
    assert found.problems == ("the text (UndefinedError)",)
    assert ModelCard(found.text).data.tags == ["bertspace", "bert"]


def test_a_run_without_a_result_has_no_card_yet(tmp_path: Path) -> None:
    run = Run.create(TrainConfig(), folder=tmp_path / "run")
    with pytest.raises(RunError, match="no result yet"):
        card.describe(RunFacts(run), "alice/ships")
    found = card.safe_write(RunFacts(run), "alice/ships", tmp_path / "out")
    assert "all-MiniLM-L6-v2" in found.text and found.problems == ("what was measured (RunError)",)


# Small things


def test_the_origin_of_older_runs_is_what_their_words_tell_for_sure() -> None:
    assert read({"source": "owner/ships (plain)"}) == Origin("owner/ships", "plain")
    assert (
        read({"source": "ships.csv"}) == read({"source": "sample: Office messages"}) == read({}) == Origin()
    )
    kept = Origin("a/b", "", "0" * 40, {"train": "a/b (train)"})
    assert read({"origin": {"dataset": "a/b", "revision": "0" * 40, "parts": kept.parts, "new": 1}}) == kept


def test_the_mask_token_is_the_model_s_own(tmp_path: Path) -> None:
    for written in ('"<mask>"', '{"content": "<mask>", "lstrip": true}'):
        (tmp_path / "tokenizer_config.json").write_text(f'{{"mask_token": {written}}}')
        assert mask_token(tmp_path) == "<mask>"
