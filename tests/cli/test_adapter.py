"""The starter's adapter: texts mixed fairly, and a small file that makes of the encoder what was trained."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertspace import models
from bertspace.cli import adapter
from bertspace.errors import DataError
from bertspace.jobs import engine
from bertspace.models import loading, sources, tuning
from bertspace.schema import TrainConfig

pytestmark = pytest.mark.slow


def text_file(path: Path, column: str, *texts: str) -> Path:
    pd.DataFrame({column: list(texts)}).to_parquet(path)
    return path


def paragraphs(letter: str, count: int) -> list[str]:
    return [f"{letter * 30} {number:04d}" for number in range(count)]


def test_every_file_gives_as_many_characters_as_the_others(tmp_path: Path) -> None:
    long = text_file(tmp_path / "a.parquet", "text", *paragraphs("a", 1000))
    other = text_file(tmp_path / "b.parquet", "context", *paragraphs("b", 500))
    texts = adapter.mix([long, other], 35 * 400, seed=1)
    assert sum(text.startswith("a") for text in texts) == sum(text.startswith("b") for text in texts) == 200
    assert len(set(texts)) == 400
    assert (
        texts == adapter.mix([long, other], 35 * 400, seed=1) != adapter.mix([long, other], 35 * 400, seed=2)
    )
    assert "a" in {text[0] for text in texts[:20]} and "b" in {text[0] for text in texts[:20]}


def test_a_short_file_is_taken_three_times_at_most_and_the_others_make_up_for_it(tmp_path: Path) -> None:
    short = text_file(tmp_path / "s.parquet", "sentence", *paragraphs("s", 10))
    long = text_file(tmp_path / "l.parquet", "text", *paragraphs("l", 1000))
    texts = adapter.mix([long, short], 35 * 400, seed=1)
    assert sum(text.startswith("s") for text in texts) == 30
    assert sum(text.startswith("l") for text in texts) == 370


def test_repeated_and_tiny_paragraphs_are_left_out_and_emphasis_marks_go(tmp_path: Path) -> None:
    file = text_file(
        tmp_path / "a.parquet", "text", "Chapter I", *["An _emphatic_ paragraph of some length"] * 5
    )
    assert set(adapter.mix([file], 10_000, seed=1)) == {"An emphatic paragraph of some length"}


def test_a_file_without_a_text_column_is_refused_by_name(tmp_path: Path) -> None:
    file = text_file(tmp_path / "a.parquet", "words", "some text that is long enough")
    with pytest.raises(DataError) as caught:
        adapter.mix([file], 100, seed=1)
    assert caught.value.message == "a.parquet has none of the columns text, context, sentence."


def changed_by_lora(tiny_bert: Path, rank: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model's weights, and the same after an update of this rank, with other vectors and another head."""
    import torch

    model = models.load_model(models.locate(str(tiny_bert)), "fill-mask")
    base = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    tuned = dict(base)
    for name, tensor in base.items():
        if name.startswith("bert.encoder") and tensor.dim() == 2:
            tuned[name] = tensor + 0.05 * torch.randn(tensor.shape[0], rank) @ torch.randn(
                rank, tensor.shape[1]
            )
        elif tensor.dim() == 1:
            tuned[name] = tensor + 0.1
    head = "cls.predictions.transform.dense.weight"
    tuned[head] = torch.randn_like(base[head])
    return {name: tensor for name, tensor in base.items() if name.startswith("bert.")}, tuned


def test_the_difference_applied_to_the_base_is_what_was_trained(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    base, tuned = changed_by_lora(tiny_bert, rank=3)
    changes = adapter.difference(base, tuned, rank=3)
    assert {tensor.dtype for tensor in changes.values()} == {torch.float16}
    assert "bert.embeddings.word_embeddings.weight" not in " ".join(changes)
    assert changes["bert.encoder.layer.0.intermediate.dense.weight.left"].shape == (64, 3)
    save_file(changes, tmp_path / "adapter.safetensors")
    model = models.load_model(models.locate(str(tiny_bert)), "fill-mask")
    models.apply_adapter(model, tmp_path / "adapter.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, tuned[name], atol=5e-3), name


def test_a_smaller_rank_than_the_update_has_loses_some_of_it(tiny_bert: Path) -> None:
    import torch

    base, tuned = changed_by_lora(tiny_bert, rank=3)
    changes = adapter.difference(base, tuned, rank=1)
    name = "bert.encoder.layer.0.output.dense.weight"
    product = changes[f"{name}.left"].float() @ changes[f"{name}.right"].float()
    assert not torch.allclose(base[name] + product, tuned[name], atol=5e-3)


def test_a_run_is_prepared_with_the_mixed_texts_as_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.queue, "start_next", lambda: None)
    file = text_file(tmp_path / "a.parquet", "text", *paragraphs("a", 1000))
    config = TrainConfig(task="fill-mask", train_file="texts.parquet", chunk_size=16, max_train_rows=50)
    run = adapter.prepare(config, [file], tmp_path / "out")
    assert (run.state().status, run.state().name) == ("queued", "The starter's adapter")
    kept = run.config()
    assert (kept.train_file, kept.data_dir, kept.max_train_rows) == ("data/train.parquet", "", 50)
    rows = sum(run.source()["rows"].values())
    assert 80 <= rows <= 130  # 50 chunks of 16 tokens of 4.7 characters, in paragraphs of 35


def test_training_anew_starts_from_the_encoder_and_not_from_the_adapter_that_is_there(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the difference to the encoder has twice the rank, and the file loses half of what was learned."""
    import torch
    from safetensors.torch import save_file

    from bertspace.tasks import TASKS

    base, tuned = changed_by_lora(tiny_bert, rank=3)
    save_file(adapter.difference(base, tuned, rank=3), tmp_path / "adapter.safetensors")
    monkeypatch.setattr(loading, "STARTER_ADAPTER", tmp_path / "adapter.safetensors")
    monkeypatch.setattr(sources, "_locate_starter", lambda: models.Located("starter", tiny_bert, "starter"))
    seen: list[TrainConfig] = []
    monkeypatch.setattr(adapter, "prepare", lambda config, *_: seen.append(config) or _stop())
    with pytest.raises(_Enough):
        adapter.main(["texts.txt", "--output", str(tmp_path / "out")])
    located = models.locate(seen[0].model)
    assert located.path == tiny_bert
    found = dict(tuning.load_for_training(located, TASKS["fill-mask"], ()).named_parameters())
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(found[name], base[name])


class _Enough(Exception):
    pass


def _stop() -> None:
    raise _Enough
