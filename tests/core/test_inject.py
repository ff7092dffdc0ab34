"""Adapters go in and come out and leave no trace; whatever is refused changes nothing (invariants 1 and 2)."""

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.tiny_models import assert_same, build, fill, logits, same_bits, snapshot


def test_a_is_drawn_from_its_own_seed_and_from_no_global_generator():
    draws = []
    for number, seed in enumerate((7, 7, 8)):
        model = build("gpt2")
        torch.manual_seed(number)
        expected = torch.rand(3)
        torch.manual_seed(number)
        lk.inject(model, LoRAConfig(r=2, targets=("c_attn",)), seed=seed)
        assert torch.equal(torch.rand(3), expected)
        draws.append(model.transformer.h[0].attn.c_attn.active.lora_A)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


REFUSED = {
    "no such module": dict(targets=("nowhere",)),
    "one of two names fits nothing": dict(targets=("q", "nowhere")),
    "an embedding": dict(targets=("wte",)),
    "a layer norm": dict(targets=("ln_1",)),
    "whole and slice of one projection": dict(targets=("c_attn", "c_attn.q")),
    "a slice of what is not fused": dict(targets=("c_fc.q",)),
    "rank above the projection": dict(r=25, targets=("q",)),
    "rank above by pattern": dict(r=2, targets=("c_attn",), rank_pattern={r"h\.1\.attn\.c_attn": 99}),
    "a strength beyond float32": dict(alpha=1e308),
    "a strength that float32 rounds to zero": dict(alpha=1e-60),
    "no such module to save": dict(targets=("q",), modules_to_save=("nowhere",)),
    "saving a tied module": dict(targets=("q",), modules_to_save=("lm_head",)),
    "saving what is adapted": dict(targets=("q",), modules_to_save=("c_attn",)),
    "saving what contains the adapted": dict(targets=("q",), modules_to_save=("h.0",)),
    "saving a list of modules": dict(targets=("lm_head",), modules_to_save=("h",)),
    "saving a module and its inside": dict(targets=("q",), modules_to_save=("mlp", "c_fc")),
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED.keys())
def test_refused_injection_changes_nothing(fields):
    bare, adapted = build("gpt2"), lk.inject(build("gpt2"), LoRAConfig(r=2, targets=("k",)), name="first")
    for model in (bare, adapted):
        before = snapshot(model)
        with pytest.raises(LoRAError):
            lk.inject(model, LoRAConfig(**{"r": 2, **fields}), name="second")
        assert_same(before, snapshot(model))
    with pytest.raises(LoRAError, match="already"):
        lk.inject(adapted, LoRAConfig(r=2), name="first")
    assert_same(before, snapshot(adapted))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a.b", "a b", "a/b", "../up", "a\0b", "x" * 300, "keys", "pop", "é", None, 3]
)
def test_impossible_names_are_refused_before_any_file_is_touched(name, tmp_path):
    """Trap 12: a dotted name breaks state-dict keys, a method's name breaks the module, a path leads elsewhere."""
    model = build("gpt2")
    before = snapshot(model)
    for verb in (
        lambda: lk.inject(model, LoRAConfig(r=2), name=name),
        lambda: lk.load_adapter(model, tmp_path / "nowhere", name),
    ):
        with pytest.raises(LoRAError, match="an adapter's name is made of"):
            verb()
    assert_same(before, snapshot(model))


def test_adapters_on_different_projections_live_side_by_side():
    model = build("gpt2")
    plain = logits(model)
    alone = {}
    for name, targets in (("a", ("q",)), ("b", ("mlp",)), ("c", ("c_attn", "o"))):
        single = build("gpt2")
        for one in (single, model):
            lk.inject(one, LoRAConfig(r=3, targets=targets), name=name, seed=5)
            fill(one, name)
        alone[name] = logits(single)
    for name in ("a", "c", "b", "a"):
        lk.set_adapter(model, name)
        assert same_bits(logits(model), alone[name])
    lk.delete_adapter(model, "c")
    assert lk.active_adapter(model) == "a" and same_bits(logits(model), alone["a"])
    lk.delete_adapter(model, "a")  # the active one: the base remains
    assert lk.active_adapter(model) is None and same_bits(logits(model), plain)
    assert not hasattr(model.transformer.h[0].attn.c_attn, "adapters")
    lk.delete_adapter(model, "b")
    assert lk.adapter_names(model) == [] and not hasattr(model, "_lorakit")


def test_references_and_hooks_survive_in_and_out():
    model = build("gpt2")
    layer, calls = model.transformer.h[0].attn.c_attn, []
    layer.register_forward_hook(lambda module, args, output: calls.append(output.shape))
    lk.inject(model, LoRAConfig(r=2))
    logits(model)
    assert model.transformer.h[0].attn.c_attn is layer
    lk.eject(model)
    logits(model)
    assert len(calls) == 2


def test_a_projection_injected_through_a_submodule_is_not_injected_again():
    model = build("gpt2")
    lk.inject(model.transformer.h[0], LoRAConfig(r=2, targets=("c_attn",)))
    before = snapshot(model)
    with pytest.raises(LoRAError, match="through another module"):
        lk.inject(model, LoRAConfig(r=2, targets=("c_attn",)))
    assert_same(before, snapshot(model))


def test_a_replaced_forward_is_refused_because_the_adapter_would_be_bypassed():
    model = build("gpt2")
    layer = model.transformer.h[0].attn.c_attn
    layer.forward = lambda x, old=layer.forward: old(x)  # what accelerate's hooks do
    with pytest.raises(LoRAError, match="no effect"):
        lk.inject(model, LoRAConfig(r=2))


def test_a_default_device_of_torchs_changes_nothing():
    """Whoever set one (here meta, on others' machines cuda) has the same A on the model's own device."""
    model, twin = build("gpt2"), build("gpt2")
    lk.inject(model, LoRAConfig(r=2), seed=3)
    with torch.device("meta"):
        lk.inject(twin, LoRAConfig(r=2), seed=3)
    assert_same(snapshot(model) | {"ids": {}}, snapshot(twin) | {"ids": {}})


def test_a_175b_shape_is_injected_on_the_meta_device():
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_embd=12288, n_layer=96, n_head=96, vocab_size=50257))
    lk.inject(model, LoRAConfig(r=1, targets=("q", "v")))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 4_718_592
    lk.merge(model)
    lk.unmerge(model)
    with pytest.raises(LoRAError, match="meta"):
        lk.save_adapter(model, "nowhere")


def test_a_user_config_is_never_modified():
    """Trap 6: PEFT writes fan_in_fan_out into the user's config."""
    patterns = {"c_attn": 3}
    config = LoRAConfig(r=2, targets=["c_attn"], rank_pattern=patterns)
    text = repr(config)
    model = build("gpt2")
    lk.inject(model, config)
    patterns["c_attn"] = 99
    assert repr(config) == text
    assert model.transformer.h[0].attn.c_attn.adapters["default"].r == 3


@pytest.mark.parametrize(
    "fields",
    [dict(r=0), dict(r=-1), dict(r=2.0), dict(r=True), dict(alpha=0), dict(alpha=float("nan")), dict(alpha="8")]
    + [dict(dropout=1.0), dict(dropout=-0.1), dict(dropout=None), dict(targets=()), dict(targets=(3,))]
    + [dict(targets=None), dict(use_rslora=1), dict(rank_pattern={"x": 0}), dict(rank_pattern={"(": 2})]
    + [dict(alpha_pattern={"x": -1}), dict(modules_to_save=(None,))],
    ids=str,
)
def test_meaningless_settings_are_refused(fields):
    with pytest.raises(LoRAError):
        LoRAConfig(**fields)
