"""Which files of a repository are a model's: those to delete where another model takes its place.

Only those at the top count: folders, pictures, notebooks, texts and data are a person's.
"""

from __future__ import annotations

import re

_WEIGHTS = re.compile(
    r".+\.(safetensors|bin|h5|msgpack|ot|onnx|onnx_data|pt|pth|ckpt|gguf|pb|tflite)"
    r"|.+\.(safetensors|bin|h5|msgpack|pt)\.index(\.\w+)?\.json"  # of shards
    r"|.+\.ckpt[.-].+"  # the three files of TensorFlow's old checkpoints
)
_VOCABULARY = re.compile(
    r"tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)"
    r"|vocab(ulary)?\.(txt|json|bpe)|merges\.txt|dict\.txt|encoder\.json|normalizer\.json"
    r"|.+\.(model|spm|codes|tiktoken)"  # SentencePiece's, and others' byte pairs
)
_SETTINGS = re.compile(
    r"(generation_|preprocessor_|processor_|adapter_|bert_|sentence_bert_|quantiz\w*_)?config\.json"
    r"|config_sentence_transformers\.json|modules\.json|trainer_state\.json"
)


def is_model_file(name: str) -> bool:
    """Whether a file of this name is a model's weights, vocabulary or configuration."""
    lower = name.lower()
    return "/" not in name and any(pattern.fullmatch(lower) for pattern in (_WEIGHTS, _VOCABULARY, _SETTINGS))
