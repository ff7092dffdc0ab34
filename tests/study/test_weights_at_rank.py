"""A model at a lower rank for a moment: the copies act inside, the very same tensors are back outside."""

import pytest
import torch

from lorakit.study.rank import Factors, numerical_rank
from lorakit.study.weights_at_rank import weights_at_rank

NAME = "transformer.h.0.attn.c_attn.weight"


@pytest.fixture
def factors(tiny_model):
    return {NAME: Factors.of(tiny_model.get_parameter(NAME))}


@torch.no_grad()
def logits(model):
    return model(torch.arange(8)[None]).logits


def test_inside_the_weight_has_the_rank_and_outside_the_same_tensor_is_back(tiny_model, factors):
    weight, before = tiny_model.get_parameter(NAME), logits(tiny_model)
    data = weight.data
    with weights_at_rank(tiny_model, factors, 3):
        assert numerical_rank(weight) == 3
        assert not torch.allclose(logits(tiny_model), before)
    assert weight.data.data_ptr() == data.data_ptr() and tiny_model.get_parameter(NAME) is weight
    assert torch.equal(logits(tiny_model), before)


def test_at_full_rank_the_model_answers_as_before(tiny_model, factors):
    before = logits(tiny_model)
    with weights_at_rank(tiny_model, factors, 32):
        assert torch.allclose(logits(tiny_model), before, atol=1e-5)


def test_the_weights_come_back_after_an_exception(tiny_model, factors):
    before = logits(tiny_model)
    with pytest.raises(RuntimeError, match="inside"), weights_at_rank(tiny_model, factors, 1):
        raise RuntimeError("inside")
    assert torch.equal(logits(tiny_model), before)


def test_an_impossible_rank_or_name_changes_nothing(tiny_model, factors):
    before = logits(tiny_model)
    with pytest.raises(ValueError, match="between 0 and 32"), weights_at_rank(tiny_model, factors, 33):
        pass
    with pytest.raises(AttributeError), weights_at_rank(tiny_model, {"nowhere": factors[NAME]}, 1):
        pass
    assert torch.equal(logits(tiny_model), before)
