"""A model cut to a rank for a moment: the copies act inside, the very same tensors are back outside."""

import pytest
import torch

import lorakit as lk
from lorakit.study.adapter_factors import adapter_updates
from lorakit.study.at_rank import adapter_at_rank, update_at_rank, update_factors
from lorakit.study.rank import Factors
from tests.support.tiny_models import fill, logits

NAME = "transformer.h.0.attn.c_attn.weight"


@pytest.fixture
def tuned(tiny_model):
    """(model, before, factors): every block's matrix moved by rank 4, and one bias."""
    before = {name: parameter.detach().clone() for name, parameter in tiny_model.named_parameters()}
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in tiny_model.named_parameters():
            if ".h." in name and parameter.ndim == 2:
                rows, columns = parameter.shape
                parameter += torch.randn(rows, 4, generator=draw) @ torch.randn(4, columns, generator=draw) / 20
        tiny_model.get_parameter("transformer.h.0.attn.c_attn.bias").add_(0.1)
    return tiny_model, before, update_factors(before, dict(tiny_model.named_parameters()))


@pytest.fixture
def adapted(tiny_model):
    lk.inject(tiny_model, lk.LoRAConfig(r=3, alpha=6, targets=("q", "v")), name="a", seed=0)
    fill(tiny_model, "a")
    return tiny_model


def test_the_factors_are_of_the_matrices_that_changed(tuned):
    model, before, factors = tuned
    assert len(factors) == 8 and NAME in factors
    delta = model.get_parameter(NAME) - before[NAME]
    assert torch.allclose(factors[NAME].approximation(4), delta, atol=1e-6)


def test_inside_the_matrix_has_the_rank_and_outside_the_same_tensor_is_back(tuned):
    model, before, factors = tuned
    weight, after = model.get_parameter(NAME), logits(model)
    address = weight.data.data_ptr()
    with update_at_rank(model, before, factors, 2):
        assert torch.linalg.matrix_rank(weight - before[NAME], rtol=1e-4) == 2
        assert not torch.allclose(logits(model), after)
    assert weight.data.data_ptr() == address and model.get_parameter(NAME) is weight
    assert torch.equal(logits(model), after)


def test_at_rank_0_the_matrices_are_the_old_ones_and_at_full_rank_the_new(tuned):
    model, before, factors = tuned
    after = logits(model)
    with update_at_rank(model, before, factors, 0):
        assert all(torch.equal(model.get_parameter(name), before[name]) for name in factors)
    for k in (4, 32, 1000):  # more than a matrix has: all of it
        with update_at_rank(model, before, factors, k):
            assert torch.allclose(logits(model), after, atol=1e-4)


def test_the_weights_come_back_after_an_exception_and_what_is_impossible_changes_nothing(tuned):
    model, before, factors = tuned
    after = logits(model)
    with pytest.raises(RuntimeError, match="inside"), update_at_rank(model, before, factors, 1):
        raise RuntimeError("inside")
    with pytest.raises(ValueError, match="rank must be"), update_at_rank(model, before, factors, -1):
        pass
    with pytest.raises(KeyError), update_at_rank(model, {}, factors, 1):
        pass
    assert torch.equal(logits(model), after)


@pytest.mark.parametrize("k", [0, 1, 3, 9])
def test_an_adapter_cut_to_rank_k_is_its_best_approximation_and_comes_back(adapted, k):
    lk.set_scale(adapted, 0.5)
    before = adapter_updates(adapted)
    parameters = {name: (p.data_ptr(), p.detach().clone()) for name, p in adapted.named_parameters()}
    with adapter_at_rank(adapted, k):
        for name, cut in adapter_updates(adapted).items():
            wanted = Factors.of(before[name].delta()).approximation(min(k, 32))
            assert torch.allclose(cut.delta(), wanted, atol=1e-5)
    for name, p in adapted.named_parameters():
        assert p.data_ptr() == parameters[name][0] and torch.equal(p, parameters[name][1])


def test_a_cut_adapter_comes_back_after_an_error_and_misuse_is_named(adapted):
    path = "transformer.h.0.attn.c_attn.v"
    before = adapter_updates(adapted)[path].delta()
    with pytest.raises(RuntimeError), adapter_at_rank(adapted, 1):
        raise RuntimeError
    assert torch.equal(adapter_updates(adapted)[path].delta(), before)
    with pytest.raises(lk.LoRAError, match="k must be"), adapter_at_rank(adapted, -1):
        pass
    lk.merge(adapted)
    with pytest.raises(lk.LoRAError, match="merged"), adapter_at_rank(adapted, 1):
        pass
