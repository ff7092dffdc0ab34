"""Which modules an adapter goes to: from "q" or "c_proj" or "c_attn.q" to the model's own modules."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lorakit.core.bypass import refuse_bypassed
from lorakit.core.config import LoRAConfig, matches_pattern
from lorakit.core.errors import LoRAError
from lorakit.core.layer import SLICES
from lorakit.core.state import ModelState, peek, unwrap

# The course's names for projections, as patterns for the ends of module paths. Architectures differ in spelling only,
# so one table serves GPT-2, Llama-type, OPT, Phi, NeoX, Falcon, BLOOM, BERT, RoBERTa, DeBERTa, ViT and T5.
# "c_attn" holds q, k and v side by side in one weight: there, "q" means the q slice of it.
ALIASES = {
    "q": r"q|q_proj|query|query_proj|q_lin|q_attn",
    "k": r"k|k_proj|key|key_proj|k_lin",
    "v": r"v|v_proj|value|value_proj|v_lin",
    "o": r"o|(self_|cross)?(attn|attention)\.(c_proj|o_proj|out_proj|out_lin|dense|output\.dense)",
    "mlp": r"mlp|mlp\.((shared_experts?|experts\.\d+)\.)?[^.]+|fc1|fc2|ffn\.lin[12]|DenseReluDense\.[^.]+"
    r"|layer\.\d+\.(intermediate|output)\.dense",
}
# These call it c_attn too, and as wide, but put each head's rows of q, k and v together: a third of it is no "q".
INTERLEAVED = ("GPTBigCodeAttention",)


@dataclass(frozen=True)
class Target:
    """One projection to adapt: the whole of it (slices = ()), or named slices of a fused one, in order."""

    path: str
    module: nn.Module
    slices: tuple[str, ...] = ()


def is_conv1d(module: nn.Module) -> bool:
    """GPT-2's Conv1D: a linear layer that stores its weight as (k, d). Known by name: core is torch only."""
    return any(cls.__name__ == "Conv1D" for cls in type(module).__mro__) and hasattr(module, "nf")


def projection_shape(module: nn.Module) -> tuple[int, int]:
    """(k, d), the input and output features of a Linear or a Conv1D."""
    if is_conv1d(module):
        return module.weight.shape[0], module.weight.shape[1]
    return module.in_features, module.out_features


def is_projection(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or is_conv1d(module)


def is_fused(path: str, module: nn.Module, model: nn.Module) -> bool:
    """Does this projection hold q, k and v side by side, each as wide as the input?"""
    parent, _, leaf = path.rpartition(".")
    if leaf != "c_attn" or type(model.get_submodule(parent)).__name__ in INTERLEAVED:
        return False
    k, d = projection_shape(module)
    return d == len(SLICES) * k


def base_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """model.named_modules() without what is inside the adapters, of which there may be thousands."""
    state = peek(model) or ModelState()
    return model.named_modules(memo={module.adapters for module in (*state.layers.values(), *state.saved.values())})


def find_targets(model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()) -> list[Target]:
    """The model's projections named by targets, in the model's order; raises LoRAError if a name fits nothing."""
    modules = dict(base_modules(model))
    projections = {path: module for path, module in modules.items() if is_projection(module)}
    fused = [path for path, module in projections.items() if is_fused(path, module, model)]
    named = {path: (path, "") for path in projections}
    named |= {f"{path}.{piece}": (path, piece) for path in fused for piece in SLICES}
    chosen: dict[str, set[str]] = {}  # path -> slices, "" for the whole
    for target in targets:
        if target == "all-linear":
            head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
            left_out = {path for path in projections for at in above(path) if any(n in endings(at) for n in exclude)}
            found = [(path, "") for path, m in projections.items() if m is not head and path not in left_out]
        else:
            pattern = ALIASES.get(target, re.escape(target))
            found = [piece for name, piece in named.items() if matches_pattern(pattern, name)]
        if not found:
            leaves = sorted({path.rpartition(".")[2] for path in projections})
            have = ", ".join(leaves) or "none at all"
            raise LoRAError(f'target "{target}" fits no projection (nn.Linear or Conv1D) of this model; it has: {have}')
        for path, piece in found:
            chosen.setdefault(path, set()).add(piece)
    # Mixtures of experts that keep their weights as (experts, out, in).
    named_so = [path for path, module in modules.items() if "expert" in type(module).__name__.lower()]
    experts = [path for path in named_so if any(p.dim() == 3 for p in modules[path].parameters(recurse=False))]
    if experts and {"mlp", "all-linear"} & set(targets):
        warnings.warn(
            f"{experts[0]} holds its experts' weights in one tensor and calls no projection for each: no adapter goes "
            f"there ({len(experts)} such modules are left out)",
            stacklevel=3,
        )
    for path, slices in chosen.items():
        if "" in slices and len(slices) > 1:
            raise LoRAError(f"targets name both the whole of {path} and slices of it: choose one")
        refuse_bypassed(path, modules)
    in_order = [(path, chosen[path]) for path in projections if path in chosen]
    return [Target(path, modules[path], tuple(s for s in SLICES if s in slices)) for path, slices in in_order]


def endings(path: str) -> list[str]:
    """The names that name this path, by PEFT's rule: "a.b.c" -> ["a.b.c", "b.c", "c"]."""
    parts = path.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def above(path: str) -> list[str]:
    """The path and the paths of the modules it is inside: "a.b.c" -> ["a", "a.b", "a.b.c"]."""
    return [path[:i] for i, letter in enumerate(path) if letter == "."] + [path]


def saved_modules(model: nn.Module, config: LoRAConfig, adapted: list[str]) -> dict[str, nn.Module]:
    """The base's modules that config.modules_to_save names, by path; refuses what cannot be copied safely."""
    model, state = unwrap(model), peek(model) or ModelState()
    modules, found = dict(base_modules(model)), {}
    for wanted in config.modules_to_save:
        named = {path: module for path, module in modules.items() if path and wanted in endings(path)}
        if not named:
            raise LoRAError(f'modules_to_save: no module of this model is named "{wanted}"')
        found |= named
    whole = {**state.saved, **found}
    adapted_in = [(path, outer) for path in (*adapted, *state.layers) for outer in above(path) if outer in whole]
    saved_in = [(path, outer) for path in whole for outer in above(path)[:-1] if outer in whole]
    for path, outer in adapted_in + saved_in:
        raise LoRAError(f"{path} is inside {outer}, which modules_to_save trains whole: choose one of the two")
    counts = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False)) if found else {}
    for path, module in found.items():
        why = None
        if type(module).forward is nn.Module.forward:
            why = "is not called itself (a list of modules?), so a copy of it would have no effect: name its members"
        elif any(counts[id(p)] > 1 for p in module.parameters()):
            why = "shares its weight with another module; a copy would drift apart"
        elif "_old_forward" in vars(module):
            why = "has accelerate's hooks (device_map, offloading): inject first"
        if why:
            raise LoRAError(f"modules_to_save: {path} {why}")
        refuse_bypassed(path, modules)
    return found
