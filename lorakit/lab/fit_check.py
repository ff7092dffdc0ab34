"""What `fit` refuses to train, before anything has changed."""

import math

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged
from lorakit.lab.many.shard import is_sharded
from lorakit.lab.tasks.task import Task


def what_to_train(
    model: nn.Module, task: Task, settings: dict, eval_every, checkpoint_every
) -> dict[str, nn.Parameter]:
    """The parameters to train, by name; LoRAError where the call makes no sense."""
    if is_merged(model):
        raise LoRAError("an adapter is merged into the model: training would change the merged weights; unmerge first")
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not parameters:
        raise LoRAError(
            "nothing to train: no parameter requires a gradient. inject an adapter (or set_adapter to one), "
            "or call model.requires_grad_(True) for full fine-tuning"
        )
    if is_sharded(model) and any(hasattr(parameter, "full_tensor") for parameter in parameters.values()):
        raise LoRAError(
            "a sharded weight cannot be trained: freeze the base (model.requires_grad_(False)) and inject an adapter. "
            "Full fine-tuning needs the gradients and the optimizer's state cut up too, which fit does not do"
        )
    if not task.train:
        raise LoRAError(f"task {task.name!r} has no training examples")
    if eval_every and not task.validation:
        raise LoRAError(f"task {task.name!r} has no validation examples: leave eval_every out")
    counts = {name: settings[name] for name in ("steps", "batch_size", "accumulate")}
    counts |= {"eval_every": eval_every, "checkpoint_every": checkpoint_every, "max_length": settings["max_length"]}
    for name, value in counts.items():
        if value is not None and (value != int(value) or value < 1):
            raise LoRAError(f"{name} must be a whole number of at least 1, got {value}")
    for name in ("lr", "weight_decay", "max_grad_norm", "warmup"):
        if not 0 <= (settings[name] or 0) < math.inf:
            raise LoRAError(f"{name} must be 0 or more, got {settings[name]}")
    for name, known in (("schedule", ("cosine", "linear", "constant")), ("precision", ("no", "bf16", "fp16", "auto"))):
        if settings[name] not in known:
            raise LoRAError(f"{name} must be one of {', '.join(known)}, got {settings[name]!r}")
    if settings["precision"] == "fp16" and any(p.dtype == torch.float16 for p in parameters.values()):
        raise LoRAError('precision "fp16" needs float32 trained weights: load_base(..., dtype="float32")')
    return parameters
