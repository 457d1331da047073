"""A model whose weights are spread over the processes (FSDP2): spread, and brought together again.

Bringing a tensor together needs all processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertspace.errors import ConfigError
from bertspace.models.tuning import encoder_layers

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from accelerate.utils import FullyShardedDataParallelPlugin
    from transformers import PreTrainedModel


def check_launcher(accelerator: Accelerator) -> None:
    """Raises ConfigError where the launcher shares the weights in a way that is not supported here."""
    kind = accelerator.distributed_type.value
    if kind in ("DEEPSPEED", "MEGATRON_LM") or (kind == "FSDP" and not accelerator.is_fsdp2):
        raise ConfigError(
            f"The launcher spreads the weights by {'FSDP version 1' if kind == 'FSDP' else kind}.",
            hint="Choose FSDP with fsdp_version: 2 in its config, which does the same; fsdp_offload_params: "
            "true keeps weights, gradients and the optimizer off the GPU.",
        )
    if accelerator.is_fsdp2 and accelerator.state.fsdp_plugin.activation_checkpointing:
        raise ConfigError(
            "The launcher asks for activation checkpointing, which is not offered here.",
            hint="Leave fsdp_activation_checkpointing out of its config; a smaller batch_size with "
            "gradient_accumulation takes less memory too.",
        )


def shard(model: PreTrainedModel, plugin: FullyShardedDataParallelPlugin) -> None:
    """Spread the weights, in place: those of an encoder layer are brought together while it computes.

    plugin: the launcher's settings. Precision stays autocast's, as everywhere. Not left to Accelerate (1.15),
    which groups BERT's embeddings and masked-LM head so that tied weights come apart, and torch refuses that.
    """
    from torch.distributed.fsdp import fully_shard

    for module in (*encoder_layers(model), model):
        fully_shard(
            module, reshard_after_forward=plugin.reshard_after_forward, offload_policy=plugin.cpu_offload
        )
    plugin.auto_wrap_policy = None  # done


def reshard(model: PreTrainedModel) -> None:
    """Let each process hold its part alone again; by itself only a backward pass does that."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor; one that is spread over the processes is brought together in the host's memory."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def fill(target: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Copy whole values into a tensor, or into this process's part of it; the target."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(target, DTensor):
        # Every process has read them all: nothing is sent.
        values = distribute_tensor(values, target.device_mesh, target.placements, src_data_rank=None)
    return target.copy_(values)
