"""A base larger than one GPU: its frozen weights cut up over the processes (PyTorch's FSDP2), adapters whole on each.

    model, tokenizer = lk.load_base("big", device="cpu", dtype="bfloat16")
    lk.inject(model, config)
    lab.shard(model)                       # in every process of torchrun or accelerate launch
    lab.fit(model, tokenizer, task, ...)   # as ever; afterwards save_adapter on the main process

Every process keeps 1/n of each frozen tensor. A block's weights are put together when its forward or backward begins
and dropped when it ends, so a GPU holds its share and one or two blocks. What trains is small and stays whole on every
process: plain tensors, whose gradients `fit` adds up by itself, so that optimizer, clipping, checkpoints and
save_adapter are the same code and the same files as with one process.
"""

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged
from lorakit.core.state import peek
from lorakit.core.targets import base_modules, is_projection
from lorakit.files.note import sample_of
from lorakit.lab.many.processes import this_process
from lorakit.lab.settings import Settings


def shard(model: nn.Module) -> nn.Module:
    """Cut the frozen weights up over the processes, in place; what trains, and every adapter, stays whole on each.

    Call it in every process, with the same weights in each, after inject or load_adapter; further adapters may come
    later. The model may lie on the CPU: one block at a time goes to the device. Blocks are the members of the
    outermost nn.ModuleLists (GPT-2's transformer.h); the rest, tied embeddings included, is one more unit.
    From now on every process must take part in every forward, in evaluating and generating too.

    Returns the model. Raises LoRAError, and changes nothing, where an adapter is merged, the model is sharded
    already, there is only one process, or most of it trains: full fine-tuning also needs its gradients and the
    optimizer's state cut up, which `fit` does not do.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    whole = _stays_whole(model)
    processes = this_process()
    if processes.num_processes == 1:
        raise LoRAError(
            "there is one process, so nothing to cut the base up over: start several, as in "
            "`torchrun --nproc-per-node 2 script.py` or `accelerate launch --num_processes 2 script.py`"
        )
    mesh = init_device_mesh(processes.device.type, (processes.num_processes,))
    for _, module in base_modules(model):
        if is_projection(module):
            # Saving and loading an adapter looks at a few weights of its base; a process now sees only its share.
            module.base_sample = sample_of(module)
    for parameter in whole:
        parameter.data = parameter.data.to(mesh.device_type)  # "cuda": this process's own
    # Dropped after forward in the last unit too (FSDP's default keeps it): the embeddings are the largest single
    # tensor of a small model, and between two steps a process then holds its share and nothing more.
    options = {"mesh": mesh, "reshard_after_forward": True, "ignored_params": whole}
    for block in _blocks(model):
        fully_shard(block, **options)
    return fully_shard(model, **options)


def is_sharded(model: nn.Module) -> bool:
    """Are (some of) the model's weights cut up over processes?"""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False  # before the import below, which takes a while
    from torch.distributed.tensor import DTensor

    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def _stays_whole(model: nn.Module) -> set[nn.Parameter]:
    """The parameters that train and those of all adapters; LoRAError where the model cannot be sharded."""
    if is_merged(model):
        raise LoRAError("an adapter is merged into the model, and sharded weights cannot be unmerged: unmerge first")
    if is_sharded(model):
        raise LoRAError("the model is sharded already: shard it once, after inject")
    whole = {parameter for parameter in model.parameters() if parameter.requires_grad}
    trained, total = sum(p.numel() for p in whole), sum(p.numel() for p in model.parameters())
    if trained > total / 2:
        raise LoRAError(
            f"{trained:,} of the model's {total:,} parameters require gradients, and only frozen ones are sharded: "
            "inject an adapter first (which freezes the base), or model.requires_grad_(False) to only run it"
        )
    state = peek(model)
    for layer in state.layers.values() if state else ():
        whole |= set(layer.adapters.parameters())
    return whole


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the outermost nn.ModuleLists: a transformer's layers, of encoder and decoder where it has both."""
    lists = {path: module for path, module in base_modules(model) if isinstance(module, nn.ModuleList)}
    outer = [path for path in lists if not any(path.startswith(f"{other}.") for other in lists)]
    return [block for path in outer for block in lists[path]]


def same_everywhere(model: nn.Module, parameters: dict[str, nn.Parameter], settings: Settings) -> None:
    """Before training: the model on each process's own device, its trained `parameters` the same in all of them.

    Raises LoRAError for a sharded model that cannot be trained so.
    """
    processes = this_process()
    sharded = is_sharded(model)
    if sharded and any(hasattr(parameter, "full_tensor") for parameter in parameters.values()):
        raise LoRAError(
            "a sharded weight cannot be trained: freeze the base (model.requires_grad_(False)) and inject an adapter. "
            "Full fine-tuning needs the gradients and the optimizer's state cut up too, which fit does not do"
        )
    parts = processes.num_processes * settings.accumulate
    if sharded and settings.batch_size < parts:
        raise LoRAError(
            f"the model is sharded, so every process has to run every part of a batch: batch_size must be at least "
            f"{parts} ({processes.num_processes} processes x {settings.accumulate} parts), got {settings.batch_size}"
        )
    if processes.num_processes > 1:
        from accelerate.utils import broadcast

        if not sharded:
            model.to(processes.device)
        for parameter in parameters.values():
            parameter.data.copy_(broadcast(parameter.data))
