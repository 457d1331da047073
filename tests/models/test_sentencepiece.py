"""Repositories whose tokenizer is a file of SentencePiece alone, as DeBERTa-v3's and ALBERT's are."""

import io
import random
from pathlib import Path
from typing import Any

import pytest

from bertspace import models
from bertspace.errors import ModelError
from bertspace.models import apart
from bertspace.safety import loadable
from tests.support.models import TINY_WORDS

BERT_LIKE = {"pad_id": 0, "pad_piece": "[PAD]", "bos_id": 1, "bos_piece": "[CLS]", "eos_id": 2}
BERT_LIKE |= {"eos_piece": "[SEP]", "unk_id": 3, "unk_piece": "[UNK]"}
ALBERT = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
ALBERT |= {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
# By model type: the file, how it was trained, and how far the model counts from its pieces' numbers.
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "deberta-v2": ("spm.model", BERT_LIKE, 0),
    "albert": ("spiece.model", ALBERT, 0),
    "xlm-roberta": ("sentencepiece.bpe.model", {}, 1),
    "camembert": ("sentencepiece.bpe.model", {}, 4),
}
TEXT = "the sea and the ship"


def pieces(**options: Any) -> bytes:
    """A vocabulary of SentencePiece."""
    spm = pytest.importorskip("sentencepiece")
    drawn = random.Random(0)
    lines = (" ".join(drawn.choices(TINY_WORDS, k=8)) for _ in range(500))
    target = io.BytesIO()
    trainer = spm.SentencePieceTrainer
    trainer.train(sentence_iterator=lines, model_writer=target, vocab_size=120, minloglevel=2, **options)
    return target.getvalue()


def model_of(kind: str, folder: Path) -> Path:
    """A tiny random model of the type that fills masks, with its pieces and no tokenizer.json."""
    import transformers

    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=130,
        hidden_size=16,
        embedding_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        pad_token_id=0 if KINDS[kind][2] == 0 else 1,
    )
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    (folder / KINDS[kind][0]).write_bytes(pieces(**KINDS[kind][1]))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_of_sentencepiece_encodes_as_it_does_by_itself(kind: str, tmp_path: Path) -> None:
    import sentencepiece

    folder = model_of(kind, tmp_path)
    tokenizer = models.load_tokenizer(models.Located(kind, folder, "folder"))
    alone = sentencepiece.SentencePieceProcessor(model_file=str(folder / KINDS[kind][0]))
    expected = [number + KINDS[kind][2] for number in alone.encode(TEXT)]
    assert tokenizer(TEXT)["input_ids"][1:-1] == expected
    assert tokenizer.mask_token and len(tokenizer) <= 130


@pytest.mark.slow
def test_a_strangers_vocabulary_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = model_of("albert", tmp_path)
    stranger = models.Located("some/one", folder, "hub")
    assert not stranger.is_trusted
    assert len(apart.compute(stranger, "token_counts", {"texts": [TEXT], "pairs": None})) == 1
    (folder / "spiece.model").write_bytes(b"\x0a\xff\xff\xff\xff\x0f" + b"\x00" * 5000)
    with pytest.raises(ModelError, match="some/one"):
        apart.compute(stranger, "token_counts", {"texts": [TEXT], "pairs": None})


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_of("albert", tmp_path)
    monkeypatch.setattr(loadable, "_is_installed", lambda package: False)
    with pytest.raises(ModelError) as caught:
        models.locate(str(folder))
    assert "SentencePiece" in caught.value.message
    assert caught.value.hint == "Run: pip install sentencepiece protobuf"
    files = ["config.json", "model.safetensors", "spiece.model"]
    assert "sentencepiece and protobuf" in loadable.why_not({"model_type": "albert"}, files)
    assert not loadable.why_not({"model_type": "albert"}, [*files, "tokenizer.json"])
