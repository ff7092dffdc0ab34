"""One training step: the gradient of a whole batch, however it is cut up, and one move of the optimizer."""

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import answer_loss
from lorakit.lab.many.processes import this_process

# (model, batch) → a loss summed over the answer tokens of the batch, and how many there are. `answer_loss` is one.
Objective = Callable[[nn.Module, dict[str, torch.Tensor]], tuple[torch.Tensor, int]]

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NonFiniteLoss(LoRAError):
    """Training diverged. No step was taken from the bad loss: the parameters are those of the step before it.

    `history` holds the steps before it, where `fit` raised this.
    """

    def __init__(self, message: str, history=None) -> None:
        super().__init__(message)
        self.history = history


def train_step(
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    parts: list[dict[str, torch.Tensor]],
    *,
    batch_size: int,
    max_grad_norm: float | None,
    precision: str = "no",
    objective: Objective = answer_loss,
    stop: bool = False,
) -> dict:
    """Learn from this process's `parts` of a batch of `batch_size` examples.

    The gradient is that of the mean loss over the answer tokens of the whole batch: parts and processes add up
    sums and counts, so long answers weigh the same wherever they land. Every process ends with the same numbers:
    loss (nats per answer token), grad_norm (before clipping), tokens (without padding), stop (any process's wish).
    Raises NonFiniteLoss and leaves the parameters alone where the loss or the gradient is not finite.
    """
    device = next(iter(parameters.values())).device
    loss_sum, answer_tokens, tokens = torch.zeros((), device=device), 0, 0
    for part in parts:
        with autocast(device, precision):
            part_sum, count = objective(model, part)
        if not part_sum.requires_grad:
            raise LoRAError(
                "the trained parameters have no influence on the loss. With gradient checkpointing, switch it on with "
                'gradient_checkpointing_kwargs={"use_reentrant": False}; else look whether the adapter is in use'
            )
        # By a number that all parts know beforehand; the division by the true count follows below.
        scaler.scale(part_sum / batch_size).backward()
        loss_sum += part_sum.detach()
        answer_tokens += count
        tokens += int(part["attention_mask"].sum())
    scaler.unscale_(optimizer)
    gradients = _gradients(parameters)
    loss_sum, answer_tokens, tokens, stop = _over_processes(
        gradients, [loss_sum.item(), answer_tokens, tokens, stop], device
    )
    loss = loss_sum / answer_tokens
    torch._foreach_mul_(gradients, batch_size / answer_tokens)
    norm = nn.utils.clip_grad_norm_(parameters.values(), max_grad_norm or math.inf).item()
    # In fp16 an infinite gradient only means that the loss scale was too large: the scaler skips that step.
    if not math.isfinite(loss) or not (math.isfinite(norm) or precision == "fp16"):
        raise NonFiniteLoss(f"the loss is {loss} and the gradient norm {norm}")
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return {"loss": loss, "grad_norm": norm, "tokens": int(tokens), "stop": stop > 0}


def autocast(device: torch.device, precision: str):
    """Mixed precision for the block, or nothing at all with "no"."""
    return torch.autocast(device.type, dtype=AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()


def quick_precision(device: torch.device | str = "cpu") -> str:
    """What trains fastest there: "bf16" where the device has instructions for it, else "no".

    On a CPU without them bf16 products are emulated: a step of nano took over 20 times as long as in float32.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and supported() else "no"


def _gradients(parameters: dict[str, nn.Parameter]) -> list[torch.Tensor]:
    """Every trained parameter's gradient, zero where this process's share of the batch did not reach it."""
    for parameter in parameters.values():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters.values()]


def _over_processes(gradients: list[torch.Tensor], numbers: list, device: torch.device) -> list:
    """Add gradients (in place) and numbers up over all processes.

    By hand rather than by wrapping the model in DistributedDataParallel: an adapter's gradients are few and small,
    and the model keeps its own class.
    """
    from accelerate.utils import reduce

    if this_process().num_processes == 1:
        return numbers
    flat = torch.cat([gradient.flatten().float() for gradient in gradients])  # one message instead of hundreds
    flat = reduce(flat, "sum")
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
    return reduce(torch.tensor(numbers, dtype=torch.float64, device=device), "sum").tolist()
