"""What an old BERT checkpoint does not say: its model type, its heads, and whether it lower-cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace.errors import ModelError
from bertspace.models.loading import quiet
from bertspace.models.tokens import is_cased
from bertspace.safety.config import library
from bertspace.safety.json_values import read_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

BERT_CONFIG = "bert_config.json"  # what the original scripts and pytorch_pretrained_bert call it
# The heads of BERT by a weight of theirs, and what a model with it is called, the most telling first.
BERT_HEADS = {
    "cls.predictions.transform.dense.weight": "BertForMaskedLM",
    "cls.seq_relationship.weight": "BertForNextSentencePrediction",
    "classifier.weight": "BertForSequenceClassification",
    "qa_outputs.weight": "BertForQuestionAnswering",
}
BOTH = ["BertForMaskedLM", "BertForPreTraining"]  # the second loads all, the first says what it can do
# bert_config.json has more in it, which no code reads.
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
BERT_SETTINGS: tuple[str, ...] = (*SIZES, "max_position_embeddings", "type_vocab_size", "initializer_range")
BERT_SETTINGS += ("hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob")


def settings(folder: Path) -> dict[str, Any]:
    """The settings of bert_config.json; raises ModelError."""
    if not (folder / BERT_CONFIG).is_file():
        raise ModelError(
            f"{folder.name} has no {BERT_CONFIG}.", hint="Put the one of the pretrained model beside it."
        )
    config = read_json(folder / BERT_CONFIG)
    missing = [name for name in SIZES if not isinstance(config.get(name), int)]
    if missing:
        raise ModelError(f"{BERT_CONFIG} does not say {', '.join(missing)}.", hint="Use the original file.")
    return {name: config[name] for name in BERT_SETTINGS if name in config}


def name_heads(config: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Put into a BERT's configuration which heads the weights have, and how many labels."""
    held = [called for weight, called in BERT_HEADS.items() if weight in weights]
    if held[:2] == list(BERT_HEADS.values())[:2]:
        config["architectures"] = BOTH
    elif not config.get("architectures"):
        config["architectures"] = held[:1] or ["BertModel"]
    if "classifier.weight" in weights and not config.get("id2label"):
        config["num_labels"] = len(weights["classifier.weight"])


def write_tokenizer(made: Path, config: PreTrainedConfig, lower_case: bool | None) -> bool | None:
    """Make a BERT tokenizer of a vocab.txt that is alone; whether it lowers letters, None for none made."""
    settled = any((made / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    if settled or config.model_type != "bert" or not (made / "vocab.txt").is_file():
        return None
    words = (made / "vocab.txt").read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    if len(words) > config.vocab_size:
        raise ModelError(
            f"vocab.txt has {len(words)} words, and the model {config.vocab_size}.",
            hint="Use the vocab.txt that came with the model.",
        )
    lowered = not is_cased(words) if lower_case is None else lower_case
    with quiet():
        tokenizer = library().BertTokenizerFast(
            vocab=str(made / "vocab.txt"),
            do_lower_case=lowered,
            model_max_length=config.max_position_embeddings,
        )
        tokenizer.save_pretrained(made)
    return lowered
