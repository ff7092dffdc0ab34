"""Spectra of whole models agree with the SVD of each matrix, whichever way it is stored."""

import pytest
import torch
from torch import nn

import lorakit as lk
from lorakit.study import rank
from lorakit.study.adapter_factors import adapter_updates
from lorakit.study.spectra import spectra, spectrum, weight_matrices, weight_updates


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def config():
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=20, n_positions=8)


def gpt2(config, seed=0):
    from transformers import GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(config)


def test_a_known_spectrum_is_found():
    U, V = torch.linalg.qr(draw(12, 4)).Q, torch.linalg.qr(draw(9, 4, seed=1)).Q
    found = spectrum(U @ torch.diag(torch.tensor([4.0, 3, 2, 1])) @ V.T)
    assert found.s[:4].tolist() == pytest.approx([4, 3, 2, 1], abs=1e-5) and len(found.s) == 9
    assert found.norm == pytest.approx(30**0.5) and found.stable_rank == pytest.approx(30 / 16)
    assert found.energy_in_top(2) == pytest.approx(25 / 30) and float(found.energy()[1]) == pytest.approx(25 / 30)


def test_randomized_values_stay_just_below_the_exact_ones_in_the_worst_case():
    W = draw(520, 600)
    exact, fast = spectrum(W, exact=True), spectrum(W, top=40)
    assert not fast.complete and len(fast.s) == 40 and fast.norm == pytest.approx(exact.norm)
    ratio = fast.s / exact.s[:40]
    assert ratio.max() < 1 + 1e-5 and ratio.min() > 0.95
    assert fast.energy_in_top(40) == pytest.approx(exact.energy_in_top(40), rel=0.05)
    with pytest.raises(ValueError, match="top=41"):
        fast.energy_in_top(41)


def test_randomized_is_exact_on_low_rank_and_repeats_with_its_seed():
    W = draw(90, 6) @ draw(6, 70, seed=1)
    fast = spectrum(W, top=10, exact=False)
    assert torch.allclose(fast.s[:6], rank.singular_values(W)[:6], rtol=1e-4)
    G = draw(90, 70)
    one, two, other = (spectrum(G, 10, seed, exact=False).s for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_the_random_state_of_the_caller_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    spectrum(draw(30, 20), 5, exact=False)
    assert torch.equal(torch.rand(1), expected)


def test_conv1d_is_turned_round_and_c_attn_comes_apart(config):
    model = gpt2(config)
    block = model.transformer.h[1]
    W = weight_matrices(model)
    assert W["transformer.h.1.mlp.c_fc"].shape == (64, 16)  # (out, in); stored as (16, 64)
    assert torch.equal(W["transformer.h.1.attn.c_proj"], block.attn.c_proj.weight.T)
    assert torch.equal(W["transformer.h.1.attn.c_attn.v"], block.attn.c_attn.weight[:, 32:].T)
    assert not any("wte" in name or "ln" in name for name in W)
    from_state = weight_matrices(model.state_dict())
    for name in from_state.keys() & W.keys():
        assert torch.equal(from_state[name], W[name])
    assert {name for name in W if "lm_head" not in name} <= from_state.keys()


def test_linear_layers_stay_as_they_are():
    model = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 9))
    W = weight_matrices(model)
    assert list(W) == ["0", "2"] and torch.equal(W["0"], model[0].weight)
    assert torch.equal(weight_matrices(model.state_dict())["2"], model[2].weight)


def test_updates_are_what_changed_and_nothing_else(config):
    before, after = gpt2(config), gpt2(config)
    u, v = draw(16), draw(64, seed=1)
    after.transformer.h[0].mlp.c_fc.weight.data += torch.outer(u, v)  # (in, out)
    delta = weight_updates(before, after.state_dict())
    assert list(delta) == ["transformer.h.0.mlp.c_fc"]
    assert torch.allclose(delta["transformer.h.0.mlp.c_fc"], torch.outer(v, u), atol=1e-5)
    (found,) = spectra(delta).values()
    assert found.stable_rank == pytest.approx(1, abs=1e-4)
    assert found.norm == pytest.approx(float(u.norm() * v.norm()), rel=1e-4)


def test_models_that_do_not_match_are_refused(config):
    with pytest.raises(lk.LoRAError, match="different matrices"):
        weight_updates(gpt2(config), nn.Linear(2, 2))
    with pytest.raises(lk.LoRAError, match="shape"):
        weight_updates(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 3)))


@pytest.fixture
def adapted(config):
    model = gpt2(config)
    lk.inject(model, lk.LoRAConfig(r=3, alpha=6, targets=("q", "v")), name="a", seed=0)
    for number, module in enumerate(model.modules()):
        if hasattr(module, "adapters"):
            module.adapters["a"].lora_B.data = draw(32, 3, seed=number)
    return model


def test_an_adapter_is_an_update_of_low_rank_merged_or_not(config, adapted):
    fresh = gpt2(config)
    apart = weight_updates(fresh, adapted)
    lk.merge(adapted)
    merged = weight_updates(fresh, adapted)
    assert apart.keys() == merged.keys()
    assert not weight_updates(fresh, {f"{n}.weight": W for n, W in weight_matrices(adapted, effective=False).items()})
    updates = adapter_updates(adapted)
    assert sorted(updates) == sorted(n for n in apart if n.endswith((".q", ".v")))
    for name, update in updates.items():
        assert torch.allclose(apart[name], update.delta(), atol=1e-6)
        assert torch.allclose(merged[name], update.delta(), atol=1e-6)
        assert rank.numerical_rank(update.delta()) == 3
    lk.unmerge(adapted)


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
    with pytest.raises(lk.LoRAError, match="no active adapter"):
        adapter_updates(adapted)


def test_an_adapter_on_a_whole_projection_is_one_update(config):
    model = gpt2(config)
    lk.inject(model, lk.LoRAConfig(r=2, alpha=2, targets=("c_attn",)), seed=0)
    updates = adapter_updates(model)
    assert list(updates) == [f"transformer.h.{i}.attn.c_attn" for i in range(2)]
    assert updates["transformer.h.0.attn.c_attn"].delta().shape == (48, 16)
