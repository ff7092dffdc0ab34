"""Which modules an adapter goes to: from "q" or "c_proj" or "c_attn.q" to the model's own modules."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lorakit.core.errors import LoRAError

# The course's names for projections, as patterns over module paths. Architectures differ in spelling only,
# so one table serves GPT-2, Llama-type, OPT, Phi, NeoX, Falcon, BLOOM, BERT, RoBERTa, DeBERTa, ViT and T5.
# "c_attn" holds q, k and v side by side in one weight: there, "q" means the q slice of it.
ALIASES = {
    "q": r"(.*\.)?(q_proj|query|query_proj|q_lin|q_attn|q)|(.*\.)?c_attn\.q",
    "k": r"(.*\.)?(k_proj|key|key_proj|k_lin|k)|(.*\.)?c_attn\.k",
    "v": r"(.*\.)?(v_proj|value|value_proj|v_lin|v)|(.*\.)?c_attn\.v",
    "o": r"(.*\.)?((attn|attention|self_attn|self_attention|crossattention)"
    r"\.(c_proj|o_proj|out_proj|out_lin|dense|output\.dense)|o)",
    "mlp": r"(.*\.)?(mlp\.[^.]+|layer\.\d+\.(intermediate|output)\.dense|fc1|fc2|ffn\.lin[12]"
    r"|DenseReluDense\.[^.]+)",
}
SLICES = ("q", "k", "v")
# Other projections that hold q, k and v: head after head (GPT-NeoX, BLOOM), or in widths of their own (Phi-3, Falcon).
FUSED = re.compile(r"query_key_value|qkv_proj|qkv|Wqkv|W_pack|c_attn")
# They call it c_attn too, and as wide, but put each head's rows of q, k and v together: a third of it is no "q".
INTERLEAVED = ("GPTBigCodeAttention",)


@dataclass(frozen=True)
class Target:
    """One projection to adapt: the whole of it (slices = ()), or named slices of a fused one, in order."""

    path: str
    module: nn.Module
    slices: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of each adapted range of output features."""
        in_features, out_features = projection_shape(self.module)
        if not self.slices:
            return ((0, out_features),)
        starts = [SLICES.index(name) * in_features for name in self.slices]
        return tuple((start, start + in_features) for start in starts)


def is_conv1d(module: nn.Module) -> bool:
    """GPT-2's Conv1D: a linear layer that stores its weight as (in, out). Known by name: core is torch only."""
    return any(cls.__name__ == "Conv1D" for cls in type(module).__mro__) and hasattr(module, "nf")


def is_projection(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or is_conv1d(module)


def projection_shape(module: nn.Module) -> tuple[int, int]:
    """(in, out) features of a Linear or a Conv1D."""
    if is_conv1d(module):
        return module.weight.shape[0], module.weight.shape[1]
    return module.in_features, module.out_features


def is_fused(path: str, module: nn.Module, model: nn.Module) -> bool:
    """Does this projection hold q, k and v side by side, each as wide as the input?"""
    parent, _, leaf = path.rpartition(".")
    if leaf != "c_attn" or type(model.get_submodule(parent)).__name__ in INTERLEAVED:
        return False
    in_features, out_features = projection_shape(module)
    return out_features == len(SLICES) * in_features


def base_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """model.named_modules() without what is inside the adapters, of which there may be thousands."""
    seen: set[nn.Module] = set()

    def walk(path: str, module: nn.Module):
        if module in seen:
            return
        seen.add(module)
        yield path, module
        for name, child in module._modules.items():
            if child is not None and not (name == "adapters" and "live" in module.__dict__):  # a LoRALayer's
                yield from walk(f"{path}.{name}" if path else name, child)

    return walk("", model)


def find_targets(model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()) -> list[Target]:
    """The model's projections named by targets, in the model's order; raises LoRAError if a name fits nothing."""
    modules = dict(base_modules(model))
    projections = {path: module for path, module in modules.items() if is_projection(module)}
    chosen: dict[str, set[str]] = {}  # path -> slices, "" for the whole
    for target in targets:
        found = _match(target, model, projections, exclude)
        if not found:
            raise LoRAError(_no_match(target, modules, projections))
        for path, piece in found:
            chosen.setdefault(path, set()).add(piece)
    result = []
    for path, module in projections.items():
        pieces = chosen.get(path)
        if not pieces:
            continue
        if "" in pieces and len(pieces) > 1:
            raise LoRAError(f"targets name both the whole of {path} and slices of it: choose one")
        _refuse_bypassed(path, module, modules)
        result.append(Target(path, module, tuple(s for s in SLICES if s in pieces)))
    return result


def matches_name(path: str, name: str) -> bool:
    """PEFT's rule for a listed name: the whole path, or a suffix of it at a dot."""
    return path == name or path.endswith("." + name)


def endings(path: str) -> list[str]:
    """The names that name this path: "a.b.c" -> ["a.b.c", "b.c", "c"]."""
    parts = path.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def listed(paths: list[str], names: Iterable[str]) -> list[str]:
    """The paths that one of these names names; the cost does not grow with paths times names."""
    names = set(names)
    return [path for path in paths if not names.isdisjoint(endings(path))]


def above(path: str) -> list[str]:
    """The path and the paths of the modules it is inside: "a.b.c" -> ["a", "a.b", "a.b.c"]."""
    return [path[:i] for i, letter in enumerate(path) if letter == "."] + [path]


def _match(target: str, model: nn.Module, projections: dict, exclude: Sequence[str]) -> list[tuple[str, str]]:
    if target == "all-linear":
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        return [
            (path, "")
            for path, module in projections.items()
            if module is not head and not any(matches_name(at, name) for name in exclude for at in above(path))
        ]
    found = [(path, "") for path in projections if matches_name(path, target)]
    pattern = ALIASES.get(target)
    base, _, piece = target.rpartition(".")
    for path, module in projections.items():
        names = [(path, "")] if pattern else []
        if is_fused(path, module, model):
            names += [(path, s) for s in SLICES if pattern or (s == piece and matches_name(path, base))]
        for name, s in names:
            full = f"{name}.{s}" if s else name
            if not pattern or re.fullmatch(pattern, full):
                found.append((name, s))
    return list(dict.fromkeys(found))


def _no_match(target: str, modules: dict, projections: dict) -> str:
    named = [path for path in modules if path and matches_name(path, target)]
    if named and not any(path in projections for path in named):
        kind = type(modules[named[0]]).__name__
        return f'target "{target}" is of type {kind}: LoRA here adapts nn.Linear and Conv1D projections only'
    base, _, piece = target.rpartition(".")
    if piece in SLICES and any(matches_name(path, base) for path in projections):
        return (
            f'"{target}" asks for a slice of {base}, but {base} does not hold q, k and v side by side, each as '
            f'wide as its input: adapt the whole of it with targets=("{base}",)'
        )
    leaves = sorted({path.rsplit(".", 1)[-1] for path in projections})
    fused = next((leaf for leaf in leaves if FUSED.fullmatch(leaf)), None)
    if target in SLICES and fused:
        return (
            f'"{target}" is a part of {fused} in this model, which does not hold q, k and v side by side, each as wide '
            f'as its input, but in another order or other widths: adapt the whole of it with targets=("{fused}",)'
        )
    return f'target "{target}" fits no projection of this model; it has: {", ".join(leaves) or "none at all"}'


def _refuse_bypassed(path: str, module: nn.Module, modules: dict) -> None:
    """Some torch layers read a projection's weight without calling it: an adapter there would do nothing, silently."""
    if "forward" in vars(module):
        raise LoRAError(
            f"{path} has had its forward replaced (by accelerate's device_map hooks?), so an adapter there would have "
            "no effect: inject first, or take the replacement off"
        )
    parents = [modules[at] for at in above(path)] + [modules[""]]
    if any(isinstance(parent, nn.MultiheadAttention) for parent in parents):
        raise LoRAError(
            f"{path} is inside nn.MultiheadAttention, which uses its weight without calling it, so an adapter "
            "there would have no effect: target other projections"
        )
    fast = torch.backends.mha.get_fastpath_enabled()
    if fast and any(isinstance(parent, nn.TransformerEncoderLayer) for parent in parents):
        raise LoRAError(
            f"{path} is inside nn.TransformerEncoderLayer, whose fast path skips its projections in eval mode: "
            "call torch.backends.mha.set_fastpath_enabled(False) first"
        )
