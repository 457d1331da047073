"""How a model is loaded: from a folder on disk, from safetensors, with no code of its own and no network.

Knows nothing of training.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertspace import hardware
from bertspace.errors import FULL, BertspaceError, ModelError, without_paths
from bertspace.models import tokens, weights
from bertspace.models.sources import FEATURES, STARTER_HEAD, Located, why_not
from bertspace.safety.config import counts_from_padding, library
from bertspace.safety.layout import laid_out
from bertspace.safety.room import no_larger_than, shapes_of
from bertspace.tasks import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 8192  # tokens of a text, TrainConfig's most: attention takes their square
STARTER_ADAPTER = Path(__file__).parents[1] / "starter" / "adapter.safetensors"

_log = logging.getLogger(__name__)

LOADING = threading.Lock()  # transformers switches torch's default type while it loads, for all threads


def load_tokenizer(located: Located) -> PreTrainedTokenizerBase:
    """The fast tokenizer, with any truncation or padding that its file carries taken off; raises ModelError
    where it does not fit the model.
    """
    transformers = library()
    folder = laid_out(located.path, located.name)
    with quiet(), named(located.name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **tokens.missing_settings(folder)
        )
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    if not tokenizer.is_fast:
        raise ModelError(
            f"{located.name} has no fast tokenizer.", hint="Choose a model with a tokenizer.json."
        )
    tokens.prepare(tokenizer, config, located.name)
    tokenizer._tokenizer.no_truncation()
    tokenizer._tokenizer.no_padding()
    tokenizer.model_max_length = _longest(located.max_length or tokenizer.model_max_length, located)
    return tokenizer


def _longest(said: int, located: Located) -> int:
    """Tokens that the model reads of a text: as many as is said and it has positions for."""
    config = located.config
    positions = config.get("max_position_embeddings") or 512
    counts = counts_from_padding(str(config.get("model_type")))
    offset = (config.get("pad_token_id") or 0) + 1 if counts else 0
    return max(1, min(said, positions - offset, LONGEST))


def load_model(located: Located, task: str, *, new_head: bool = False, **options: Any) -> PreTrainedModel:
    """The model in fp32 on the CPU, in evaluation mode; raises ModelError.

    new_head: a head that the checkpoint lacks is made at random (seed first!), as fine-tuning wants it;
    otherwise a missing head is an error. task FEATURES means the bare encoder. options go to the model's
    config: num_labels, id2label, hidden_dropout_prob …
    """
    if not new_head and (why := why_not(located, task)):
        raise ModelError(f"{located.name} {why}.", hint="Choose another model.")
    auto = getattr(library(), "AutoModel" if task == FEATURES else TASKS[task].auto_class)
    with LOADING, quiet(), named(located.name):
        model, report = _built(auto, located, options)
    adapted = located.kind == "starter" and task != FEATURES and TASKS[task].head == STARTER_HEAD
    if not (adapted and STARTER_ADAPTER.is_file()):
        if not new_head and task != FEATURES:
            weights.check_head(report, located.name)
        model.new_weights = tuple(report.new)  # for tuning.save_adapter
    else:
        apply_adapter(model, STARTER_ADAPTER)
    return model.eval()


def _built(auto: Any, located: Located, options: dict[str, Any]) -> tuple[PreTrainedModel, weights.Report]:
    """The model, and what was drawn at random of its head; raises ModelError where it is more than a head.

    What is wrapped around the names of all weights is taken off, and said in the log.
    """
    model, report = _read(auto, located, options)
    held = shapes_of(laid_out(located.path, located.name))
    if prefix := weights.wrapper(model, held):
        kind = str(model.config.model_type)
        if other := weights.other_type(prefix, kind):
            raise ModelError(
                f"The weights of {located.name} are called {prefix}…, as those of a {other}, and its "
                f"config.json says {kind}: the two count positions otherwise.",
                hint=weights.OTHER,
            )
        model, report = _read(auto, located, options | {"key_mapping": {f"^{re.escape(prefix)}": ""}})
        model.finding = f"The names of {located.name}'s weights begin with {prefix}, which was taken off."
        _log.warning(model.finding)
    weights.check(model, report, located.name)
    return model, report


def _read(auto: Any, located: Located, options: dict[str, Any]) -> tuple[PreTrainedModel, weights.Report]:
    import torch

    with no_larger_than(shapes_of(located.path), located.name):
        model, said = auto.from_pretrained(
            laid_out(located.path, located.name),
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are looked at here
            **options,
        )
    return model, weights.Report.of(said)


def apply_adapter(model: PreTrainedModel, path: Path) -> None:
    """Add an adapter file to a model in place; see `bertspace.cli.adapter` for how one is made.

    `NAME.left` (out, rank) and `NAME.right` (rank, in) are added to the parameter NAME as their product;
    any other tensor replaces the parameter of its name. Raises ModelError where a name is not the model's.
    """
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            target, _, side = name.rpartition(".")
            if name in parameters:
                parameters[name].copy_(tensor)
            elif side == "left" and target in parameters:
                parameters[target].add_(tensor.float() @ tensors[f"{target}.right"].float())
            elif not (side == "right" and f"{target}.left" in tensors):
                raise ModelError(
                    f"{path.name} holds {name}, which this model lacks.", hint="Make the adapter again."
                )


def default_learning_rate(located: Located, task: str, lora_rank: int = 0) -> float:
    """2e-5 for base size and above (Devlin et al. 2019, A.3); small encoders learn next to nothing at it.

    For fewer than 768 hidden units the values are those that did best on CoLA and IMDb with the starter:
    see docs/measured.md. LoRA's updates begin at 0: at full tuning's rate they learn next to nothing.
    """
    if int(located.config.get("hidden_size") or located.config.get("dim") or 768) >= 768:
        return 2e-4 if lora_rank else 2e-5
    if lora_rank:
        return 3e-3  # after 3 epochs of sample:office a loss of 0.53; 1.08 at 1e-3, 1.10 at 1e-4
    return TASKS[task].small_model_rate


@contextmanager
def named(name: str) -> Iterator[None]:
    """Turns whatever is raised over a model's files into a ModelError that names the model.

    They may be anybody's, and what transformers, torch and tokenizers (whose panics are no Exceptions) make
    of broken ones is no bug of ours.
    """
    try:
        yield
    except BertspaceError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # somebody wants this process to end
        if hardware.is_out_of_memory(error) or isinstance(error, OSError) and error.errno in FULL:
            raise  # which is told by who knows what would need less
        why = without_paths(str(error).strip().split("\n")[0][:200]) or type(error).__name__
        raise ModelError(f"{name} cannot be loaded: {why}", hint="Choose another model.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' load report and progress bar; missing weights are looked at here."""
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
