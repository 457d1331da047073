"""The probe is scikit-learn's logistic regression, kept in two small arrays."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertspace.errors import ModelError
from bertspace.models.probe import Probe, mean_pooled


def features(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 6) fp32 features of unequal scale, and labels that they tell of in part."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    points = random.normal(size=(count, 6)) + np.eye(6)[labels] * 1.5
    return (points * [1, 10, 0.1, 1, 100, 1] + [0, 5, 0, -3, 0, 0]).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_its_probabilities_are_sklearns(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    points, labels = features(90, classes)
    wanted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(points, labels)
    probe = Probe.fit(points, labels, classes)
    new, _ = features(40, classes, seed=1)
    assert probe.probabilities(new) == pytest.approx(wanted.predict_proba(new), abs=2e-3)


def test_a_label_that_no_fitted_row_has_is_never_predicted() -> None:
    points, labels = features(60, 2)
    for present in (np.array([0, 1]), np.array([0, 2]), np.array([1, 3])):
        probe = Probe.fit(points, present[labels], 4)
        found = probe.probabilities(points)
        absent = sorted(set(range(4)) - set(present.tolist()))
        assert found[:, absent].max() == 0
        assert found.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
        assert (present[labels] == found.argmax(1)).mean() > 0.7
    three, labels = features(60, 3)
    assert Probe.fit(three, labels + 1, 5).probabilities(three)[:, [0, 4]].max() == 0


def test_rows_of_one_label_only_make_a_probe_that_says_that_label() -> None:
    """2,000 rows drawn from a set where the other label is rare can hold one label only."""
    points, _ = features(30, 2)
    found = Probe.fit(points, np.ones(30, dtype=int), 3).probabilities(points)
    assert found.argmax(1).tolist() == [1] * 30


def test_a_feature_that_never_varies_does_no_harm() -> None:
    points, labels = features(60, 2)
    points[:, 2] = 7.0
    probe = Probe.fit(points, labels, 2)
    assert np.isfinite(probe.probabilities(points)).all()


def test_it_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    points, labels = features(60, 3)
    probe = Probe.fit(points, labels, 3)
    probe.save(tmp_path / "probe.safetensors")
    again = Probe.load(tmp_path / "probe.safetensors")
    assert (again.weight == probe.weight).all() and (again.bias == probe.bias).all()
    assert (again.weight.shape, again.weight.dtype, again.bias.shape) == ((3, 6), np.float32, (3,))


def shaped(*shape: int, kind: type = np.float32) -> np.ndarray:
    return np.zeros(shape, kind)


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": shaped(2)},
        {"weight": shaped(2, 6)},
        {"weight": shaped(2, 6), "bias": shaped(2), "x": shaped(2)},
        {"weight": shaped(2, 6), "bias": shaped(3)},
        {"weight": shaped(6), "bias": shaped(6)},
        {"weight": shaped(), "bias": shaped()},
        {"weight": shaped(2, 6, kind=np.int64), "bias": shaped(2)},
    ],
)
def test_a_file_that_holds_no_probe_is_refused_in_words(
    tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "probe.safetensors"
    save_file(tensors, path, metadata={"base": "starter"})
    with pytest.raises(ModelError, match="probe.safetensors holds no probe"):
        Probe.load(path)


def test_a_file_that_cannot_be_read_holds_no_probe(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save

    bfloat16 = torch.zeros(2, 6, dtype=torch.bfloat16)  # which numpy does not have
    for content in (b"", b"not safetensors", save({"weight": bfloat16, "bias": bfloat16[:, 0].clone()})):
        (tmp_path / "probe.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="holds no probe"):
            Probe.load(tmp_path / "probe.safetensors")


def test_a_probe_of_another_model_is_refused_where_it_would_be_asked(tiny_bert: Path) -> None:
    from bertspace import models
    from bertspace.models import inference

    def ask(probe: Probe) -> int:
        names, task = ("no", "yes"), "text-classification"
        return len(inference.predict_with_probe(str(tiny_bert), probe, names, ["good"], task=task))

    width = models.locate(str(tiny_bert)).config["hidden_size"]
    for probe, fits in (((2, width), True), ((3, width), False), ((2, width + 1), False)):
        found = Probe(shaped(*probe), shaped(probe[0]))
        if fits:
            assert (
                len(
                    inference.predict_with_probe(
                        str(tiny_bert), found, ("no", "yes"), ["good"], task="text-classification"
                    )
                )
                == 1
            )
        else:
            with pytest.raises(
                ModelError, match=f"The probe is of {probe[0]} labels and {probe[1]} features"
            ):
                inference.predict_with_probe(
                    str(tiny_bert), found, ("no", "yes"), ["good"], task="text-classification"
                )


def test_features_are_the_mean_over_a_rows_own_tokens(tiny_bert: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification, BertModel

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_bert), BertModel.from_pretrained(tiny_bert).eval()
    texts = ["the ship", "a storm and a light at sea", "good"]
    with torch.no_grad():
        alone = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
        padded = tokenizer(texts, padding=True, return_tensors="pt")
        headed = BertForSequenceClassification.from_pretrained(tiny_bert).eval()
        found = mean_pooled(headed, padded)
    assert torch.allclose(found, torch.stack(alone), atol=1e-5)


def written(path: Path, header: dict[str, object], content: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "BF16", "I8", "C64"])
def test_a_probe_of_another_kind_of_number_is_none(tmp_path: Path, kind: str) -> None:
    header = {
        "weight": {"dtype": kind, "shape": [3, 32], "data_offsets": [0, 96]},
        "bias": {"dtype": kind, "shape": [3], "data_offsets": [96, 99]},
    }
    with pytest.raises(ModelError, match="holds no probe"):
        Probe.load(written(tmp_path / "probe.safetensors", header, b"\0" * 99))


def test_a_probe_with_a_header_of_thousands_is_not_read(tmp_path: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    file = written(tmp_path / "probe.safetensors", {str(number): empty for number in range(5000)}, b"")
    assert Probe.base_of(file) == ""
    with pytest.raises(ModelError, match="holds no probe"):
        Probe.load(file)


def test_a_pipe_is_no_probe(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "probe.safetensors")
    assert Probe.base_of(tmp_path / "probe.safetensors") == ""
    with pytest.raises(ModelError, match="holds no probe"):
        Probe.load(tmp_path / "probe.safetensors")
