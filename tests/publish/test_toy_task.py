"""A task that is none of the package's has a card, and its models go to the Hub and come back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from bertspace import publish
from bertspace.errors import ConfigError
from bertspace.models import inference
from bertspace.publish import Destination, RunFacts, card, demo_space
from bertspace.runs import Run
from bertspace.schema import RunState, TrainConfig
from bertspace.tasks import Task
from tests.support import toy_task
from tests.support.toy_task import Counted
from tests.support.training import FAST, Trained

NAME = "alice/counts"


@pytest.fixture(scope="module")
def toy() -> Iterator[Task]:
    with toy_task.registered() as task:
        yield task


@pytest.fixture(scope="module")
def run(toy: Task, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = TrainConfig(task=toy.name, model=str(tiny_bert), epochs=1, **FAST)
    trained = Trained(tmp_path_factory.mktemp("counts"), config, toy_task.splits())
    for event in trained.events:
        trained.run.append(event)
    trained.run.write_state(RunState(status="done", name="tiny on words"))
    return trained.run


def test_its_card_says_what_is_known_and_that_no_pipeline_runs_it(
    toy: Task, run: Run, tmp_path: Path
) -> None:
    described = card.describe(RunFacts(run), NAME, texts=True)
    text = card.write(described)
    assert described.problems == () and card.usage(described) == ""
    assert ModelCard(text).data.pipeline_tag == toy.name
    assert "load it with `AutoModelForSequenceClassification`" in text
    for said in ("16 validation rows", "| Off by |", "| Maximum length | 32 tokens |"):
        assert said in text
    assert "In brackets" not in text and "probe" not in text and "None" not in text
    assert [each.title for each in described.examples] == ["A held-out text"] * 3
    assert card.safe_write(RunFacts(run), NAME, tmp_path).problems == ()


def test_its_model_is_pushed_pulled_and_asked(toy: Task, run: Run, hub: Any, alice: str) -> None:
    done = publish.push(run, Destination(NAME))
    assert (done.verified, done.rows, done.message) == (True, 16, "")
    (answers,) = inference.predict(NAME, [toy.placeholder], task=toy.name)
    (own,) = inference.predict(f"run:{run.path}", [toy.placeholder], task=toy.name)
    assert isinstance(answers[0], Counted) and answers[0].count == own[0].count


def test_a_small_space_is_refused_in_words(toy: Task, run: Run) -> None:
    with pytest.raises(ConfigError, match="There is no small Space for Word count"):
        demo_space.of_run(run, NAME, private=False)
