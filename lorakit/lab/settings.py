"""The settings of a training run, checked when they are made; and the learning rate of each step, which they give."""

import math
from dataclasses import dataclass

from lorakit.core.errors import LoRAError

_COUNTS = {"steps": int, "batch_size": int, "accumulate": int, "eval_every": int | None, "eval_limit": int | None}
_CHOICES = {"schedule": ("cosine", "constant"), "precision": ("no", "bf16", "auto")}


@dataclass(frozen=True)
class Settings:
    """What a training run is told; the same settings on the same data train the same model, bit for bit.

    steps, batch_size  examples per step in all, shared out among the processes and cut into `accumulate` parts:
                       neither changes what is learnt, beyond rounding
    lr, warmup         the peak learning rate, reached after `warmup` steps, then `schedule`: "cosine" to zero, or
                       "constant"
    max_grad_norm      the gradient is scaled down to this norm; None: never
    seed               of the order of the examples and of dropout
    precision          "no", "bf16" or "auto" (bf16 where the device has instructions for it): the dtype that products
                       are computed in; weights keep theirs
    eval_every         steps between validations (the last step is always one): the loss and the task's metrics over
                       the first `eval_limit` validation examples; None: never

    Raises LoRAError for a value that makes no sense.
    """

    steps: int = 150
    batch_size: int = 32
    lr: float = 1e-2
    warmup: int = 10
    schedule: str = "cosine"
    max_grad_norm: float | None = 1.0
    seed: int = 0
    accumulate: int = 1
    precision: str = "no"
    eval_every: int | None = None
    eval_limit: int | None = None

    def __post_init__(self) -> None:
        for name, kind in _COUNTS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (value is not None and value < 1):
                raise LoRAError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name in ("lr", "max_grad_norm", "warmup"):
            value = getattr(self, name)
            if not (0 <= (value or 0) < math.inf):
                raise LoRAError(f"{name} must be 0 or more, got {value}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise LoRAError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def validates_after(self, step: int) -> bool:
        """Is there a validation after this step?"""
        return self.eval_every is not None and (step % self.eval_every == 0 or step == self.steps)

    def learning_rate(self, step: int) -> float:
        """Of a step (1 to `steps`): a straight rise to `lr` over `warmup` steps, then the schedule."""
        if step <= self.warmup:
            return self.lr * step / self.warmup
        done = (step - self.warmup - 1) / max(1, self.steps - self.warmup)  # 0 at first, below 1 at last
        return self.lr * 0.5 * (1 + math.cos(math.pi * done)) if self.schedule == "cosine" else self.lr
