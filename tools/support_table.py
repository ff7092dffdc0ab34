"""Write docs/supported.md: which architectures, which names mean what there, and what is refused.

Every cell is what happened just now on a tiny model of that architecture, with the checks of tests/conformance; the
refusals are the errors themselves. `python tools/support_table.py` writes the page, a test compares it.
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
from tests.support.properties import MORE, PROPERTIES  # noqa: E402
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


class Holder(nn.Module):
    """A model around one layer of a kind that is not adapted, or not as usual."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer


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
    holder = Holder(nn.Linear(8, 8))
    holder.layer.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int8), requires_grad=False)
    return holder


def hooked() -> nn.Module:
    holder = Holder(nn.Linear(8, 8))
    holder.layer.forward = holder.layer.forward  # as accelerate's device_map does
    return holder


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
    "`nn.MultiheadAttention`": lambda: attempt(Holder(nn.MultiheadAttention(8, 2)), "out_proj"),
    "`nn.TransformerEncoderLayer`": lambda: attempt(Holder(nn.TransformerEncoderLayer(8, 2)), "linear1"),
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


def with_other_tools() -> str:
    tools = json.loads((RESULTS / "other_tools.json").read_text(encoding="utf-8"))
    rows_of_tools = [
        [t["tool"], t["version"], t["what"], "" if t["difference"] is None else f"{t['difference']:.1g}"]
        for t in tools["tools"]
    ]
    return f"""## With other tools

Tried beside PEFT, from the same A and B, with the same seeds (`python benchmarks/other_tools.py`, peft
{tools["peft"]}, {tools["date"]}): how far the losses, the logits or the tokens are apart.

{markdown_table(["tool", "version", "what", "largest difference"], rows_of_tools)}

- transformers' Trainer refuses a *quantized* base whose adapters it does not know ("purely quantized models"), and
  lorakit's are not PEFT's. Train it with `lab.fit`, Accelerate or a loop of your own; or train with PEFT and load the
  file here.
- `save_pretrained` of an adapted model warns: what it writes reloads as the bare base. `lk.save_adapter` writes the
  adapter, and after `lk.merge` save_pretrained writes the merged model. The Trainer's checkpoints warn for that reason.
- New tokens on a model whose embeddings are tied (GPT-2, SmolLM2): PEFT's `trainable_token_indices` and
  `ensure_weight_tying` are refused by name. Untie the head before (`tie_word_embeddings=False`, the head a copy) and
  give `modules_to_save=("embed_tokens", "lm_head")`; resize the vocabulary first, then inject.
- Accelerate's `device_map` and offloading: inject or load before or after, both compute PEFT's values. Merging,
  and rows with adapters added before offloading, are refused.
- Mixtures of experts in one tensor: `"mlp"` and `"all-linear"` adapt the dense and shared layers and warn that the
  experts are left out.
"""


def page() -> str:
    torch.manual_seed(0)
    names = [f'`"{name}"`' for name in NAMES]
    head = ["model", *names, '`"all-linear"` also', "merge, unmerge", "mixed batch", "PEFT"]
    rows = [row(a.kind, a.title) for a in ARCHITECTURES.values()]
    checks = [[str(n), p.what, p.peft, p.ours] for n, p in PROPERTIES.items()]
    tests = "\n".join(f"{n}. {', '.join(f'`{test}`' for test in p.tests)}" for n, p in PROPERTIES.items())
    return f"""# What is supported, and what is refused

Written by `python tools/support_table.py` from what happens on tiny models with random weights, with the checks in
`tests/conformance`; a test compares this page with what happens now. With {versions()}.

## Architectures

What each name in `targets` means, below the layer's number; full names and suffixes work everywhere. **merge,
unmerge**: merged, the same logits within 3e-6 relative (float32); unmerged, every weight back bit for bit (float16 and
bfloat16 here, float32 below). **mixed batch**: every row gives what it gives alone with its own adapter, within
rounding (20 eps). **PEFT**: adapters saved by either load in the other with the same logits (within 3e-6 relative),
with alpha / r and alpha / sqrt(r), rank_pattern and alpha_pattern, and a saved head where the model has one.

{markdown_table(head, rows)}

GPT-2 holds q, k and v side by side in `c_attn`: there a name means a slice, saved for PEFT as one adapter with a
block-diagonal B. Other fused projections are adapted whole, by name.

## Refused

Refused means a `LoRAError` that says so, with the model as it was.

{markdown_table(["what", "the error"], [[what, refusal(ask)] for what, ask in REFUSED.items()])}

{with_other_tools()}
## What is tested on every one of these models

By our count, PEFT's own test suite checks {len(PROPERTIES)} properties of LoRA. Each is checked here too, or what
lorakit promises in its place, on all {len(ARCHITECTURES)} models wherever it has a meaning there.

{markdown_table(["", "property", "PEFT's tolerance", "lorakit's"], checks)}

The tests in `tests/conformance` that check them, by the property's number:

{tests}

And beside those:

{markdown_table(["test", "what it shows"], [[f"`{test}`", what] for test, what in MORE.items()])}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
