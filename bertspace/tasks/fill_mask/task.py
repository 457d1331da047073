"""fill-mask: predict hidden tokens, in chunks across documents or in one text a row.

Masks are a pure function of (seed, epoch, row); epoch 0 is evaluation's, so that perplexities compare.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertspace.errors import DataError
from bertspace.schema import TrainConfig
from bertspace.tasks import verdict
from bertspace.tasks.answers import Answer
from bertspace.tasks.base import (
    IGNORED,
    Judged,
    Rows,
    Sample,
    Task,
    attention_mask,
    cross_entropies,
    encodings,
    pad,
    width_of,
)
from bertspace.tasks.fill_mask.answer import MASK, Filled, filled_in
from bertspace.tasks.fill_mask.card import FillMaskCard
from bertspace.tasks.metrics import ACCURACY, PERPLEXITY
from bertspace.tasks.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedModel

    from bertspace.tasks.base import Batch, Losses, Table, Tokenizer

LONGEST_EXAMPLE = 200  # characters
# The number of masks, and so the size of their logits, differs from batch to batch, and sizes that always
# differ break the heap into pieces: 3.4 GiB after 50 steps of 32 x 128 tokens and rising, 2.3 so.
MASKS_ROUNDED_TO = 64


class FillMask(Task):
    name = "fill-mask"
    title = "Fill-mask"
    does, to_do = "fills masks", "fill masks"
    head = "MaskedLM"
    columns = ("text",)
    metrics = (PERPLEXITY, ACCURACY)
    headline = "perplexity"
    answer = Filled
    baseline = "model"
    card = FillMaskCard()
    page = "bertspace.ui.tasks.fill_mask:FillMaskPage"
    head_weights = re.compile(
        r"(^|\.)(cls\.predictions|lm_head|predictions|vocab_(transform|layer_norm|projector)|lm_predictions"
        r"|generator_(predictions|lm_head)|mlm_head|pred_layer|decoder)\."
    )
    settings = ("masks",)
    small_model_rate = 5e-4
    placeholder = f"The {MASK} was there."
    samples = (
        Sample(
            "lighthouse",
            "fill-mask",
            "Lighthouse handbook",
            "A keeper's handbook of lights and coastal navigation, in words of its own.",
            "lighthouse.txt",
            {"text": "text"},
        ),
    )

    def unit(self, config: TrainConfig) -> str:
        return "chunk" if config.chunk_size else "text"

    def length_setting(self, config: TrainConfig) -> str:
        return "chunk_size" if config.chunk_size else "max_length"

    def held_out_limit(self, config: TrainConfig) -> int:
        """The share of max_train_rows that validation_share is, so that scoring takes as much of the time."""
        return math.ceil(config.max_train_rows * config.validation_share)

    def expected_rows(self, config: TrainConfig, texts: int, tokens: float) -> float:
        return tokens / config.chunk_size if config.chunk_size else texts

    def encode(self, tokenizer: Tokenizer, frame: pd.DataFrame, config: TrainConfig, limit: int = 0) -> Rows:
        """Chunks of chunk_size tokens across documents (the rest of them is dropped), or one text a row.

        With a limit the documents come in an order drawn from the seed, and the last one is cut where the
        limit is reached.
        """
        texts = frame["text"]
        if limit:
            texts = texts.sample(frac=1, random_state=config.seed)
        if config.chunk_size:
            return _chunks(tokenizer, texts.tolist(), config, limit)
        return _lines(tokenizer, texts.tolist()[: limit or None], config)

    def collate(
        self, keys: Sequence[tuple[int, int]], rows: Rows, tokenizer: Tokenizer, config: TrainConfig
    ) -> Batch:
        """input_ids (B, T) with masks; positions (M,) of them in the flattened (B·T); targets (M,)."""
        import numpy as np
        import torch

        numbers = [row for _, row in keys]
        width = width_of([rows.input_ids[row] for row in numbers], tokenizer)
        masked, positions, targets, owners = [], [], [], []
        for place, (epoch, row) in enumerate(keys):
            ids = rows.input_ids[row]
            words = rows.words[row] if rows.words is not None else None
            random = np.random.default_rng((config.seed, epoch, row))
            chosen = choose(ids, words, config.mask_probability, tokenizer.all_special_ids, random)
            masked.append(_hide(ids, chosen, tokenizer, random))
            positions.append(chosen + place * width)
            targets.append(ids[chosen])
            owners.append(np.full(len(chosen), place))
        return {
            "rows": torch.tensor(numbers),
            "input_ids": pad(masked, tokenizer.pad_token_id, width),
            "attention_mask": attention_mask([len(row) for row in masked], width),
            "positions": torch.from_numpy(np.concatenate(positions)),
            "targets": torch.from_numpy(np.concatenate(targets).astype(np.int64)),
            "owners": torch.from_numpy(np.concatenate(owners)),
        }

    def loss(self, model: PreTrainedModel, batch: Batch, smoothing: float) -> Losses:
        """The means over the masks; to their number come some that count nothing, up to a round one."""
        from torch.nn.functional import pad

        spare = (0, -len(batch["targets"]) % MASKS_ROUNDED_TO)
        logits = logits_at(model, batch | {"positions": pad(batch["positions"], spare)})
        targets = pad(batch["targets"], spare, value=IGNORED)
        return cross_entropies(logits, targets, smoothing)

    def weight(self, batch: Batch) -> int:
        return len(batch["targets"])

    def table(self, model: PreTrainedModel, batch: Batch) -> Batch:
        """Sums of loss, right guesses and masks a row: (B,) each."""
        import torch
        from torch.nn.functional import cross_entropy

        logits, targets, owners = logits_at(model, batch), batch["targets"], batch["owners"]
        losses = cross_entropy(logits, targets, reduction="none").double()
        zeros = torch.zeros(len(batch["rows"]), dtype=torch.float64, device=losses.device)
        return {
            "loss_sum": zeros.index_add(0, owners, losses),
            "correct": zeros.index_add(0, owners, (logits.argmax(-1) == targets).double()),
            "masks": zeros.index_add(0, owners, torch.ones_like(losses)),
        }

    def score(self, table: Table) -> dict[str, float]:
        masks = table["masks"].sum()
        loss = float(table["loss_sum"].sum() / masks)
        # Above e^700 a float overflows; a random model is far below.
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700)),
            "accuracy": float(table["correct"].sum() / masks),
        }

    def judge(self, metric: str, tuned: Table, base: Table, rows: Judged) -> Verdict:
        unit = f"{self.unit(rows.config)}s"
        return verdict.of_masks(metric, tuned, base, unit=unit, split=rows.split, chosen=rows.chosen)

    def compare_rows(
        self, frame: pd.DataFrame, base: Table, tuned: Table, names: Sequence[str]
    ) -> pd.DataFrame:
        """A row a chunk: both models' loss a masked token, in nats, and the number of masks."""
        import pandas as pd

        losses = {
            "base": base["loss_sum"] / base["masks"],
            "tuned": tuned["loss_sum"] / tuned["masks"],
        }
        return pd.DataFrame({**losses, "masks": tuned["masks"]})

    def as_json(self, answers: Sequence[Answer]) -> dict[str, Any]:
        filled = answers[0].text if answers else None
        return {"filled": filled, "masks": [each.scores for each in answers]}

    def examples(self, frame: pd.DataFrame, most: int, longest: int = 200) -> list[tuple[str, str]]:
        """Sentences with their longest word masked, short enough for any model to read the mask."""
        sentences = masked_sentences(frame["text"], min(longest, LONGEST_EXAMPLE))
        return [(each, "") for each in itertools.islice(sentences, most)]

    def predict(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        top_k: int,
    ) -> list[list[Filled]]:
        """One answer a mask of each text, with the top_k tokens; the best one is filled into the text."""
        import torch

        own = [with_mask_token(text, tokenizer) for text in texts]
        batch = tokenizer(
            own, truncation=True, max_length=tokenizer.model_max_length, padding=True, return_tensors="pt"
        )
        where = batch["input_ids"] == tokenizer.mask_token_id
        if missing := [
            text for text, has_mask in zip(texts, where.any(1).tolist(), strict=True) if not has_mask
        ]:
            raise _no_mask(missing[0], tokenizer)
        inputs = {key: value.to(model.device) for key, value in batch.items()}
        inputs["positions"] = where.flatten().nonzero().squeeze(1).to(model.device)
        # Rows of the vocabulary that no token has, as of one padded to a multiple of 64, are no answers.
        probabilities = logits_at(model, inputs).softmax(-1)[:, : len(tokenizer)]
        best = probabilities.topk(min(top_k, probabilities.shape[-1]))
        results: list[list[Filled]] = [[] for _ in texts]
        decides = _token_decides(tokenizer)
        owners = torch.nonzero(where)[:, 0].tolist()
        for owner, values, tokens in zip(owners, best.values.tolist(), best.indices.tolist(), strict=True):
            scores = dict(zip(names_of(tokenizer, tokens), values, strict=True))
            results[owner].append(Filled(own[owner], scores, _fill_of(tokenizer, tokens[0], decides)))
        return [_fill(answers, tokenizer.mask_token) for answers in results]


def masked_sentences(texts: Iterable[str], longest: int) -> Iterator[str]:
    """The texts' sentences of 20 to `longest` characters, in each the longest word but the first masked."""
    for text in texts:
        for sentence in re.split(r"(?<=[.!?])\s+", text):
            if 20 <= len(sentence) <= longest:
                yield _masked(sentence)


def _masked(text: str) -> str:
    words = re.findall(r"[^\W\d_]+", text)
    longest = max(words[1:] or words, key=len, default="")
    return re.sub(rf"\b{re.escape(longest)}\b", MASK, text, count=1) if longest else f"{text} {MASK}"


def _no_mask(text: str, tokenizer: Tokenizer) -> DataError:
    """Why the model sees no mask in the text: none was written, or it lies where nothing is read."""
    if tokenizer.mask_token in with_mask_token(text, tokenizer):
        return DataError(
            f"{MASK} lies behind the {tokenizer.model_max_length:,} tokens that the model reads of "
            f"{text[:60]!r}.",
            hint=f"Shorten what stands before {MASK}.",
        )
    return DataError(f"No {MASK} in {text[:60]!r}.", hint=f"Write {MASK} where a word is to be guessed.")


def with_mask_token(text: str, tokenizer: Tokenizer) -> str:
    """The text with [MASK] (or <mask>) written as this model's own mask token."""
    for written in (MASK, "<mask>"):
        text = text.replace(written, tokenizer.mask_token)
    return text


def names_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """A name for each token, no two alike: its text; where others have the same, with the blank that it
    begins with, else as the vocabulary writes it.
    """
    texts = [_text_of(tokenizer, token) for token in tokens]
    often = Counter(text.strip() for text in texts)
    names: list[str] = []
    for token, text in zip(tokens, texts, strict=True):
        written = str(tokenizer.convert_ids_to_tokens(token))
        plain = text.strip() or written
        tried = (plain if often[text.strip()] < 2 else text or written, written, f"{written} ({token})")
        names.append(next(name for name in tried if name not in names))
    return names


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    """A token's text, with the blank that a word of a byte-level or SentencePiece vocabulary begins with."""
    written = str(tokenizer.convert_ids_to_tokens(token))
    if written.startswith("##"):
        return written
    text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    return f" {text}" if written.startswith("▁") and not text.startswith(" ") else text


def _fill_of(tokenizer: Tokenizer, token: int, decides: bool) -> str:
    """What takes a mask's place, as `filled_in` puts it there."""
    text = _text_of(tokenizer, token)
    return f"##{text}" if decides and not text.startswith((" ", "##")) else text


def _token_decides(tokenizer: Tokenizer) -> bool:
    """Whether the word in a mask's place says itself if there is a blank before it: in vocabularies that
    write blanks, where the one before the mask is not read.
    """
    if type(tokenizer._tokenizer.decoder).__name__ == "WordPiece":
        return False
    texts = [f"a{blank}{tokenizer.mask_token}" for blank in ("", " ")]
    close, apart = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return bool(close == apart)


def _fill(answers: list[Filled], mask_token: str) -> list[Filled]:
    """The predictions of one text, whose text has every mask replaced by its own best token."""
    if not answers:
        return answers
    filled, *rest = answers[0].text.split(mask_token)
    fills = [answer.fill for answer in answers]
    fills += [mask_token] * (len(rest) - len(fills))  # masks behind the longest text that the model reads
    for fill, piece in zip(fills, rest, strict=True):
        filled = "".join(filled_in(filled, fill)) + piece
    return [replace(answer, text=filled) for answer in answers]


def choose(
    ids: np.ndarray,
    words: np.ndarray | None,
    probability: float,
    special: Sequence[int],
    random: np.random.Generator,
) -> np.ndarray:
    """The positions to predict: each token (or each whole word) with this probability, and one at least."""
    import numpy as np

    free = np.flatnonzero(~np.isin(ids, special))
    if not len(free):
        return np.arange(1)  # a row of nothing but special tokens still counts as one prediction
    if words is None:
        chosen = free[random.random(len(free)) < probability]
        return chosen if len(chosen) else free[random.integers(len(free), size=1)]
    names, member = np.unique(words[free], return_inverse=True)
    hit = random.random(len(names)) < probability
    if not hit.any():
        hit[random.integers(len(names))] = True
    return free[hit[member]]


def _hide(
    ids: np.ndarray, chosen: np.ndarray, tokenizer: Tokenizer, random: np.random.Generator
) -> np.ndarray:
    """80 % of the chosen tokens become the mask, 10 % a random token, 10 % stay (Devlin et al. 2019, A.1)."""
    hidden = ids.copy()
    draw = random.random(len(chosen))
    hidden[chosen[draw < 0.8]] = tokenizer.mask_token_id
    swapped = chosen[(draw >= 0.8) & (draw < 0.9)]
    hidden[swapped] = random.integers(len(tokenizer), size=len(swapped))
    return hidden


def logits_at(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(M, vocab) logits at the masked positions: the vocabulary projection sees no other token.

    A hook in front of the output embeddings picks the M positions, whatever the architecture; a model that
    does
    not call them (MobileBERT) gives all (B, T, vocab) logits, of which the M are taken.
    """
    positions = batch["positions"]

    def pick(_: object, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].flatten(0, -2).index_select(0, positions), *inputs[1:])

    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    inner = getattr(model, "module", model)  # DistributedDataParallel wraps the model
    hook = inner.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits = model(**inputs).logits
    finally:
        hook.remove()
    if logits.dim() == 3:
        logits = logits.flatten(0, 1).index_select(0, positions)
    return logits.float()


def _chunks(tokenizer: Tokenizer, texts: list[str], config: TrainConfig, limit: int) -> Rows:
    import numpy as np

    size = min(config.chunk_size, tokenizer.model_max_length)
    need = limit * size if limit else None
    ids, words, total = [], [], 0
    for encoded, word in _documents(tokenizer, texts, config.whole_words):
        ids.append(encoded)
        words.append(word)
        total += len(encoded)
        if need and total >= need:
            break
    stream = np.concatenate(ids) if ids else np.empty(0, dtype=np.int32)
    if not len(stream):
        raise DataError("The texts hold no tokens.", hint="Give some text.")
    size = min(size, len(stream))  # less text than one chunk is one short chunk
    count = min(len(stream) // size, limit or len(stream))
    cut = np.split(stream[: count * size], count)
    runs = np.split(np.concatenate(words)[: count * size], count) if config.whole_words else None
    return Rows(cut, words=runs)


def _documents(
    tokenizer: Tokenizer, texts: list[str], whole_words: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token ids and, for whole words, word numbers that go on from document to document."""
    import numpy as np

    first = 0
    for encoding in encodings(tokenizer, texts, None, None):
        words = _word_numbers(encoding.word_ids, first) if whole_words else np.empty(0, dtype=np.int32)
        first = max(first, int(words.max(initial=first)) + 1)
        yield np.array(encoding.ids, dtype=np.int32), words


def _word_numbers(word_ids: list[int | None], first: int) -> np.ndarray:
    import numpy as np

    return np.array([-1 if word is None else word + first for word in word_ids], dtype=np.int32)


def _lines(tokenizer: Tokenizer, texts: list[str], config: TrainConfig) -> Rows:
    import numpy as np

    length = min(config.max_length, tokenizer.model_max_length)
    ids, words, truncated = [], [], 0
    for encoding in encodings(tokenizer, texts, None, length):
        ids.append(np.array(encoding.ids, dtype=np.int32))
        words.append(_word_numbers(encoding.word_ids, 0) if config.whole_words else np.empty(0))
        truncated += bool(encoding.overflowing)
    return Rows(ids, words=words if config.whole_words else None, truncated=truncated)
