"""Write docs/supported.md: which architectures, which names mean what there, and what is refused.

The text is tools/supported.md. Every cell is what happened just now on a tiny model of that architecture; the refusals
are the errors themselves. `python tools/support_table.py` writes the page, a test compares it. What holds on all
architectures alike has no column: tests/conformance checks it.
"""

import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from markdown_table import markdown_table
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from lorakit.core.targets import find_targets
from lorakit.lab import record
from lorakit.lab.places import RESULTS
from tests.support.architectures import ARCHITECTURES, Architecture, base
from tests.support.saving import edit_config, edit_weights
from tests.support.tiny_models import assert_same, build, logits, snapshot

PAGE = Path(__file__).resolve().parents[1] / "docs" / "supported.md"
TEMPLATE = Path(__file__).with_name("supported.md")
NAMES = ("q", "k", "v", "o", "mlp")


def where(target) -> str:
    """A target's path below its layer's number, slices with a dot: "attn.c_attn.q"."""
    path = re.split(r"\.\d+\.(?=[a-z])", target.path, maxsplit=1)[-1]
    return ", ".join(f"`{path}.{piece}`" for piece in target.slices) or f"`{path}`"


def found(model: nn.Module, name: str) -> list:
    """The projections that a name means on this model; none where it means nothing."""
    try:
        return find_targets(model, (name,))
    except LoRAError:
        return []


def listed(targets: list) -> str:
    return ", ".join(dict.fromkeys(map(where, targets)))


def not_in_rows(kind: str) -> str:
    """The projections where a mixed batch is refused: found by trying each by itself."""
    refused = []
    for target in {where(target): target for target in found(base(kind), "all-linear")}.values():
        try:
            in_rows(adapted(base(kind), target.path))
        except LoRAError:
            refused.append(target)
    return listed(refused)


def row(architecture: Architecture) -> list[str]:
    model = base(architecture.kind)
    named = {name: found(model, name) for name in NAMES}
    paths = {target.path for targets in named.values() for target in targets}
    rest = [target for target in found(model, "all-linear") if target.path not in paths]
    cells = [listed(named[name]) or "–" for name in NAMES] + [listed(rest) or "nothing more"]
    head = ", ".join(f"`{name}`" for name in architecture.head)
    return [architecture.title, *cells, head, not_in_rows(architecture.kind)]


def adapted(model: nn.Module, *targets: str, **fields) -> nn.Module:
    return lk.inject(model, LoRAConfig(r=2, targets=targets, **fields))


def inject(*targets: str, **fields) -> Callable:
    return lambda model: adapted(model, *targets, **fields)


def in_rows(model: nn.Module) -> None:
    with lk.using(model.eval(), ["default"] * 3):
        logits(model)


def load(**fields) -> Callable:
    """Load an adapter in PEFT's format whose config says this too."""

    def load_it(model: nn.Module) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lk.save_adapter(adapted(base("gpt2"), "c_attn"), folder)
            edit_weights(folder, note=False)  # without what lorakit adds: as PEFT writes it
            edit_config(folder, **fields)
            lk.load_adapter(model, folder)

    return load_it


def refused() -> dict[str, tuple[nn.Module, Callable]]:
    """What is refused, by name: a model, and what is asked of it."""
    attention, encoder, hooked, quantized = (
        nn.ModuleDict({"layer": layer})
        for layer in (nn.MultiheadAttention(8, 2), nn.TransformerEncoderLayer(8, 2), nn.Linear(8, 8), nn.Linear(8, 8))
    )
    hooked["layer"].forward = hooked["layer"].forward  # as accelerate's device_map does
    quantized["layer"].weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int8), requires_grad=False)
    two = adapted(base("gpt2"), "q")
    lk.inject(two, LoRAConfig(), name="other")
    head, shared = dict(modules_to_save=("classifier",)), build("deberta", share_att_key=True)
    gpt2, loaded = base("gpt2"), base("gpt2")
    return {
        "an embedding": (gpt2, inject("wte")),
        "a convolution": (base("vit"), inject("projection")),
        "`nn.MultiheadAttention`": (attention, inject("out_proj")),
        "`nn.TransformerEncoderLayer`": (encoder, inject("linear1")),
        "a slice of GPT-NeoX's fused projection": (base("neox"), inject("q")),
        "a slice of GPT-BigCode's fused projection": (build("bigcode"), inject("c_attn.q")),
        "a projection whose forward was replaced": (hooked, inject("layer")),
        "merging into a tied weight": (adapted(base("gpt2"), "lm_head"), lk.merge),
        "a tied head in modules_to_save": (gpt2, inject("q", modules_to_save=("lm_head",))),
        "merging into a quantized weight": (adapted(quantized, "layer"), lk.merge),
        "a rank above the projection's size": (base("llama"), inject("k", rank_pattern={"k_proj": 13})),
        "two adapters at once": (two, lambda model: lk.set_adapter(model, ["default", "other"])),
        "a saved head in a mixed batch": (adapted(base("vit"), "q", **head), in_rows),
        "a mixed batch on OPT's flattened MLP": (adapted(base("opt"), "mlp"), in_rows),
        "a mixed batch on DeBERTa-v3's shared positions": (adapted(shared, "q"), in_rows),
        "PEFT's DoRA": (loaded, load(use_dora=True)),
        "PEFT's trained biases": (loaded, load(bias="lora_only")),
        "PEFT's bias in B": (loaded, load(lora_bias=True)),
        "PEFT's target_parameters": (loaded, load(target_parameters=["mlp.experts.gate_up_proj"])),
        "PEFT's trainable tokens": (loaded, load(trainable_token_indices=[1, 2])),
        "PEFT's layer_replication": (loaded, load(layer_replication=[[0, 2], [1, 2]])),
        "inits that change the base": (loaded, load(init_lora_weights="pissa")),
        "PEFT's other methods": (loaded, load(peft_type="IA3")),
    }


def refusal(model: nn.Module, ask: Callable) -> str:
    """The error itself, which leaves the model as it was; what is not refused has no place in the table."""
    before = snapshot(model)
    try:
        ask(model)
    except LoRAError as error:
        assert_same(before, snapshot(model))
        return str(error).replace("|", "\\|")
    raise AssertionError("this is not refused")


def versions() -> str:
    return f"transformers {version('transformers')}, peft {version('peft')}"


def page() -> str:
    torch.manual_seed(0)
    names = [f'`"{name}"`' for name in NAMES]
    head = ["model", *names, '`"all-linear"` also', "a saved head", "no mixed batch on"]
    tools = record.read(RESULTS / "other_tools.json")
    tried = [
        [row["tool"], row["version"], row["what"], "" if row["difference"] is None else f"{row['difference']:.1g}"]
        for row in tools["tools"]
    ]
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=versions(),
        architectures=markdown_table(head, [row(each) for each in ARCHITECTURES.values()]),
        refused=markdown_table(["what", "the error"], [[what, refusal(*asked)] for what, asked in refused().items()]),
        tools=tools,
        other_tools=markdown_table(["tool", "version", "what", "largest difference"], tried),
        number_of_models=len(ARCHITECTURES),
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
