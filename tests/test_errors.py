"""What an error says, and what it keeps to itself."""

import pytest

from bertspace.errors import without_paths


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            "[Errno 2] No such file or directory: '/home/me/data/a.csv'",
            "[Errno 2] No such file or directory: 'a.csv'",
        ),
        ("Unable to find '/home/my own files/train.csv' in x", "Unable to find 'train.csv' in x"),
        ("cannot open /srv/runs/u-1/model/config.json: denied", "cannot open config.json: denied"),
        ("error:/srv/runs/config.json", "error:config.json"),
        ("zip://train.csv::/srv/secret/a.zip", "zip://train.csv::a.zip"),
        ("file:///srv/secret/a.csv is missing", "a.csv is missing"),
        ("(/srv/secret/a.csv), [/srv/b.csv]; //srv/c.csv", "(a.csv), [b.csv]; c.csv"),
        ('File "/usr/lib/python3.11/json/decoder.py", line 355', 'File "decoder.py", line 355'),
        ("in `/srv/models/mine/` there is no", "in `` there is no"),
        ("~/secret/x.txt", "x.txt"),
        ("two: '/a/b c/d' and '/e/f'", "two: 'd' and 'f'"),
    ],
)
def test_of_a_path_only_the_last_name_is_told(said: str, left: str) -> None:
    assert without_paths(said) == left


@pytest.mark.parametrize(
    "said",
    [
        "See https://huggingface.co/alice/model/blob/main/config.json for more.",
        "hf://datasets/alice/data/train.csv",
        "The token </s> and <mask>, n/a, and/or, 1/2, text/plain, km/h.",
        "alice/model has no file data/train.csv",
        "'alice/model' is no 'local/folder'",
        "https://[::1]:8000/a/b",
        "No column 'text' in train.csv; found: id, review.",
    ],
)
def test_words_that_name_no_folder_stay_as_they_are(said: str) -> None:
    assert without_paths(said) == said
