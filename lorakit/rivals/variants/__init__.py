"""LoRA's variants, each on the layer of `lorakit.by_hand`: a few lines beyond it, in a file of their own."""

import torch
from torch import nn

from lorakit.by_hand import LoRALayer, put
from lorakit.core.errors import LoRAError
from lorakit.core.targets import find_targets
from lorakit.rivals.parts import refuse_adapted
from lorakit.rivals.variants.dora import DoRALayer
from lorakit.rivals.variants.lora_fa import LoRAFALayer
from lorakit.rivals.variants.pissa import PiSSALayer
from lorakit.rivals.variants.rslora import RsLoRALayer
from lorakit.rivals.variants.vera import VeRALayer, shared_matrices

# LoRA+ is no layer: it is LoRA, and an optimizer with two rates (lora_plus.parameter_groups).
LAYERS = {"lora": LoRALayer, "rslora": RsLoRALayer, "pissa": PiSSALayer, "dora": DoRALayer, "lora_fa": LoRAFALayer,
          "vera": VeRALayer}  # fmt: skip


def attach(model: nn.Module, variant: str, targets: tuple[str, ...], r: int, alpha: float, seed: int = 0) -> None:
    """Freeze `model` and put a layer of `variant`, one of LAYERS, around every projection of `targets`, in place.

    targets  as LoRAConfig takes them ("mlp", "c_attn", "all-linear"), but no slices of a fused projection
    seed     of the random A (and VeRA's B); torch's own random state stays as it is

    PiSSA changes the base's weights too: what moves into A and B is taken out of them. Raises LoRAError, with the model
    as it was, for slices, and where there are adapters already.
    """
    refuse_adapted(model, LoRALayer)
    found = find_targets(model, targets)
    if sliced := [target.path for target in found if target.slices]:
        raise LoRAError(f"a variant adapts whole projections, and {sliced[0]} was named by slices: name it itself")
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        more = (shared_matrices([target.module for target in found], r),) if variant == "vera" else ()
        for target in found:
            layer = LAYERS[variant](target.module, r, alpha, *more)
            put(model, target.path, layer.to(target.module.weight.device).train(target.module.training))
