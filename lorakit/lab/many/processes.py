"""Which of several processes this is: under torchrun, under accelerate launch, or alone."""

import os

import torch

from lorakit.core.errors import LoRAError


def this_process(cpu: bool = False):
    """Accelerate's PartialState (num_processes, process_index, device, ...), connected to the other processes.

    cpu  keep to the CPU on a machine with GPUs; only the first call in a process decides

    Raises LoRAError where several processes were started but this one has been set up to be alone.
    """
    from accelerate import PartialState

    several = int(os.environ.get("LOCAL_RANK", -1)) >= 0 and int(os.environ.get("WORLD_SIZE", 1)) > 1
    # Without a GPU, PartialState looks for other processes only where it is told to use the CPU.
    cpu = cpu or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    state = PartialState(cpu=cpu or (several and not torch.accelerator.is_available()))
    if several and state.num_processes == 1:
        raise LoRAError(
            f"{os.environ['WORLD_SIZE']} processes were started, but PartialState() made this one be alone: "
            "without a GPU write PartialState(cpu=True), or leave it to lorakit"
        )
    return state
