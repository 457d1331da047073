"""Tiny random models of the BERT family's architectures with tokenizers of their own kinds, as transformers
saves them.
"""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXTS = [
    "The keeper lit the lamp, and wrote: 'no ship'.",
    "Café naïve, CAPITALS 东京 😀 1,234.5",
    "  two  blanks\tand a tab <new> word",
    "",
]
TINY_WORDS = """
    the a an and or but not no of in on at to from by with for as is was are were be been has have had do
    does did it he she they we you i this that there here who what when where which his her their my your
    our its one two three first last new old good bad great small big long red green blue sea ship light
    storm keeper lamp night day morning year time man woman child boy girl friend dog cat house door room
    street city country capital paris france london book film story word page movie music war love life
    work water fire food bread wine happy sad angry slow fast late early open closed full empty said went
    came saw made took found gave told walked read wrote like liked love loved hate hated want need know
    think feel can could will would should may order refund parcel password card account delivery price
    help question answer very so too more most much many all some any other same only just now then again
    never always s t ing ed er ly
""".split()
SPECIAL_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SPECIAL_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 96,
}


def word_pieces() -> dict[str, int]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = "the keeper lit lamp and wrote no ship cafe naive two blanks tab new word another capital".split()
    vocabulary = [*SPECIAL_BERT, *string.punctuation, *letters, *(f"##{letter}" for letter in letters)]
    return {word: number for number, word in enumerate([*vocabulary, *words, "##s", "##ing", "Cap", "東"])}


def byte_level(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS * 20, trainer)
    found = json.loads(made.to_str())["model"]
    return found["vocab"], [tuple(pair) for pair in found["merges"]]


def pieces(special: list[str]) -> list[tuple[str, float]]:
    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,.:'"
    words = ("▁the", "▁ship", "▁lamp", "▁keeper", "▁and", "ing")
    return [(each, 0.0) for each in special] + [(each, -3.0 - len(each) % 3) for each in (*letters, *words)]


def bert_like(name: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        return getattr(transformers, name)(vocab=word_pieces(), model_max_length=96, **options)

    return make


def roberta_like(name: str, special: list[str]) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        vocabulary, merges = byte_level(special)
        return getattr(transformers, name)(vocab=vocabulary, merges=merges, model_max_length=96)

    return make


def unigram(name: str, special: list[str], **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        return getattr(transformers, name)(vocab=pieces(special), model_max_length=96, **options)

    return make


def plain_backend() -> Any:
    """As ModernBERT and EuroBERT come: a tokenizer.json of parts, and no class of its own."""
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary, merges = byte_level(SPECIAL_BERT)
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), " ")])
    split = pre_tokenizers.Split(Regex(r"\p{N}{1,3}| ?\p{L}+|[^\s\p{L}\p{N}]+|\s+"), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    ids = {token: vocabulary[token] for token in ("[CLS]", "[SEP]")}
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())
    )
    names = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL_BERT}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=96, **names)


SPECIAL_ALBERT = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
SPECIAL_DEBERTA = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ARCHITECTURES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "bert": (bert_like("BertTokenizer"), {}),
    "bert cased": (bert_like("BertTokenizer", do_lower_case=False, strip_accents=False), {}),
    "distilbert": (
        bert_like("DistilBertTokenizer"),
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    ),
    "electra": (bert_like("ElectraTokenizer"), {"embedding_size": 16}),
    "mobilebert": (bert_like("MobileBertTokenizer"), {"embedding_size": 8, "intra_bottleneck_size": 16}),
    "convbert": (bert_like("ConvBertTokenizer"), {"embedding_size": 16, "num_groups": 1, "head_ratio": 1}),
    "squeezebert": (bert_like("SqueezeBertTokenizer"), {"embedding_size": 16}),
    "mpnet": (bert_like("MPNetTokenizer"), {}),
    "roberta": (roberta_like("RobertaTokenizer", SPECIAL_ROBERTA), {"pad_token_id": 1}),
    "longformer": (roberta_like("RobertaTokenizer", SPECIAL_ROBERTA), {"attention_window": [8, 8]}),
    "deberta": (roberta_like("DebertaTokenizer", SPECIAL_DEBERTA), {"pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": (
        unigram("DebertaV2Tokenizer", SPECIAL_DEBERTA),
        {"pos_att_type": ["p2c", "c2p"], "relative_attention": True, "max_relative_positions": -1},
    ),
    "albert": (unigram("AlbertTokenizer", SPECIAL_ALBERT), {"embedding_size": 8}),
    "xlm-roberta": (unigram("XLMRobertaTokenizer", ["<s>", "<pad>", "</s>", "<unk>"]), {"pad_token_id": 1}),
    "camembert": (
        unigram("CamembertTokenizer", ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"]),
        {"pad_token_id": 1},
    ),
    "modernbert": (plain_backend, {"pad_token_id": 0, "local_attention": 8}),
    "eurobert": (plain_backend, {"pad_token_id": 0, "num_key_value_heads": 1}),
    "nomic_bert": (bert_like("BertTokenizer"), {}),
}


def made(kind: str, folder: Path) -> Path:
    """A tiny random model of the architecture with its tokenizer, as transformers saves them."""
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    tokenizer, settings = ARCHITECTURES[kind]
    tokenizer = tokenizer()
    tokenizer.add_tokens(["<new>"])
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(folder)
    config = CONFIG_MAPPING[kind.split()[0]](vocab_size=len(tokenizer) + 3, **SIZES | settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def classifier(tiny_bert: Path, folder: Path, order: list[int], names: list[str]) -> str:
    """A random classifier of three labels whose outputs stand in this order, with these names."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(tiny_bert, num_labels=3, id2label=dict(enumerate(names)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = BertForSequenceClassification(config)
        model.classifier.weight.data *= 100
        for values in (model.classifier.weight, model.classifier.bias):
            values.data = values.data[order].clone()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return str(folder)


def small(name: str) -> Any:
    """A random two-layer model with a masked-LM head; the vocabulary is tiny_bert's size or larger."""
    import torch
    import transformers

    sizes = {"vocab_size": 400, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"num_hidden_layers": 2, "max_position_embeddings": 64}
    if name == "DistilBert":
        sizes = {"vocab_size": 400, "dim": 32, "n_heads": 2, "hidden_dim": 64, "n_layers": 2}
    if name in ("Albert", "Electra"):
        sizes["embedding_size"] = 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(**sizes)
        # A RoBERTa counts positions from behind its padding index 1; nothing here is padding to it.
        return getattr(transformers, f"{name}ForMaskedLM")(config).eval()


def saying(tokenizer: Any, words: list[str]) -> Callable[..., Any]:
    """A model that predicts these tokens, one a mask in order, whatever it reads."""
    import torch

    class Parrot(torch.nn.Module):
        device = torch.device("cpu")

        def get_output_embeddings(self) -> torch.nn.Module:
            return torch.nn.Identity()

        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            logits = torch.zeros(*input_ids.shape, len(tokenizer))
            places = (input_ids == tokenizer.mask_token_id).nonzero()
            for (row, column), word in zip(places.tolist(), words, strict=False):
                logits[row, column, tokenizer.convert_tokens_to_ids(word)] = 20.0
            return type("Output", (), {"logits": logits})

    return Parrot()


def roberta_tokenizer() -> Any:
    """Byte-level, without segments, with <mask> that swallows the space before it."""
    from transformers import RobertaTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *"abcdefghijklmnopqrstuvwxyz", "ship", "Ġship"]
    words = [*words, "sh", "ip", "Ġs"]
    merges = [("s", "h"), ("i", "p"), ("sh", "ip"), ("Ġ", "ship")]
    vocabulary = {word: number for number, word in enumerate(words)}
    return RobertaTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=60)
