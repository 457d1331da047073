"""The cache of loaded models: bounded, loaded once, never in the way; and the time limit of a call."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import hardware, models
from bertspace.errors import BertspaceError, ConfigError, ModelError, TimeLimitError
from bertspace.models import evaluation, inference
from bertspace.models import loading as loading_module

TEXT = "the ship is [MASK]"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> inference.ModelCache:
    """A cache of the test's own, empty."""
    fresh = inference.ModelCache()
    monkeypatch.setattr(inference, "_CACHE", fresh)
    return fresh


@pytest.fixture
def copies(tiny_bert: Path, tmp_path: Path) -> Callable[[str], str]:
    """A copy of the tiny BERT under a name of its own."""

    def copy(name: str) -> str:
        return str(shutil.copytree(tiny_bert, tmp_path / name))

    return copy


class Loading:
    """The real load_model, which writes down what it loads, and can be made to wait or to fail."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.slow = self.broken = ""
        self.real = models.load_model

    def __call__(self, located: models.Located, task: str, **options: Any) -> Any:
        name = located.path.name
        if name == self.slow:
            self.begun.set()
            assert self.go_on.wait(180)
        if name == self.broken:
            raise ModelError(f"{name} cannot be loaded.")
        self.loaded.append(name)
        return self.real(located, task, **options)


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loading]:
    found = Loading()
    monkeypatch.setattr(loading_module, "load_model", found)
    yield found
    found.go_on.set()


def ask(name: str, **options: Any) -> list[Any]:
    return inference.predict(name, [TEXT], task="fill-mask", **options)


def names(cache: inference.ModelCache) -> list[str]:
    return [path.name for path, *_ in cache.models]


def test_the_size_is_that_of_the_parameters_and_buffers(
    cache: inference.ModelCache, copies: Callable[[str], str]
) -> None:
    ask(copies("a"))
    (loaded,) = cache.models.values()
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    assert cache.size == loaded.size == sum(each.numel() * each.element_size() for each in tensors) > 0


def test_the_model_used_longest_ago_goes_first_when_the_bytes_are_spent(
    cache: inference.ModelCache, copies: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = map(copies, "abc")
    ask(a)
    monkeypatch.setenv("BERTSPACE_MODEL_CACHE_BYTES", str(cache.size * 2))
    ask(b)
    ask(a)
    ask(c)
    assert names(cache) == ["a", "c"]
    assert cache.size <= inference.most_bytes()


def test_one_model_is_kept_however_large_it_is(
    cache: inference.ModelCache,
    copies: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    loading: Loading,
) -> None:
    monkeypatch.setenv("BERTSPACE_MODEL_CACHE_BYTES", "1")
    a = copies("a")
    ask(a)
    ask(a)
    assert (names(cache), loading.loaded) == (["a"], ["a"])
    ask(copies("b"))
    assert names(cache) == ["b"]


def test_the_limit_is_a_share_of_the_memory_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hardware, "CONTAINER_LIMITS", (tmp_path / "none",))
    whole = inference.most_bytes()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "CONTAINER_LIMITS", (limit,))
    limit.write_text("max\n")
    assert inference.most_bytes() == whole > 2**20
    limit.write_text(f"{2**22}\n")
    assert inference.most_bytes() == 2**20
    monkeypatch.setenv("BERTSPACE_MODEL_CACHE_BYTES", "12345")
    assert inference.most_bytes() == 12345
    monkeypatch.setenv("BERTSPACE_MODEL_CACHE_BYTES", "1 GB")
    with pytest.raises(ConfigError, match="'1 GB'.*bytes"):
        inference.most_bytes()


def test_simultaneous_first_calls_load_a_model_once(copies: Callable[[str], str], loading: Loading) -> None:
    name = copies("a")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [name] * 16))
    assert loading.loaded == ["a"]
    assert all(answer == answers[0] for answer in answers)


def test_models_that_are_there_answer_while_another_is_being_loaded(
    copies: Callable[[str], str], loading: Loading
) -> None:
    small, big = copies("small"), copies("big")
    expected = ask(small)
    loading.slow = "big"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, big)
        assert loading.begun.wait(180)
        assert ask(small, seconds=30) == expected
        assert not waiting.done()
        loading.go_on.set()
        assert waiting.result(30) == expected


def test_a_model_that_fails_to_load_is_tried_again_and_takes_nothing_from_others(
    cache: inference.ModelCache, copies: Callable[[str], str], loading: Loading
) -> None:
    good, bad = copies("good"), copies("bad")
    ask(good)
    loading.broken = "bad"
    for _ in range(2):
        with pytest.raises(ModelError, match="bad cannot be loaded"):
            ask(bad)
    assert names(cache) == ["good"]
    loading.broken = ""
    assert ask(bad) == ask(good)
    assert loading.loaded == ["good", "bad"]


def test_a_model_that_was_written_anew_takes_the_place_of_the_old_one(
    cache: inference.ModelCache, copies: Callable[[str], str], loading: Loading
) -> None:
    name = copies("a")
    ask(name)
    weights = Path(name) / "model.safetensors"
    weights.touch()
    ask(name)
    assert (loading.loaded, names(cache)) == (["a", "a"], ["a"])


def test_a_model_that_is_being_replaced_is_told_plainly(copies: Callable[[str], str]) -> None:
    located = models.Located("run:1", Path(copies("a")), "run")
    (located.path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is being saved. Try again"):
        inference._written(located)


# The time limit


def test_a_call_ends_between_batches_when_its_time_is_over(
    copies: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies("a")
    ask(name)
    monkeypatch.setattr(inference, "BATCH", 1)
    with pytest.raises(TimeLimitError, match="No answer within 0.05 seconds. Give fewer") as caught:
        inference.predict(name, [TEXT] * 2000, task="fill-mask", seconds=0.05)
    assert isinstance(caught.value, BertspaceError)


def test_a_call_ends_while_it_waits_for_its_turn_at_the_model(
    cache: inference.ModelCache, copies: Callable[[str], str]
) -> None:
    name = copies("a")
    answer = ask(name)
    (loaded,) = cache.models.values()
    with loaded.lock, pytest.raises(TimeLimitError):
        ask(name, seconds=0.1)
    assert ask(name, seconds=60) == answer


def test_a_call_ends_while_it_waits_for_a_model_to_be_loaded(
    cache: inference.ModelCache, copies: Callable[[str], str]
) -> None:
    name = copies("a")
    with cache.loading, pytest.raises(TimeLimitError):
        ask(name, seconds=0.1)
    assert names(cache) == []


def test_a_short_text_has_its_turn_between_two_batches_of_a_long_call(
    cache: inference.ModelCache, copies: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies("a")
    ask(name)
    (loaded,) = cache.models.values()
    held: list[bool] = []
    monkeypatch.setattr(inference, "BATCH", 1)
    watched = lambda *_: (held.append(loaded.lock.locked()) or [0] for _ in "ab")  # noqa: E731
    monkeypatch.setattr(inference, "_by_length", watched)
    ask(name)
    assert held == [False, False]


def test_answers_come_in_the_order_of_the_texts_however_they_are_batched(
    copies: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies("a")
    texts = ["the [MASK] is old", "a [MASK]", "the keeper saw the [MASK] and the light of the sea", "[MASK]"]
    alone = [inference.predict(name, [text], task="fill-mask")[0] for text in texts]
    monkeypatch.setattr(inference, "BATCH", 3)
    together = inference.predict(name, texts, task="fill-mask")
    labels = [[each.best for each in found] for found in together]
    assert labels == [[each.best for each in found] for found in alone]
    assert [found[0].text for found in together] == [found[0].text for found in alone]


# What is read of a text


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_a_runs_model_reads_as_much_of_a_text_wherever_it_answers(
    older: bool, tiny_bert: Path, tmp_path: Path
) -> None:
    from bertspace.models import comparison
    from bertspace.runs import Run
    from bertspace.schema import TrainConfig
    from bertspace.training import train

    config = TrainConfig(
        model=str(tiny_bert),
        train_file="t.csv",
        max_length=16,
        max_steps=2,
        batch_size=8,
        checkpoint_minutes=0,
    )
    run = Run.create(config)
    (run.path / "t.csv").write_text("text,label\n" + "the good ship,a\na bad storm,b\n" * 20)
    list(train(config, run))
    said = run.path / "model" / "tokenizer_config.json"
    assert json.loads(said.read_text())["model_max_length"] == 16
    if older:  # as versions saved it that did not write the run's length
        said.write_text(json.dumps(json.loads(said.read_text()) | {"model_max_length": 128}))
    name, head = f"run:{run.id}", "the good ship at sea and a red light in the night was here now"
    long, other = f"{head} bad storm" * 4, f"{head} happy dog" * 4
    assert inference.longest(name) == 16
    found = [inference.predict(name, [text])[0][0].scores for text in (long, other)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    compared = comparison.compare(str(tiny_bert), name, [long, other])
    assert compared[0].base[0].scores == pytest.approx(compared[1].base[0].scores, abs=1e-6)
    (tmp_path / "held.csv").write_text(f'text,label\n"{long}",a\n"{other}",b\n')
    scored = comparison.evaluate_file(name, tmp_path / "held.csv")
    assert scored["max_length"] == 16
    table = evaluation.evaluate(
        models.locate(name), pd.DataFrame({"text": [long, other], "label": [0, 1]}), run.config()
    )[1]
    assert table["probabilities"][0] == pytest.approx(list(found[0][label] for label in ("a", "b")), abs=1e-5)
    if not older:  # pushed and pulled again it is a folder as any other
        pulled = Path(shutil.copytree(run.path / "model", tmp_path / "pulled"))
        assert inference.predict(str(pulled), [long])[0][0].scores == pytest.approx(found[0], abs=1e-6)


def test_a_next_run_may_read_more_than_the_one_before_it(tiny_bert: Path, tmp_path: Path) -> None:
    tokenizer_config = Path(shutil.copytree(tiny_bert, tmp_path / "m")) / "tokenizer_config.json"
    tokenizer_config.write_text(
        json.dumps(json.loads(tokenizer_config.read_text()) | {"model_max_length": 16})
    )
    located = models.locate(str(tmp_path / "m"))
    lengths = [
        models.load_tokenizer(replace(located, max_length=length)).model_max_length for length in (0, 64, 999)
    ]
    assert lengths == [16, 64, 128]
