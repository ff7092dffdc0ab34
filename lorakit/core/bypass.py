"""Modules whose weight is used without their being called: what is adapted there would do nothing, silently."""

import contextlib
import functools
import inspect
import re

import torch
from torch import nn

from lorakit.core.errors import LoRAError

NOT_FORWARD = re.compile(r"_*(init|reset|tie|get|set|resize|load|save|from|convert|prune|post_init)")
# `self.out_proj.weight`, but not to look at its kind or shape, to set it, or to take a part of it (which BLOOM does
# only with a setting that is off).
READ = re.compile(
    r"(?<!instance\()(?<!attr\()(?<!type\()\bself\.([\w.]+)\.weight\b"
    r"(?!\.(dtype|device|shape|ndim|is_meta|requires_grad|size|dim|is_quantized)|\[|\s*=[^=])"
)


def refuse_bypassed(path: str, modules: dict[str, nn.Module]) -> None:
    """Raise LoRAError where the module at this path is not called, or not as itself."""
    own, above_it = modules[path], {at: modules[at] for at in ["", *(path[:i] for i, c in enumerate(path) if c == ".")]}
    why = None
    if "forward" in vars(own) and "_old_forward" not in vars(own):
        why = "has had its forward replaced: take that off first"
    elif any(type(outer).__module__.startswith("peft.") for outer in (own, *above_it.values())):
        why = "is inside a model that PEFT has wrapped: take the bare model, model.unload() or model.get_base_model()"
    for at, outer in above_it.items():
        name = path.removeprefix(f"{at}.") if at else path
        quick = isinstance(outer, nn.TransformerEncoderLayer)
        if name in weights_read(type(outer)) and not (quick and not torch.backends.mha.get_fastpath_enabled()):
            why = f"is not always called: {type(outer).__name__} takes its weight and computes with that by itself"
            why += " (in eval mode: torch.backends.mha.set_fastpath_enabled(False) stops that)" if quick else ""
    if why:
        raise LoRAError(f"what is adapted at {path} would have no effect, because it {why}")


@functools.cache
def weights_read(kind: type) -> frozenset[str]:
    """The inner modules ("out_proj", "attn.out_proj") whose weight a class's own code takes to compute with it.

    nn.MultiheadAttention and the fused kernels of state-space models do so. Read from the source, where there is one,
    but for what makes and ties modules.
    """
    found = set()
    for cls in kind.__mro__[: -len(nn.Module.__mro__)]:
        for name, function in vars(cls).items():
            function = inspect.unwrap(function) if inspect.isfunction(function) else None
            if function is not None and "weight" in function.__code__.co_names and not NOT_FORWARD.match(name):
                with contextlib.suppress(OSError):
                    found |= {read[1] for read in READ.finditer(inspect.getsource(function))}
    return frozenset(found)
