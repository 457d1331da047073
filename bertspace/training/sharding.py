"""A model whose weights are spread over the processes (FSDP2): spread, and got back whole.

What gets tensors back whole is computed by all processes together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertspace.models.tuning import encoder_layers

if TYPE_CHECKING:
    import torch
    from accelerate.utils import FullyShardedDataParallelPlugin
    from transformers import PreTrainedModel


def shard(model: PreTrainedModel, asked: FullyShardedDataParallelPlugin) -> None:
    """Spread the weights, in place: those of an encoder layer are brought together while it computes.

    asked: what the launcher's config says of it. Precision stays autocast's, as everywhere. Not left to
    Accelerate (1.15), which groups BERT's embeddings and masked-LM head so that weights tied to each other
    come apart, and torch refuses that.
    """
    from torch.distributed.fsdp import fully_shard

    for module in (*encoder_layers(model), model):
        fully_shard(
            module, reshard_after_forward=asked.reshard_after_forward, offload_policy=asked.cpu_offload
        )
    asked.auto_wrap_policy = None  # done


def let_go(model: PreTrainedModel) -> None:
    """Let each process hold its part alone again, which by itself only a backward pass sees to."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor; of one whose parts lie in several processes all of it, in the host's memory."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def fill(target: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Copy whole values into a tensor, or into this process's part of it; the target."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(target, DTensor):
        # Every process has read them all: nothing is sent.
        values = distribute_tensor(values, target.device_mesh, target.placements, src_data_rank=None)
    return target.copy_(values)
