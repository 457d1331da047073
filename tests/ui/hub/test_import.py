"""An old checkpoint on the page: made into a folder that loads, by the local owner alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertspace import models, policy
from bertspace.ui.access import who
from bertspace.ui.hub import import_fold

PAGE: Any = SimpleNamespace(session_hash="page-1")


@pytest.fixture
def old(tiny_bert: Path, tmp_path: Path) -> Path:
    """The tiny model as it would have been saved years ago."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "old"
    folder.mkdir()
    for path in tiny_bert.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    torch.save(load_file(tiny_bert / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def test_a_folder_is_imported_and_its_new_place_told(old: Path) -> None:
    drawn = import_fold.import_folder(f" {old} ", PAGE)
    made = old.with_name("old-safetensors")
    assert str(made) in drawn and "BertForMaskedLM" in drawn
    assert models.load_model(models.locate(str(made)), "fill-mask")


def test_a_name_that_no_folder_can_have_is_told() -> None:
    assert "That folder cannot be read." in import_fold.import_folder("x" * 3000)


def test_what_is_no_checkpoint_is_told_with_what_to_do(tmp_path: Path) -> None:
    for folder in ("", str(tmp_path), "/nowhere/<b>"):
        drawn = import_fold.import_folder(folder, PAGE)
        assert "bs-problem" in drawn and "<b>" not in drawn


@pytest.mark.parametrize("person", [policy.OWNER, policy.VISITOR])
def test_no_path_is_taken_on_a_page_that_others_reach(
    old: Path, person: policy.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_fold.opened(PAGE).visible is True
    monkeypatch.setattr(who, "person", lambda request: person)
    assert import_fold.opened(PAGE).visible is False
    assert "bs-problem" in import_fold.import_folder(str(old), PAGE)
    assert not old.with_name("old-safetensors").exists()
