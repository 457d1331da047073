"""The worker with its weights spread over processes on a CPU, for tests: `torchrun … sharded_worker.py RUN`.

Accelerate takes FSDP for GPUs only; what it does then works on a CPU as well. So it is told here, after it
has looked at the machine, that the launcher's wish counts.
"""

import os
import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import CPUOffloadPolicy

from bertspace.jobs import worker

as_it_is = AcceleratorState.__init__


def as_on_gpus(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
    as_it_is(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
        if self.mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self.mixed_precision)
        if fsdp_plugin.cpu_offload:
            fsdp_plugin.cpu_offload = CPUOffloadPolicy(pin_memory=False)  # there is no GPU to copy to
        self.fsdp_plugin = fsdp_plugin
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


AcceleratorState.__init__ = as_on_gpus  # type: ignore[method-assign]

if __name__ == "__main__":
    done = worker.main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(done)
