"""Which of several processes this is: under torchrun, under accelerate launch, or alone."""

import os

import torch


def this_process(cpu: bool = False):
    """Accelerate's PartialState (num_processes, process_index, device, ...), connected to the other processes.

    cpu  keep to the CPU on a machine with GPUs; only the first call in a process decides
    """
    from accelerate import PartialState

    several = int(os.environ.get("LOCAL_RANK", -1)) >= 0 and int(os.environ.get("WORLD_SIZE", 1)) > 1
    # Without a GPU, PartialState looks for other processes only where it is told to use the CPU.
    cpu = cpu or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return PartialState(cpu=cpu or (several and not torch.accelerator.is_available()))
