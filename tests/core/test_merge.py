"""Merging and what it must not do: errors, half-done merges, state dicts (invariants 3 and 4).

That merged equals unmerged within one rounding, that a merged state dict is the plain model's (trap 1), and that
unmerging is exact: tests/conformance/test_merging.py.
"""

import copy

import pytest
import torch
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.tiny_models import assert_same, build, fill, llama, logits, same_bits, snapshot, two_adapters


def test_the_sum_is_formed_in_float32_and_rounded_once():
    model = two_adapters("plain", ("q",), torch.bfloat16)
    layer = model.q_proj
    W0, adapter = layer.weight.detach().clone(), layer.active
    lk.merge(model)
    expected = torch.addmm(W0.float(), adapter.lora_B, adapter.lora_A, alpha=adapter.scaling).bfloat16()
    assert same_bits(layer.weight.detach(), expected)


def test_a_merged_model_changes_dtype_whole():
    model = two_adapters("gpt2", ("q", "v"))
    reference = copy.deepcopy(model).bfloat16()
    lk.merge(model)
    model.bfloat16()
    lk.unmerge(model)
    assert all(
        same_bits(a, b) for a, b in zip(model.state_dict().values(), reference.state_dict().values(), strict=True)
    )


BUSY = {
    "merge again": lambda model, to: lk.merge(model),
    "switch": lambda model, to: lk.set_adapter(model, "a"),
    "switch off": lambda model, to: lk.set_adapter(model, None),
    "change the scale": lambda model, to: lk.set_scale(model, 0.5),
    "delete it": lambda model, to: lk.delete_adapter(model, "b"),
    "delete another": lambda model, to: lk.delete_adapter(model, "a"),
    "eject": lambda model, to: lk.eject(model),
    "inject": lambda model, to: lk.inject(model, LoRAConfig(r=2), name="c"),
    "mix": lambda model, to: lk.using(model, ["a"] * 3).__enter__(),
    "load an adapter": lambda model, to: lk.load_adapter(model, to, "c"),
    "train": lambda model, to: logits(model.train(), grad=True),
    "load a state dict": lambda model, to: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
    "load a part of one": lambda model, to: model.transformer.h[0].attn.c_attn.load_state_dict({}),
}


@pytest.mark.parametrize("action", BUSY.values(), ids=BUSY.keys())
def test_what_would_corrupt_a_merged_model_is_refused(action, tmp_path):
    """Traps 1 (double merge), 4 (a new scale while merged), 9 (deleting a merged adapter)."""
    model = two_adapters("gpt2", ("q", "v"))
    lk.save_adapter(model, tmp_path)
    lk.merge(model)
    before = snapshot(model)
    with pytest.raises(LoRAError, match="merged"):
        action(model, tmp_path)
    model.eval()
    assert_same(before, snapshot(model))
    lk.unmerge(model)
    assert same_bits(logits(model), logits(two_adapters("gpt2", ("q", "v"))))


def test_unmerging_what_is_not_merged_is_refused():
    with pytest.raises(LoRAError, match="no adapters"):
        lk.unmerge(build("gpt2"))
    model = two_adapters("gpt2", ("q", "v"))
    with pytest.raises(LoRAError, match="nothing is merged"):
        lk.unmerge(model)
    lk.set_adapter(model, None)
    with pytest.raises(LoRAError, match="no adapter is active"):
        lk.merge(model)


def test_editing_the_adapter_while_merged_cannot_reach_the_base():
    """Trap 4: elsewhere, editing A while merged and then unmerging corrupts the base."""
    model = two_adapters("gpt2", ("q", "v"))
    W0 = {path: layer.weight.detach().clone() for path, layer in model._lorakit.layers.items()}
    lk.merge(model)
    fill(model, "b", seed=99)
    lk.unmerge(model)
    assert all(same_bits(layer.weight.detach(), W0[path]) for path, layer in model._lorakit.layers.items())


def test_train_and_eval_neither_merge_nor_unmerge():
    """Trap 2: loralib merges in eval()."""
    model = two_adapters("gpt2", ("q", "v"))
    before = snapshot(model)
    model.train().eval().train().eval()
    assert_same(before, snapshot(model))
    lk.merge(model)
    merged = snapshot(model)
    model.train().eval()
    assert_same(merged, snapshot(model))


def test_a_state_dict_taken_before_merging_does_not_change_with_it():
    model = two_adapters("gpt2", ("q", "v"))
    held = copy.copy(model.state_dict())
    kept = {key: value.clone() for key, value in held.items()}
    lk.merge(model)
    merged = copy.copy(model.state_dict())
    kept_merged = {key: value.clone() for key, value in merged.items()}
    lk.unmerge(model)
    assert all(same_bits(held[key], kept[key]) for key in kept)
    assert all(same_bits(merged[key], kept_merged[key]) for key in kept_merged)


def test_merging_shared_weights_is_refused():
    """Trap 7: PEFT merges into GPT-2's tied embedding and moves every logit."""
    model = build("gpt2")
    lk.inject(model, LoRAConfig(r=2, targets=("lm_head", "q")))
    fill(model, "default")
    before = snapshot(model)
    with pytest.raises(LoRAError, match="lm_head is shared with another module"):
        lk.merge(model)
    assert_same(before, snapshot(model))
    untied = llama(tie_word_embeddings=False).eval()
    lk.inject(untied, LoRAConfig(r=2, targets=("lm_head",)))
    lk.merge(untied)


@pytest.mark.parametrize("old", [False, True], ids=["parametrization", "old hook"])
def test_merging_into_a_computed_weight_is_refused(old):
    model = build("plain")
    if old:
        with pytest.warns(FutureWarning):
            nn.utils.weight_norm(model.q_proj)
    else:
        nn.utils.parametrizations.weight_norm(model.q_proj)
    plain = logits(model)
    lk.inject(model, LoRAConfig(r=2, targets=("q_proj",)))
    fill(model, "default")
    assert not torch.equal(logits(model), plain)
    before = snapshot(model)
    with pytest.raises(LoRAError, match="computed or quantized"):
        lk.merge(model)
    assert_same(before, snapshot(model))
    lk.eject(model)
    assert same_bits(logits(model), plain)


def test_a_merge_that_overflows_half_precision_is_refused():
    model = two_adapters("gpt2", ("q", "v"), torch.float16)
    fill(model, "b", size=3e3)
    before = snapshot(model)
    with pytest.raises(LoRAError, match="not finite in torch.float16"):
        lk.merge(model)
    assert_same(before, snapshot(model))


def test_strength_is_merged_as_set():
    model = two_adapters("gpt2", ("q", "v"))
    W0 = {path: layer.weight.detach().clone() for path, layer in model._lorakit.layers.items()}
    lk.set_scale(model, 0)
    lk.merge(model)
    assert all(torch.equal(layer.weight, W0[path]) for path, layer in model._lorakit.layers.items())
    lk.unmerge(model)
    lk.set_scale(model, -2.5)
    apart = logits(model)
    lk.merge(model)
    torch.testing.assert_close(logits(model), apart, rtol=1e-4, atol=1e-5)
