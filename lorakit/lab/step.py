"""One training step: the gradient of a whole batch, however it is cut up, and one move of AdamW."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.lab.interrupt import PatientInterrupt
from lorakit.lab.many.processes import this_process
from lorakit.lab.settings import Settings

# (model, batch) → a loss summed over the answer tokens of the batch, and how many there are (`evaluate.answer_loss`).
Objective = Callable[[nn.Module, dict[str, torch.Tensor]], tuple[torch.Tensor, int]]


class NonFiniteLoss(LoRAError):
    """Training diverged. No step was taken from the bad loss: the parameters are those of the step before it.

    `history` holds the steps before it, where `fit` raised this.
    """

    history = None


class Step:
    """What is needed to take a step, and what it changes: the parameters and AdamW's moments."""

    def __init__(
        self,
        model: nn.Module,
        parameters: dict[str, nn.Parameter],
        settings: Settings,
        objective: Objective,
        groups: Callable[[dict[str, nn.Parameter]], list[dict]] | None = None,
    ) -> None:
        self.model, self.parameters, self.objective = model, parameters, objective
        self.device = next(iter(parameters.values())).device
        precision = quick_precision(self.device) if settings.precision == "auto" else settings.precision
        self.settings = replace(settings, precision=precision)
        groups = groups(parameters) if groups else [{"params": list(parameters.values())}]
        groups = [group | {"times": group.get("lr", 1.0)} for group in groups]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)

    def __call__(self, number: int, parts: list[dict], ctrl_c: PatientInterrupt) -> tuple[dict, bool]:
        """Learn from this process's `parts` of a batch; the row of the step, and whether any process wants to stop.

        The gradient is that of the mean loss over the answer tokens of the whole batch: parts and processes add up
        sums and counts, so long answers weigh the same wherever they land. The row: step, loss (nats per answer
        token), lr, grad_norm (before clipping), tokens_per_s (without padding). Raises NonFiniteLoss, the parameters
        untouched, where the loss or the gradient is not finite.
        """
        started, settings = time.perf_counter(), self.settings
        # Of dropout: far apart for neighbouring seeds and steps, and the same on resume without any stored state.
        torch.manual_seed((settings.seed * 1_000_003 + number * 8_191 + this_process().process_index) % 2**63)
        sums = self._backward(parts)  # loss, answer tokens, tokens
        gradients = [p.grad for p in self.parameters.values()]
        loss_sum, answer_tokens, tokens, stop = _over_processes(gradients, [*sums, ctrl_c.asked], self.device)
        loss, lr = loss_sum / answer_tokens, settings.learning_rate(number)
        torch._foreach_mul_(gradients, 1 / answer_tokens)
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), settings.max_grad_norm or math.inf).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NonFiniteLoss(
                f"the loss is {loss} and the gradient norm {norm} at step {number}, where the learning rate is {lr:.3g}"
                f" (peak {settings.lr:.3g}): try a third of it. The parameters stand as after step {number - 1}."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["times"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        row = {"step": number, "loss": loss, "lr": lr, "grad_norm": norm, "tokens_per_s": tokens / seconds}
        # Several processes have to stop at the same step: at the next one where this came too late for the others.
        return row, stop > 0 or (ctrl_c.asked and this_process().num_processes == 1)

    def _backward(self, parts: list[dict]) -> list:
        """Fill in the gradients of the summed loss; returns that sum, the answer tokens and all tokens."""
        loss_sum, answer_tokens, tokens = torch.zeros((), device=self.device), 0, 0
        for part in parts:
            with autocast(self.device, self.settings.precision):
                part_sum, count = self.objective(self.model, part)
            if not part_sum.requires_grad:
                raise LoRAError(
                    "the trained parameters have no influence on the loss. With gradient checkpointing, switch it on "
                    'with gradient_checkpointing_kwargs={"use_reentrant": False}; else see whether an adapter is active'
                )
            part_sum.backward()
            loss_sum += part_sum.detach()
            answer_tokens += count
            tokens += int(part["attention_mask"].sum())
        for parameter in self.parameters.values():
            if parameter.grad is None:  # this process's share did not reach it
                parameter.grad = torch.zeros_like(parameter)
        return [loss_sum.item(), answer_tokens, tokens]


def autocast(device: torch.device, precision: str):
    """Products in bfloat16 for the block with "bf16", in the weights' own dtype with "no"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def quick_precision(device: torch.device | str = "cpu") -> str:
    """What trains fastest there: "bf16" where the device has instructions for it, else "no".

    On a CPU without them bf16 products are emulated: five times as slow as float32 by AVX-512, twenty times by AVX2.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)  # counts AVX-512 as enough
    emulated = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return "bf16" if device.type == "cpu" and supported() and not emulated else "no"


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
