"""Training a part of the base: exactly that part requires gradients. (How many numbers: tests/lab/test_methods.)"""

import pytest
import torch

from lorakit.core.errors import LoRAError
from lorakit.rivals.selective import train_all, train_biases, train_last_block

EXPECTED = {
    train_all: lambda name: True,
    train_biases: lambda name: name.endswith(".bias"),
    train_last_block: lambda name: name.startswith("transformer.h.1."),
}


def flags(model):
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def test_each_choice_is_named_and_does_not_depend_on_the_one_before(gpt2):
    gpt2.requires_grad_(False)
    for choose in [*EXPECTED, *reversed(EXPECTED)]:
        names = choose(gpt2)
        assert names == [name for name in flags(gpt2) if EXPECTED[choose](name)]
        assert flags(gpt2) == {name: name in names for name in flags(gpt2)}


def test_llama_has_no_biases_so_bitfit_is_refused_and_the_rest_works(make_llama):
    model = make_llama()
    model.lm_head.requires_grad_(False)
    before = flags(model)
    with pytest.raises(LoRAError, match="LlamaForCausalLM has no bias to train: BitFit does not apply"):
        train_biases(model)
    assert flags(model) == before
    assert set(train_last_block(model)) == {name for name in before if name.startswith("model.layers.1.")}
    assert set(train_all(model)) == set(before)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(LoRAError, match="Linear has no list of blocks"):
        train_last_block(torch.nn.Linear(2, 2))
