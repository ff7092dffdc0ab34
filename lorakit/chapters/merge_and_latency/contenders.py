"""The models whose times are compared: one base of random weights, bare and with each method; how a cell is timed."""

import copy

from torch import nn

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.rivals import bottleneck, prefix
from lorakit.study import latency

SIZES = {"124M": "gpt2", "355M": "gpt2-medium"}
# As the paper's GPT-2 medium: r = 4 on q and v. The bottlenecks make 11M parameters at 355M, where the paper's table of
# times has its two kinds of adapters; Houlsby's, which come twice in a block, are half as wide as Pfeiffer's.
LORA = dict(r=4, alpha=32, targets=("q", "v"))
BOTTLENECK = {"houlsby": 112, "pfeiffer": 224}
PREFIX = 10
METHODS = ("merged", "unmerged", "houlsby", "pfeiffer", "prefix")
TOKENS = 4  # written in one repeat of a decode cell


def gpt2_of_size(size: str) -> nn.Module:
    """A GPT-2 of one of SIZES with random weights, in eval mode: time does not depend on their values."""
    return random_gpt2(SIZES[size]).requires_grad_(False)


def sharing_copy(model: nn.Module) -> nn.Module:
    """A model of its own over the same memory: where a copy of the weights happens to lie is then no difference."""
    memo = {id(p): nn.Parameter(p.data, requires_grad=p.requires_grad) for p in model.parameters()}
    memo |= {id(b): b for b in model.buffers()}
    return copy.deepcopy(model, memo)


def adapted(model: nn.Module, method: str) -> nn.Module:
    """A sharing copy of the model with one of METHODS; the model stays as it is. Raises LoRAError for another."""
    if method not in METHODS:
        raise LoRAError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    dtype, model = next(model.parameters()).dtype, sharing_copy(model)
    if method in BOTTLENECK:
        bottleneck.attach(model, BOTTLENECK[method], placement=method, seed=0)
    elif method == "prefix":
        prefix.attach(model, PREFIX, seed=0)
    else:
        lk.inject(model, lk.LoRAConfig(**LORA), name="lora", seed=0)
    if method == "merged":
        lk.merge(model)
    # Training keeps what it trains in float32; who serves a half-precision model would not cast it in every forward.
    return model.to(dtype).eval().requires_grad_(False)


def contenders(model: nn.Module, methods=METHODS) -> dict[str, nn.Module]:
    """The base, then the model with each method, by name."""
    return {"base": model} | {method: adapted(model, method) for method in methods}


def measure(
    models: dict[str, nn.Module], phase: str, batch: int, length: int, *, repeats: int = 6, seconds: float = 20
) -> latency.Comparison:
    """Time one cell for all models, the first one the base: at least `repeats` rounds, and for about `seconds`.

    phase   "prefill": read batch × length tokens, until the first logits; "decode": write a token behind them
    """
    jobs = {
        name: latency.prefill(m, batch, length) if phase == "prefill" else latency.decode(m, batch, length, TOKENS)
        for name, m in models.items()
    }
    device = next(next(iter(models.values())).parameters()).device
    return latency.compare(jobs, repeats=repeats, warmup=1, device=device, seconds=seconds)
