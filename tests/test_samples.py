"""The samples: enough rows, none nearly alike, their labels known, one config away."""

import numpy as np
import pytest

from bertspace.data import SAMPLE_FOLDER, load_splits, read_table
from bertspace.schema import TASK_NAMES, TrainConfig
from bertspace.tasks import samples

SAMPLES = samples()
LABELS = {
    "office": {"request", "promise", "report"},
    "pairs": {"same", "different"},
    "lighthouse": set(),
}


def most_alike(texts: list[str]) -> tuple[float, int, int]:
    """The largest Jaccard similarity of two rows' character trigrams, and the rows.

    One 0/1 matrix of rows by trigrams: its product with itself counts what each two rows share.
    """
    trigrams = [{text[place : place + 3] for place in range(len(text) - 2)} for text in map(str.lower, texts)]
    column = {trigram: place for place, trigram in enumerate(sorted(set().union(*trigrams)))}
    rows = np.zeros((len(texts), len(column)), dtype=np.float32)
    for row, found in zip(rows, trigrams, strict=True):
        row[[column[trigram] for trigram in found]] = 1
    shared, sizes = rows @ rows.T, rows.sum(axis=1)
    alike = shared / (sizes[:, None] + sizes[None, :] - shared)
    np.fill_diagonal(alike, 0)
    first, second = np.unravel_index(alike.argmax(), alike.shape)
    return float(alike[first, second]), int(first), int(second)


def test_the_measure_finds_two_rows_made_from_one_template() -> None:
    texts = [
        "My parcel has not arrived yet, where is it?",
        "Nice",
        "My letter has not arrived yet, where is it?",
    ]
    alike, *rows = most_alike(texts)
    assert alike > 0.5
    assert rows == [0, 2]


def test_there_are_the_three_samples() -> None:
    assert set(SAMPLES) == set(LABELS)
    for name, sample in SAMPLES.items():
        assert sample.name == name
        assert sample.task in TASK_NAMES
        assert sample.title and sample.description.endswith(".")


@pytest.mark.parametrize("name", SAMPLES)
def test_no_two_rows_of_a_sample_share_over_half_of_their_trigrams(name: str) -> None:
    frame = read_table(SAMPLE_FOLDER / SAMPLES[name].file)
    assert len(frame) >= 150
    columns = SAMPLES[name].columns
    read = [columns[role] for role in ("text", "pair") if role in columns]
    texts = [" ".join(row) for row in zip(*(frame[each] for each in read), strict=True)]
    alike, first, second = most_alike(texts)
    assert alike <= 0.5, f"{texts[first]!r} and {texts[second]!r}"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_loads_by_its_name_alone(name: str) -> None:
    sample = SAMPLES[name]
    splits = load_splits(TrainConfig(task=sample.task, dataset=f"sample:{name}"))
    assert splits.source == f"sample: {sample.title}"
    assert set(splits.label_names) == LABELS[name]
    assert splits.findings == ()
    assert ("pair" in splits.train) == ("pair" in sample.columns)
    both = len(splits.train) + len(splits.validation)
    assert both == len(read_table(SAMPLE_FOLDER / sample.file))
    assert len(splits.validation) == pytest.approx(both / 10, abs=1)
    if splits.label_names:
        shares = splits.train["label"].value_counts(normalize=True)
        assert shares.min() > 0.6 / len(splits.label_names)
