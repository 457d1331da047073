"""The share of tokens that a vocabulary does not have."""

from pathlib import Path

from bertspace import models
from bertspace.models import apart, unknown


def test_texts_in_another_script_are_unknown_and_that_is_said(tiny_bert: Path) -> None:
    def share(*texts: str) -> float:
        asked = {"texts": list(texts), "pairs": None}
        return float(apart.compute(models.locate(str(tiny_bert)), "unknown_share", asked))

    assert share("the sea", "a ship") == 0
    assert share("อาหารอร่อยมาก", "😀") == 1  # special tokens count for nothing
    assert share("the sea 😀", "อาหาร") == 0.5
    assert unknown.words(share("the sea")) == ""
    assert unknown.words(0.5).startswith("50% of the tokens of the training texts are unknown to the model's")
