"""Write docs/supported.md: which architectures, which names mean what there, and what is refused.

The text is tools/supported.md. Every cell is what happened just now on a tiny model of that architecture, with the
checks of tests/conformance; the refusals are the errors themselves. `python tools/support_table.py` writes the page, a
test compares it.
"""

import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "supported.md"
TEMPLATE = Path(__file__).with_name("supported.md")
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from markdown_table import markdown_table  # noqa: E402
from torch import nn  # noqa: E402

import lorakit as lk  # noqa: E402
from lorakit import LoRAConfig, LoRAError  # noqa: E402
from lorakit.core.targets import find_targets  # noqa: E402
from lorakit.lab.places import RESULTS  # noqa: E402
from tests.conformance import test_merging as merging  # noqa: E402
from tests.conformance import test_mixed as mixing  # noqa: E402
from tests.conformance import test_peft as with_peft  # noqa: E402
from tests.support.architectures import ARCHITECTURES, HALVES, base  # noqa: E402
from tests.support.saving import edit_config, edit_weights  # noqa: E402
from tests.support.tiny_models import assert_same, build, logits, snapshot  # noqa: E402

NAMES = ("q", "k", "v", "o", "mlp")


def where(target) -> str:
    """A target's path below its layer's number, slices with a dot: "attn.c_attn.q"."""
    path = re.split(r"\.\d+\.(?=[a-z])", target.path, maxsplit=1)[-1]
    return ", ".join(f"`{path}.{piece}`" for piece in target.slices) or f"`{path}`"


def meaning(kind: str, name: str) -> str:
    """What a name means on this model; why not, where it means nothing."""
    try:
        return ", ".join(dict.fromkeys(where(target) for target in find_targets(base(kind), (name,))))
    except LoRAError as error:
        fused = re.search(r"part of (\w+)", str(error))
        return f"refused: part of `{fused[1]}`" if fused else "–"


def others(kind: str) -> str:
    """What "all-linear" adapts beyond the five names."""
    model, named = base(kind), set()
    for name in NAMES:
        try:
            named |= {target.path for target in find_targets(model, (name,))}
        except LoRAError:
            continue
    rest = [target for target in find_targets(model, ("all-linear",)) if target.path not in named]
    return ", ".join(dict.fromkeys(map(where, rest))) or "nothing more"


def merge_cell(kind: str) -> str:
    for dtype in HALVES:
        merging.test_unmerging_restores_the_base_bit_for_bit(kind, dtype)
    merging.test_merged_and_unmerged_logits_agree_in_float32(kind)
    return "yes"


def mixed_cell(kind: str) -> str:
    """Yes, except on the projections where a mixed batch is refused: found by trying each by itself."""
    mixing.test_every_row_of_mixed_rows_equals_that_row_alone_with_its_adapter(kind, torch.float32)
    one_of_each = {where(target): target.path for target in find_targets(base(kind), ("all-linear",))}
    refused = []
    for name, path in one_of_each.items():
        try:
            mix(base(kind), path)
        except LoRAError:
            refused.append(name)
    return "yes" + (f", not on {', '.join(refused)}" if refused else "")


def peft_cell(kind: str) -> str:
    variants = [v for v in with_peft.variants(kind) if v != "plain"]  # which the others contain
    for variant in variants:
        for test in (
            with_peft.test_peft_gives_the_same_logits_for_what_lorakit_saved,
            with_peft.test_lorakit_gives_the_same_logits_for_what_peft_saved_and_hands_it_back,
        ):
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                test(kind, variant, Path(folder))
    return "both ways" + (", head too" if "head" in variants else "")


def row(kind: str, title: str) -> list[str]:
    names = [meaning(kind, name) for name in NAMES]
    return [title, *names, others(kind), merge_cell(kind), mixed_cell(kind), peft_cell(kind)]


def holder(layer: nn.Module) -> nn.Module:
    """A model around one layer of a kind that is not adapted, or not as usual."""
    return nn.ModuleDict({"layer": layer})


@contextmanager
def refused_whole(model: nn.Module) -> Iterator[None]:
    """Whatever is refused inside leaves the model as it was."""
    before = snapshot(model)
    try:
        yield
    except LoRAError:
        assert_same(before, snapshot(model))
        raise


def attempt(model: nn.Module, *targets: str, merge: bool = False, **fields) -> None:
    with refused_whole(model):
        lk.inject(model, LoRAConfig(r=2, targets=targets, **fields))
    with refused_whole(model):
        if merge:
            lk.merge(model)


def both() -> None:
    """Each by itself is an adapter here and can be made active: what is refused is the pair."""
    model = base("gpt2")
    for name in ("default", "other"):
        lk.inject(model, LoRAConfig(), name=name)
        lk.set_adapter(model, name)
    assert lk.adapter_names(model) == ["default", "other"]
    with refused_whole(model):
        lk.set_adapter(model, ["default", "other"])


def whole_numbers() -> nn.Module:
    layer = nn.Linear(8, 8)
    layer.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int8), requires_grad=False)
    return holder(layer)


def hooked() -> nn.Module:
    layer = nn.Linear(8, 8)
    layer.forward = layer.forward  # as accelerate's device_map does
    return holder(layer)


def read(**fields) -> None:
    """Load an adapter in PEFT's format whose config says this too."""
    with tempfile.TemporaryDirectory() as folder:
        lk.save_adapter(lk.inject(base("gpt2"), LoRAConfig(r=2, targets=("c_attn",))), folder)
        edit_weights(folder, note=False)  # without what lorakit adds: as PEFT writes it
        edit_config(folder, **fields)
        model = base("gpt2")
        with refused_whole(model):
            lk.load_adapter(model, folder)


def mix(model: nn.Module, *targets: str, **fields) -> None:
    attempt(model, *targets, **fields)
    with refused_whole(model), lk.using(model, ["default"] * 3):
        logits(model)


REFUSED: dict[str, Callable] = {
    "an embedding": lambda: attempt(base("gpt2"), "wte"),
    "a convolution": lambda: attempt(base("vit"), "projection"),
    "`nn.MultiheadAttention`": lambda: attempt(holder(nn.MultiheadAttention(8, 2)), "out_proj"),
    "`nn.TransformerEncoderLayer`": lambda: attempt(holder(nn.TransformerEncoderLayer(8, 2)), "linear1"),
    "a slice of GPT-NeoX's fused projection": lambda: attempt(base("neox"), "q"),
    "a slice of GPT-BigCode's fused projection": lambda: attempt(build("bigcode"), "c_attn.q"),
    "a projection whose forward was replaced": lambda: attempt(hooked(), "layer"),
    "merging into a tied weight": lambda: attempt(base("gpt2"), "lm_head", merge=True),
    "a tied head in modules_to_save": lambda: attempt(base("gpt2"), "q", modules_to_save=("lm_head",)),
    "merging into a quantized weight": lambda: attempt(whole_numbers(), "layer", merge=True),
    "a rank above the projection's size": lambda: attempt(base("llama"), "k", rank_pattern={"k_proj": 13}),
    "two adapters at once": both,
    "a saved head in a mixed batch": lambda: mix(base("vit"), "q", modules_to_save=("classifier",)),
    "a mixed batch on OPT's flattened MLP": lambda: mix(base("opt"), "mlp"),
    "a mixed batch on DeBERTa-v3's shared positions": lambda: mix(build("deberta", share_att_key=True), "q"),
    "PEFT's DoRA": lambda: read(use_dora=True),
    "PEFT's trained biases": lambda: read(bias="lora_only"),
    "PEFT's bias in B": lambda: read(lora_bias=True),
    "PEFT's target_parameters": lambda: read(target_parameters=["mlp.experts.gate_up_proj"]),
    "PEFT's trainable tokens": lambda: read(trainable_token_indices=[1, 2]),
    "PEFT's layer_replication": lambda: read(layer_replication=[[0, 2], [1, 2]]),
    "inits that change the base": lambda: read(init_lora_weights="pissa"),
    "PEFT's other methods": lambda: read(peft_type="IA3"),
}


def refusal(ask: Callable) -> str:
    """The error itself; a request that is not refused has no place in the table."""
    try:
        ask()
    except LoRAError as error:
        return str(error).replace("|", "\\|")
    raise AssertionError("this is not refused")


def versions() -> str:
    return f"transformers {version('transformers')}, peft {version('peft')}"


def page() -> str:
    torch.manual_seed(0)
    names = [f'`"{name}"`' for name in NAMES]
    head = ["model", *names, '`"all-linear"` also', "merge, unmerge", "mixed batch", "PEFT"]
    tools = json.loads((RESULTS / "other_tools.json").read_text(encoding="utf-8"))
    tried = [
        [row["tool"], row["version"], row["what"], "" if row["difference"] is None else f"{row['difference']:.1g}"]
        for row in tools["tools"]
    ]
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=versions(),
        architectures=markdown_table(head, [row(each.kind, each.title) for each in ARCHITECTURES.values()]),
        refused=markdown_table(["what", "the error"], [[what, refusal(ask)] for what, ask in REFUSED.items()]),
        tools=tools,
        other_tools=markdown_table(["tool", "version", "what", "largest difference"], tried),
        number_of_models=len(ARCHITECTURES),
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
