"""The matrices of whole models, and adapters as matrices, whichever way they are stored."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import lorakit as lk
from lorakit.study import rank
from lorakit.study.adapter_factors import adapter_updates
from lorakit.study.weights import weight_matrices
from tests.support.tiny_models import fill


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=20, n_positions=8))


def parameters(model):
    return dict(model.named_parameters())


def test_conv1d_is_turned_round_and_c_attn_comes_apart():
    model = gpt2()
    attn = model.transformer.h[1].attn
    W = weight_matrices(parameters(model))
    assert W["transformer.h.1.mlp.c_fc"].shape == (64, 16)  # (out, in); stored as (16, 64)
    assert torch.equal(W["transformer.h.1.attn.c_proj"], attn.c_proj.weight.T)
    assert torch.equal(W["transformer.h.1.attn.c_attn.v"], attn.c_attn.weight[:, 32:].T)
    assert not any("wte" in name or "ln" in name for name in W)


def test_linear_layers_stay_as_they_are():
    model = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 9))
    W = weight_matrices(parameters(model))
    assert list(W) == ["0", "2"] and torch.equal(W["0"], model[0].weight)


@pytest.fixture
def adapted():
    model = gpt2()
    lk.inject(model, lk.LoRAConfig(r=3, alpha=6, targets=("q", "v")), name="a", seed=0)
    fill(model, "a")
    return model


def test_an_adapter_is_what_merging_changes_and_its_matrices_are_the_bases(adapted):
    fresh = parameters(gpt2())
    updates = adapter_updates(adapted)
    lk.merge(adapted)
    before, merged = weight_matrices(fresh), weight_matrices(parameters(adapted))
    assert list(updates) == [name for name in merged if name.endswith((".q", ".v"))]
    for name, update in updates.items():
        assert torch.allclose(merged[name] - before[name], update.delta(), atol=1e-6)


def test_the_svd_from_the_factors_is_that_of_the_product(adapted):
    for update in adapter_updates(adapted, "a").values():
        f = update.factors()
        assert f.s.shape == (3,) and f.shape == (16, 16)
        assert torch.allclose(f.s, rank.singular_values(update.delta())[:3], rtol=1e-5)
        assert torch.allclose(f.approximation(3).float(), update.delta(), atol=1e-5)


def test_updates_are_copies_and_a_missing_adapter_is_named(adapted):
    adapter_updates(adapted)["transformer.h.0.attn.c_attn.q"].A.zero_()
    assert adapter_updates(adapted)["transformer.h.0.attn.c_attn.q"].A.any()
    with pytest.raises(lk.LoRAError, match="no adapter named 'b'"):
        adapter_updates(adapted, "b")
    lk.set_adapter(adapted, None)
    with pytest.raises(lk.LoRAError, match="no adapter is active"):
        adapter_updates(adapted)


def test_an_adapter_on_a_whole_projection_is_one_update():
    model = gpt2()
    lk.inject(model, lk.LoRAConfig(r=2, alpha=2, targets=("c_attn",)), seed=0)
    updates = adapter_updates(model)
    assert list(updates) == [f"transformer.h.{i}.attn.c_attn" for i in range(2)]
    assert updates["transformer.h.0.attn.c_attn"].delta().shape == (48, 16)
