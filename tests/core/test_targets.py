"""Which projections a name means, on each architecture."""

import pytest
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from lorakit.core.targets import find_targets
from tests.support.tiny_models import build

# Beside what docs/supported.md says of the names "q", "k", "v", "o" and "mlp", which a test compares.
EXPECTED = {
    ("gpt2", ("q", "v")): {"c_attn.q", "c_attn.v"},
    ("gpt2", ("c_proj",)): {"attn.c_proj", "mlp.c_proj"},  # trap 18: PEFT's suffix rule, as PEFT users expect it
    ("gpt2", ("attn.c_proj",)): {"attn.c_proj"},
    ("gpt2", ("c_attn.v", "c_attn.q")): {"c_attn.q", "c_attn.v"},
    ("gpt2", ("c_attn",)): {"attn.c_attn"},
    ("gpt2", ("all-linear",)): {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"},
    ("llama", ("q", "k", "v", "o")): {f"self_attn.{p}_proj" for p in "qkvo"},
    ("bert", ("mlp",)): {"intermediate.dense", "output.dense"},
    ("falcon", ("o",)): {"self_attention.dense"},
    ("bloom", ("o",)): {"self_attention.dense"},
}


@pytest.mark.parametrize(("kind", "targets"), EXPECTED, ids=str)
def test_a_name_means_the_same_projections_on_every_architecture(kind, targets):
    found = find_targets(build(kind), targets)
    names = {f"{t.path.split('.')[-1]}.{s}" for t in found for s in t.slices}
    names |= {t.path for t in found if not t.slices}
    expected = EXPECTED[kind, targets]
    assert all(any(name == e or name.endswith("." + e) for e in expected) for name in names), names
    assert len(found) * max(len(found[0].slices), 1) == 2 * len(expected)  # two layers
    if kind == "bert" and targets == ("mlp",):
        assert not any("attention" in t.path for t in found)


def test_slices_are_in_the_models_order_whatever_the_order_of_names():
    for targets in (("v", "q"), ("c_attn.v", "q")):
        assert {t.slices for t in find_targets(build("gpt2"), targets)} == {("q", "v")}
    adapter = lk.inject(build("gpt2"), LoRAConfig(r=1, targets=("v",))).transformer.h[0].attn.c_attn.active
    assert adapter.pieces == [(slice(48, 72), slice(0, 1), slice(0, 24))]


NO_PROJECTION = {
    "an embedding": ("gpt2", "wte", "c_attn, c_fc, c_proj, lm_head"),  # the error lists what there is
    "a convolution": ("vit", "projection", "classifier"),
    "a suffix that begins within a name": ("gpt2", "_attn", "c_attn"),
    "another model's name": ("gpt2", "q_proj", "c_attn"),
}


@pytest.mark.parametrize(("kind", "target", "has"), NO_PROJECTION.values(), ids=NO_PROJECTION)
def test_what_is_no_projection_is_refused(kind, target, has):
    with pytest.raises(LoRAError, match=rf'"{target}" fits no projection \(nn.Linear or Conv1D\).* it has: {has}'):
        find_targets(build(kind), (target,))


def test_one_layer_can_be_named():
    assert [t.path for t in find_targets(build("gpt2"), ("h.1.attn.c_attn",))] == ["transformer.h.1.attn.c_attn"]


INTERLEAVED = [(kind, "query_key_value", piece) for kind in ("neox", "falcon", "bloom") for piece in "qkv"]
INTERLEAVED += [("bigcode", "c_attn", piece) for piece in ("q", "k", "v", "c_attn.q")]


@pytest.mark.parametrize(("kind", "fused", "target"), INTERLEAVED)
def test_a_projection_that_interleaves_heads_has_no_slices(kind, fused, target):
    """Head after head, each with its rows of q, k and v: the first third of the rows is not q."""
    model = build(kind)
    with pytest.raises(LoRAError, match=f"fits no projection .* it has: .*{fused}"):
        find_targets(model, (target,))
    assert len(find_targets(model, (fused,))) == 2


def test_a_fused_projection_of_another_layout_has_no_slices():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn = nn.Linear(6, 12)  # grouped queries: 6 + 3 + 3

    with pytest.raises(LoRAError, match="fits no projection"):
        lk.inject(Fused(), LoRAConfig(r=2, targets=("c_attn.q",)))
    with pytest.raises(LoRAError):
        lk.inject(Fused(), LoRAConfig(r=2, targets=("q",)))
