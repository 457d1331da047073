"""A model made ready for training: its head, LoRA, freezing, dropout; and its plain weights afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace import hardware
from bertspace.errors import ConfigError
from bertspace.models.loading import load_model
from bertspace.models.sources import Located
from bertspace.schema import TrainConfig
from bertspace.tasks import TASKS, Task

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

# On a CPU the backward pass of torch's fused attention took 24 % of a step at 128 tokens, plain products 6 %.
# They keep (B, heads, T, T) for every layer: with more tokens than this the memory is not worth the time.
LONGEST_PLAIN = 256


def load_for_training(located: Located, task: Task, label_names: tuple[str, ...]) -> PreTrainedModel:
    """The model with the task's head: the checkpoint's own where it fits, else a new one."""
    if not task.has_labels:
        return load_model(located, task.name, new_head=True)
    names = dict(enumerate(label_names))
    return load_model(
        located,
        task.name,
        new_head=True,
        num_labels=len(names),
        id2label=names,
        label2id={name: number for number, name in names.items()},
        problem_type="single_label_classification",
    )


def prepare(model: PreTrainedModel, config: TrainConfig) -> None:
    """Freeze what is not to be trained, add LoRA where asked, set dropout; in place. Raises ConfigError."""
    choose_attention(model, config)
    if config.freeze_layers:
        freeze(model, config.freeze_layers)
    if config.lora_rank:
        add_lora(model, config.lora_rank)
    if config.dropout is not None:
        set_dropout(model, config.dropout)


def choose_attention(model: PreTrainedModel, config: TrainConfig) -> None:
    """Plain products where they are faster: in training, and in scoring so that both round alike."""
    if hardware.device() == "cpu" and TASKS[config.task].longest(config) <= LONGEST_PLAIN:
        model.set_attn_implementation("eager")


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of encoder layers: the longest ModuleList of the base model."""
    if not (lists := _lists(model)):
        raise ConfigError("This model has no list of layers to freeze.", hint="Set freeze_layers to 0.")
    return max(lists, key=len)


def freeze(model: PreTrainedModel, count: int) -> None:
    """Leave the embeddings and the lowest `count` layers as they are."""
    layers = encoder_layers(model)
    expected = getattr(model.config, "num_hidden_layers", None) or len(layers)
    if len(layers) < expected:
        raise ConfigError(
            f"freeze_layers is {count}, and the {expected} layers of this {model.config.model_type} "
            "cannot be frozen one by one: they share weights.",
            hint="Set freeze_layers to 0.",
        )
    if count > len(layers):
        raise too_many_layers(count, len(layers))
    # XLM has its layers' parts in lists of their own, one beside the other.
    beside = [each for each in _lists(model) if len(each) == len(layers)]
    lowest = [part for each in beside for part in each[:count]]
    for module in (model.get_input_embeddings(), *_embedding_parts(model), *lowest):
        module.requires_grad_(False)


def _lists(model: PreTrainedModel) -> list[nn.ModuleList]:
    """The lists of modules that are in no other list."""
    from torch import nn

    lists = {name: each for name, each in model.base_model.named_modules() if isinstance(each, nn.ModuleList)}
    return [each for name, each in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]


def too_many_layers(count: int, layers: int) -> ConfigError:
    return ConfigError(f"freeze_layers is {count}.", hint=f"This model has {layers} layers.")


def _embedding_parts(model: PreTrainedModel) -> list[nn.Module]:
    return [module for name, module in model.base_model.named_children() if "embedding" in name]


def add_lora(model: PreTrainedModel, rank: int) -> None:
    """Low-rank updates on every linear layer of the encoder (Hu et al. 2021; scale 1 at any rank).

    The matrices themselves rest; biases, LayerNorms and the task's head are trained as they are.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from torch import nn

    prefix = f"{model.base_model_prefix}."
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    # By themselves, not by name: a decoder that is tied to the embeddings may be named before them.
    matrices = {id(each) for each in model.base_model.parameters() if each.dim() > 1}
    targets = [
        name
        for name, module in model.named_modules()
        if name.startswith(prefix) and isinstance(module, nn.Linear) and f"{name}.weight" not in frozen
    ]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), model)
    for name, parameter in model.named_parameters():
        plain = name.replace(".base_layer", "")
        rests = plain in frozen or id(parameter) in matrices
        parameter.requires_grad = not rests


def plain_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The state dict of the model without LoRA's parts, their updates added to the matrices."""
    from peft.tuners.lora import LoraLayer

    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    weights = {}
    for name, tensor in model.state_dict().items():
        if "lora_" in name:
            continue
        owner, _, part = name.partition(".base_layer.")
        if part == "weight" and owner in layers:
            tensor = tensor + layers[owner].get_delta_weight("default").to(tensor)
        weights[f"{owner}.{part}" if part else name] = tensor
    return weights


def save_adapter(model: PreTrainedModel, folder: Path, base: str, revision: str) -> None:
    """What LoRA trained, as peft reads it: the matrices, and by name whatever else the base has not.

    peft copies tensors that are not LoRA's into the model as they are: so biases, LayerNorms and the head
    need no copies of modules, which would untie a masked-LM head from the embeddings. base, revision: of the
    model on the Hub that they belong to.
    """
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer
    from safetensors.torch import save_file

    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    rank = next(iter(layers.values())).r["default"]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=sorted(layers), inference_mode=True)
    config.base_model_name_or_path, config.revision = base, revision or None
    config.task_type, config.auto_mapping = _for_peft(model)
    config.save_pretrained(folder)
    new = set(getattr(model, "new_weights", ()))  # drawn at random: who loads the base draws others
    tensors = {
        f"base_model.model.{name.replace('.default', '')}": parameter.detach().float().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or name.replace(".base_layer", "") in new
    }
    labels = [str(name) for _, name in sorted(model.config.id2label.items())]
    metadata = {"format": "pt", "labels": json.dumps(labels)}  # which the base does not know
    save_file(tensors, folder / "adapter_model.safetensors", metadata=metadata)


def _for_peft(model: PreTrainedModel) -> tuple[str | None, dict[str, str] | None]:
    """By what peft's Auto classes find the model's class: a task type; for masks, of which peft (0.21) has
    none, the class itself, which AutoPeftModel takes."""
    kind = next(each for each in type(model).__mro__ if each.__module__.startswith("transformers."))
    if kind.__name__.endswith("ForSequenceClassification"):
        return "SEQ_CLS", None
    return None, {"base_model_class": kind.__name__, "parent_library": kind.__module__}


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Every dropout of the model: its modules, those that it leaves out at a share of 0, and the numbers that
    layers hand to torch's functions. What leaves out whole layers or paths is another thing.
    """
    from torch import nn

    for module in list(model.modules()):
        if isinstance(module, nn.Dropout):
            module.p = share
        for name, value in list(vars(module).items()):
            if _is_dropout(name) and isinstance(value, float | int) and not isinstance(value, bool):
                setattr(module, name, share)
        for name, child in list(module.named_children()):
            if _is_dropout(name) and isinstance(child, nn.Identity):
                setattr(module, name, nn.Dropout(share))


def _is_dropout(name: str) -> bool:
    return "drop" in name and not any(other in name for other in ("layerdrop", "path"))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups for AdamW: matrices decay, biases and LayerNorms (one dimension) do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [each for each in trained if each.dim() <= 1], "weight_decay": 0.0},
    ]


def trained_count(model: nn.Module) -> tuple[int, int]:
    """Parameters trained, and all that the model has: LoRA's matrices are trained, and none of its own."""
    sizes = [(each.numel(), each.requires_grad, "lora_" in name) for name, each in model.named_parameters()]
    trained = sum(size for size, is_trained, _ in sizes if is_trained)
    return trained, sum(size for size, _, added in sizes if not added)
