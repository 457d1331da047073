"""Fine-tune an encoder to fill masks (masked language modelling), with plain transformers and Accelerate.

    python train.py

Reads the column text of data/train.parquet, data/validation.parquet and, where there is one,
data/test.parquet. Leaves model/, losses.csv and metrics.json. It trains on one device; requirements.txt has
what it needs.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BatchEncoding,
    DataCollatorForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_scheduler,
    set_seed,
)

# Settings
MODEL = "base"  # a folder, or a model's id on the Hub
REVISION = "main"  # of a model on the Hub: a branch, a tag or a commit
CHUNK_SIZE = 128  # tokens of a row, cut across texts; 0: one text a row
MAX_LENGTH = 128  # tokens; where a row is a text, longer ones are cut
MAX_TRAIN_ROWS = 0  # 0: all
VALIDATION_SHARE = 0.1  # of MAX_TRAIN_ROWS: so many rows are scored at most
MASK_PROBABILITY = 0.15
WHOLE_WORDS = False  # mask all tokens of a word together
EPOCHS = 3.0
MAX_STEPS = 0  # 0: as many as the epochs have
BATCH_SIZE = 32
GRADIENT_ACCUMULATION = 1  # batches a step
LEARNING_RATE = 2e-5
SCHEDULE = "linear"  # how the rate falls after the warm-up
WARMUP_RATIO = 0.1  # share of the steps
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0  # 0: gradients are not clipped
LABEL_SMOOTHING = 0.0
DROPOUT: float | None = None  # None: the model's own
FREEZE_LAYERS = 0  # the embeddings and so many lower layers are not trained; 0: all are
LORA_RANK = 0  # 0: the matrices themselves are trained
PRECISION = "no"  # mixed precision: no, bf16 or fp16
BEST_METRIC = ""  # keep the epoch that is best by this metric; empty: the last one
PATIENCE = 0  # stop after so many epochs that were not better; 0: never
SEED = 42
# End of the settings

IGNORED = -100  # the label of a token that is not to be predicted

Row = tuple[np.ndarray, np.ndarray]  # token ids and the numbers of their words, (tokens,) each
Batch = dict[str, torch.Tensor]  # (rows, tokens)
Metrics = dict[str, float]


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION, padding_side="right")
    collate = DataCollatorForTokenClassification(tokenizer)
    splits = {path.stem: read(path, tokenizer) for path in Path("data").glob("*.parquet")}
    model = load_model(MODEL)
    if FREEZE_LAYERS:
        freeze_layers(model)
    if LORA_RANK:
        add_lora(model)
    if DROPOUT is not None:
        set_dropout(model, DROPOUT)
    accelerator = Accelerator(mixed_precision=PRECISION)
    steps, epochs = train(model, splits, collate, accelerator)
    best = max(epochs, key=rank)
    outcome = {"epochs": epochs, "best_step": best["step"], "validation": best}
    if "test" in splits:
        kept = accelerator.prepare(load_model("model"))
        outcome["test"] = test = evaluate(kept, splits["test"], collate)
        print("test", {name: round(value, 4) for name, value in test.items()})
    tokenizer.save_pretrained("model")
    pd.DataFrame(steps).to_csv("losses.csv", index=False)
    Path("metrics.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")


def read(path: Path, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The file's texts as token ids: one after the other, cut into chunks, or a text a row."""
    texts = pd.read_parquet(path)["text"]
    limit = MAX_TRAIN_ROWS if path.stem == "train" else math.ceil(MAX_TRAIN_ROWS * VALIDATION_SHARE)
    if limit:
        texts = texts.sample(frac=1, random_state=SEED)
    if limit and not CHUNK_SIZE:
        texts = texts.head(limit)
    encoded = tokenizer(texts.tolist(), truncation=not CHUNK_SIZE, max_length=MAX_LENGTH, verbose=False)
    ids = np.array([token for text in encoded["input_ids"] for token in text])
    words = word_numbers(encoded) if WHOLE_WORDS else np.arange(len(ids))
    ends = np.cumsum([len(text) for text in encoded["input_ids"]])
    if CHUNK_SIZE:
        size = min(CHUNK_SIZE, len(ids))
        ends = np.arange(size, len(ids) + 1, size)[: limit or None]
    # What is left behind the last end is dropped.
    return list(zip(np.split(ids, ends)[:-1], np.split(words, ends)[:-1], strict=True))


def word_numbers(encoded: BatchEncoding) -> np.ndarray:
    """The number of each token's word among the words of all texts, (tokens,); -1 for special tokens."""
    numbers: list[int] = []
    first = 0
    for text in range(len(encoded["input_ids"])):
        words = encoded.word_ids(text)
        numbers += [-1 if word is None else first + word for word in words]
        first += 1 + max((word for word in words if word is not None), default=0)
    return np.array(numbers)


def batches(rows: list[Row], epoch: int, collate: DataCollatorForTokenClassification) -> Iterator[Batch]:
    """The epoch's batches, each padded to its longest row. Masks depend on seed, epoch and row alone."""
    lengths = np.array([len(ids) for ids, _ in rows])
    for numbers in batch_rows(lengths, epoch):
        keys = [(SEED, epoch, int(number)) for number in numbers]
        yield collate([masked(rows[key[-1]], collate.tokenizer, np.random.default_rng(key)) for key in keys])


def masked(row: Row, tokenizer: PreTrainedTokenizerBase, random: np.random.Generator) -> dict[str, list[int]]:
    """80 % of the chosen tokens become the mask, 10 % a random token, 10 % stay (Devlin et al. 2019, A.1)."""
    ids, words = row
    chosen = choose(ids, words, tokenizer.all_special_ids, random)
    labels = np.full(len(ids), IGNORED)
    labels[chosen] = ids[chosen]
    hidden, draw = ids.copy(), random.random(len(chosen))
    hidden[chosen[draw < 0.8]] = tokenizer.mask_token_id
    swapped = chosen[(draw >= 0.8) & (draw < 0.9)]
    hidden[swapped] = random.integers(len(tokenizer), size=len(swapped))
    return {"input_ids": hidden.tolist(), "labels": labels.tolist()}


def choose(ids: np.ndarray, words: np.ndarray, special: list[int], random: np.random.Generator) -> np.ndarray:
    """The places to predict: each word with MASK_PROBABILITY, all its tokens together, and one at least."""
    free = np.flatnonzero(~np.isin(ids, special))
    if not len(free):
        return np.arange(1)
    names, member = np.unique(words[free], return_inverse=True)
    hit = random.random(len(names)) < MASK_PROBABILITY
    if not hit.any():
        hit[random.integers(len(names))] = True
    return free[hit[member]]


def batch_rows(lengths: np.ndarray, epoch: int) -> list[np.ndarray]:
    """The row numbers of each batch: rows of similar length together, in another order in each epoch.

    Epoch 0 is for scoring, and has the longest rows first.
    """
    if epoch == 0:
        return pieces(np.argsort(-lengths, kind="stable"), BATCH_SIZE)
    random = np.random.default_rng((SEED, epoch))
    buckets = pieces(random.permutation(len(lengths)), 50 * BATCH_SIZE)
    order = [bucket[np.argsort(-lengths[bucket], kind="stable")] for bucket in buckets]
    found = pieces(np.concatenate(order), BATCH_SIZE)
    return [found[place] for place in random.permutation(len(found))]


def pieces(values: np.ndarray, size: int) -> list[np.ndarray]:
    """Pieces of this size; the last one may be smaller."""
    return np.split(values, range(size, len(values), size))


def load_model(source: str) -> PreTrainedModel:
    set_seed(SEED)  # a new head is drawn from here
    # On a CPU plain attention is faster than torch's fused one for texts this short.
    plain = (CHUNK_SIZE or MAX_LENGTH) <= 256 and not torch.accelerator.is_available()
    return AutoModelForMaskedLM.from_pretrained(
        source,
        revision=REVISION,
        dtype=torch.float32,
        attn_implementation="eager" if plain else None,
    )


def train(
    model: PreTrainedModel,
    splits: dict[str, list[Row]],
    collate: DataCollatorForTokenClassification,
    accelerator: Accelerator,
) -> tuple[list[Metrics], list[Metrics]]:
    """All steps and all epochs; the model of the best one is kept in model/."""
    steps_an_epoch = math.ceil(math.ceil(len(splits["train"]) / BATCH_SIZE) / GRADIENT_ACCUMULATION)
    total = max(1, math.ceil(steps_an_epoch * EPOCHS))
    total = min(total, MAX_STEPS) if MAX_STEPS else total
    optimizer = make_optimizer(model)
    scheduler = get_scheduler(SCHEDULE, optimizer, math.ceil(total * WARMUP_RATIO), total)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    steps: list[Metrics] = []
    epochs: list[Metrics] = []
    set_seed(SEED)  # dropout is drawn from here
    for epoch in range(1, math.ceil(EPOCHS) + 1):
        model.train()
        loss_sum, count = 0.0, 0
        left = batches(splits["train"], epoch, collate)
        while len(steps) < total and (group := list(islice(left, GRADIENT_ACCUMULATION))):
            targets = sum(int((batch["labels"] != IGNORED).sum()) for batch in group)
            loss = sum(backward(model, batch, targets, accelerator) for batch in group)
            if MAX_GRAD_NORM:
                accelerator.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            rate = scheduler.get_last_lr()[0]  # of this step
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            loss_sum, count = loss_sum + loss * targets, count + targets
            steps.append({"step": len(steps) + 1, "loss": loss, "learning_rate": rate})
            print(f"step {len(steps)} of {total}  loss {loss:.4f}")
        metrics = {"train_loss": loss_sum / count, **evaluate(model, splits["validation"], collate)}
        epochs.append({"epoch": epoch, "step": len(steps), **metrics})
        print(f"epoch {epoch}", {name: round(value, 4) for name, value in metrics.items()})
        best = max(epochs, key=rank)
        if best is epochs[-1]:
            model.save_pretrained("model", state_dict=plain_weights(model) if LORA_RANK else None)
        if len(steps) == total or (PATIENCE and epoch - best["epoch"] >= PATIENCE):
            break
    return steps, epochs


def make_optimizer(model: PreTrainedModel) -> torch.optim.Optimizer:
    """AdamW, whose weight decay is kept off biases and LayerNorms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = {"params": [each for each in trained if each.dim() > 1], "weight_decay": WEIGHT_DECAY}
    vectors = {"params": [each for each in trained if each.dim() <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([matrices, vectors], lr=LEARNING_RATE)


def backward(model: PreTrainedModel, batch: Batch, targets: int, accelerator: Accelerator) -> float:
    """Add the batch's gradients of a step of so many targets; its share of the loss, without smoothing."""
    logits, labels = forward(model, batch)
    smoothed = cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING, reduction="sum")
    accelerator.backward(smoothed / targets)
    return cross_entropy(logits.detach(), labels, reduction="sum").item() / targets


def forward(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits at the masks, (masks, vocabulary), and the tokens that were there, (masks,)."""
    inputs = {name: values.to(model.device) for name, values in batch.items()}
    labels = inputs.pop("labels")
    hidden = labels != IGNORED
    return model(**inputs).logits[hidden].float(), labels[hidden]


def rank(epoch: Metrics) -> float:
    """The higher the better: by BEST_METRIC, or else the later."""
    value = epoch[BEST_METRIC or "epoch"]
    return -value if BEST_METRIC in ("loss", "perplexity") else value


@torch.inference_mode()
def evaluate(model: PreTrainedModel, rows: list[Row], collate: DataCollatorForTokenClassification) -> Metrics:
    """Loss, perplexity and accuracy over all masks of the rows."""
    model.eval()
    results = []
    for batch in batches(rows, 0, collate):
        logits, targets = forward(model, batch)
        results.append((cross_entropy(logits, targets, reduction="none"), logits.argmax(-1), targets))
    losses, predicted, truth = (torch.cat(each).cpu() for each in zip(*results, strict=True))
    loss = losses.double().mean().item()
    accuracy = (predicted == truth).double().mean().item()
    return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "accuracy": accuracy}


def freeze_layers(model: PreTrainedModel) -> None:
    """Leave the embeddings and the lower layers as they are."""
    encoder = model.base_model
    layers = max((each for each in encoder.modules() if isinstance(each, torch.nn.ModuleList)), key=len)
    embeddings = [each for name, each in encoder.named_children() if "embedding" in name]
    for module in (model.get_input_embeddings(), *embeddings, *layers[:FREEZE_LAYERS]):
        module.requires_grad_(False)


def add_lora(model: PreTrainedModel) -> None:
    """Train low-rank updates in the place of the encoder's matrices, which stay as they are."""
    matrices = {id(each) for each in model.base_model.parameters() if each.dim() > 1}
    frozen = {id(each) for each in model.parameters() if not each.requires_grad}
    encoder = f"{model.base_model_prefix}."
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and name.startswith(encoder)
        and id(module.weight) not in frozen
    ]
    set_seed(SEED)  # the updates are drawn from here
    inject_adapter_in_model(LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules=targets), model)
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) not in matrices | frozen


def plain_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights, with the low-rank updates added to their matrices."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    weights = {}
    for name, tensor in model.state_dict().items():
        layer, _, part = name.partition(".base_layer.")
        if part == "weight":
            tensor = tensor + layers[layer].get_delta_weight("default").to(tensor)
        if "lora_" not in name:
            weights[f"{layer}.{part}" if part else name] = tensor
    return weights


def set_dropout(model: PreTrainedModel, share: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


if __name__ == "__main__":
    main()
