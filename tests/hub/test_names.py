"""Names of the Hub as people write and paste them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertspace.errors import HubError
from bertspace.hub.names import parse, plain

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("owner/name", "owner/name"),
        (" bert-base-uncased ", "bert-base-uncased"),
        ("owner/name@v1", "owner/name@v1"),
        (f"{HUB}/owner/name", "owner/name"),
        (f"{HUB}/owner/name/", "owner/name"),
        (f"{HUB}/owner/name?library=transformers#usage", "owner/name"),
        (f"{HUB}/bert-base-uncased", "bert-base-uncased"),
        (f"{HUB}/bert-base-uncased/tree/main", "bert-base-uncased"),
        (f"{HUB}/owner/name/tree/main", "owner/name"),
        (f"{HUB}/owner/name/tree/v1.0", "owner/name@v1.0"),
        (f"{HUB}/owner/name/tree/refs%2Fpr%2F1", "owner/name@refs/pr/1"),
        (f"{HUB}/owner/name/tree/refs/pr/1", "owner/name@refs/pr/1"),
        (f"{HUB}/owner/name/blob/main/config.json", "owner/name"),
        (f"{HUB}/owner/name/resolve/abc/model.safetensors?download=true", "owner/name@abc"),
        (f"{HUB}/owner/name/commit/0123456789abcdef", "owner/name@0123456789abcdef"),
        (f"{HUB}/owner/name/discussions/3", "owner/name"),
        ("http://www.huggingface.co/owner/name", "owner/name"),
        ("huggingface.co/owner/name", "owner/name"),
        ("HF.co/owner/name", "owner/name"),
        ("https://hf.co/owner/name.git", "owner/name"),
        ("hf://owner/name@v1", "owner/name@v1"),
        ("models/owner/name", "owner/name"),
    ],
)
def test_a_model_is_known_by_its_name_and_by_its_addresses(text: str, name: str) -> None:
    assert str(parse(text)) == name
    assert plain(text).strip() == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("owner/rows", "owner/rows"),
        ("owner/rows@v2", "owner/rows@v2"),
        (f"{HUB}/datasets/owner/rows", "owner/rows"),
        (f"{HUB}/datasets/imdb", "imdb"),
        (f"{HUB}/datasets/imdb/viewer/plain_text/train", "imdb"),
        (f"{HUB}/datasets/owner/rows/viewer/default/train?row=3", "owner/rows"),
        (f"{HUB}/datasets/owner/rows/tree/refs%2Fconvert%2Fparquet", "owner/rows@refs/convert/parquet"),
        ("datasets/owner/rows", "owner/rows"),
        ("hf://datasets/owner/rows@v2", "owner/rows@v2"),
    ],
)
def test_so_is_a_data_set(text: str, name: str) -> None:
    assert plain(text, "data set") == str(parse(text, "data set")) == name


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (f"{HUB}/datasets/owner/rows", "model", "owner/rows is a data set by its address"),
        (f"{HUB}/owner/name", "data set", "owner/name is a model by its address"),
        (f"{HUB}/spaces/owner/app", "model", "owner/app is a Space by its address"),
        ("https://github.com/owner/name", "model", "'github.com' is not the Hub"),
        (f"{HUB}/owner/name/tree/main/sub/model", "model", "the folder sub/model of owner/name"),
        (f"{HUB}/owner/name/blob/main/sub/config.json", "model", "the folder sub of owner/name"),
        (f"{HUB}/datasets/owner/rows/blob/main/data/train.csv", "data set", "not a whole data set"),
        (f"{HUB}/", "model", "is no model name"),
        ("https://[", "model", "is no address"),
        ("owner/name@", "model", "names no revision"),
        ("https://huggingface.co/owner/name/tree/..%2F..", "model", "has no revision"),
        ("owner/name/sub", "model", "is no model name"),
    ],
)
def test_what_is_none_is_refused_with_what_to_do(text: str, kind: str, told: str) -> None:
    with pytest.raises(HubError) as caught:
        parse(text, kind)
    assert told in caught.value.message and caught.value.hint


@given(st.text() | st.text().map(f"{HUB}/".__add__) | st.text().map("hf://datasets/".__add__))
def test_any_text_is_a_name_or_an_error_of_ours(text: str) -> None:
    for kind in ("model", "data set"):
        try:
            found = parse(text, kind)
        except HubError:
            continue
        assert found.repo_id and "/" not in found.repo_id.partition("/")[2]


@pytest.mark.parametrize("text", ["starter", "run:20260101-abc", "./folder", "sample:office", "", "a/b"])
def test_what_is_no_address_stays_as_it_is(text: str) -> None:
    assert plain(text) == text
