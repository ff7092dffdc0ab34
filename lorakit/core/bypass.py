"""Modules whose weight is used without their being called: what is adapted there would do nothing, silently."""

import ast
import contextlib
import functools
import inspect
import re
import textwrap

import torch
from torch import nn

from lorakit.core.errors import LoRAError


def refuse_bypassed(path: str, modules: dict[str, nn.Module]) -> None:
    """Raise LoRAError where the module at this path is not called, or not as itself: what is changed there would do
    nothing, silently."""
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

    nn.MultiheadAttention and the fused kernels of state-space models do so. Read from the source, where there is one:
    `self.out_proj.weight`, but not to look at its dtype, shape or type, and not where modules are made or tied.
    """
    found = set()
    for cls in kind.__mro__[: -len(nn.Module.__mro__)]:
        for name, function in vars(cls).items():
            function = inspect.unwrap(function) if inspect.isfunction(function) else None
            if function is None or "weight" not in function.__code__.co_names or NOT_FORWARD.match(name):
                continue
            with contextlib.suppress(OSError, SyntaxError):
                tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
                looks = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_look(node)]
                looked = {id(inner) for call in looks for inner in ast.walk(call)}
                looked |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in LOOKS}
                # In parts: a path that BLOOM has, and takes with a setting that is off.
                looked |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Subscript)}
                for node in ast.walk(tree):
                    if isinstance(node, ast.Attribute) and node.attr == "weight" and id(node) not in looked:
                        chain = ast.unparse(node.value)
                        if re.fullmatch(r"self(\.\w+)+", chain) and isinstance(node.ctx, ast.Load):
                            found.add(chain.removeprefix("self."))
    return frozenset(found)


NOT_FORWARD = re.compile(r"_*(init|reset|tie|get|set|resize|load|save|from|convert|prune|post_init)")
LOOKS = {"dtype", "device", "shape", "ndim", "is_meta", "requires_grad", "size", "dim", "is_quantized"}


def _is_look(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("isinstance", "hasattr", "getattr", "type")
