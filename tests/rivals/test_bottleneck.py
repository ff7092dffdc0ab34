"""Bottleneck adapters compute what their papers say, in the places that they name. (See also test_every_method.)

The `adapters` package has these methods, but each of its releases asks for one older release of transformers, so it
cannot be installed beside the one used here. They are compared with the blocks written out by hand instead.
"""

import copy
from functools import partial

import pytest
import torch

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.rivals.bottleneck import attach

PLACEMENTS = ("houlsby", "pfeiffer")
IDS = torch.tensor([[5, 80, 3, 200, 41, 7], [9, 9, 250, 13, 0, 77]])


def learnt(model, seed=7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".bottleneck." in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def by_hand(state, x, place):
    """The bottleneck at this place, from its four tensors."""
    down, down_bias, up, up_bias = (
        state[f"{place}.bottleneck.{part}"] for part in ("down", "down_bias", "up", "up_bias")
    )
    inner = x @ down.T + down_bias
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))  # gelu
    return x + inner @ up.T + up_bias


@torch.no_grad()
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_bottleneck_acts_on_what_its_part_of_the_block_gives_before_it_is_added(placement, model):
    """Beside the bare model, whose attention and MLP have their outputs changed by hand."""
    bare = copy.deepcopy(model.double())
    attach(model, 5, placement=placement)
    state = learnt(model).state_dict()
    for name, module in bare.named_modules():
        part = name.rpartition(".")[2]
        if part in ("mlp", *(["attn", "self_attn"] if placement == "houlsby" else [])):
            module.register_forward_hook(partial(changed, state, name))
    assert torch.allclose(model(IDS).logits, bare(IDS).logits, rtol=0, atol=1e-12)


def changed(state, place, module, inputs, output):
    """A forward hook: attention gives its weights beside its output."""
    return (
        (by_hand(state, output[0], place), *output[1:]) if isinstance(output, tuple) else by_hand(state, output, place)
    )


def test_what_makes_no_sense_is_refused_and_changes_nothing(gpt2):
    before = {name: p.requires_grad for name, p in gpt2.named_parameters()}
    with pytest.raises(LoRAError, match="size must be at least 1, got 0"):
        attach(gpt2, 0)
    with pytest.raises(LoRAError, match="Linear has no list of blocks"):
        attach(torch.nn.Linear(2, 2), 5)
    gpt2.transformer.h[1].feed = gpt2.transformer.h[1].mlp  # a last block of another kind
    del gpt2.transformer.h[1].mlp
    with pytest.raises(LoRAError, match="a GPT2Block has no mlp called mlp or feed_forward"):
        attach(gpt2, 5)
    assert {name.replace(".feed.", ".mlp."): p.requires_grad for name, p in gpt2.named_parameters()} == before


def test_beside_lora_it_is_not_put_in(gpt2):
    config = lk.LoRAConfig(r=2, targets=("all-linear",))
    lk.inject(gpt2, config, name="law")
    with pytest.raises(LoRAError, match="carries LoRA adapters: eject them"):
        attach(gpt2, 5)
    lk.eject(gpt2)
    attach(gpt2, 5)
    lk.inject(gpt2, config, name="law")
    assert not any("lora" in name for name, _ in gpt2.named_parameters() if ".bottleneck." in name)
