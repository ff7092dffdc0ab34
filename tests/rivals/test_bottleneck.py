"""Bottleneck adapters compute what their papers say, in the places that they name. (See also test_every_method.)

The `adapters` package has these methods, but each of its releases asks for one older release of transformers, so it
cannot be installed beside the one used here. They are compared with the blocks written out by hand instead.
"""

import copy

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
def test_gpt2_computes_its_blocks_with_a_bottleneck_before_each_residual(placement, gpt2):
    bare = copy.deepcopy(gpt2.double()).transformer
    attach(gpt2, 5, placement=placement)
    state = learnt(gpt2).state_dict()
    x = bare.wte(IDS) + bare.wpe(torch.arange(IDS.shape[1]))  # (rows, tokens, width)
    for number, block in enumerate(bare.h):
        at = f"transformer.h.{number}"
        attention = block.attn(block.ln_1(x))[0]
        x = x + (by_hand(state, attention, f"{at}.attn") if placement == "houlsby" else attention)
        x = x + by_hand(state, block.mlp(block.ln_2(x)), f"{at}.mlp")
    assert torch.allclose(gpt2(IDS).logits, gpt2.lm_head(bare.ln_f(x)), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_llama_does_too(placement, make_llama):
    model = make_llama().double()
    bare = copy.deepcopy(model).model
    attach(model, 5, placement=placement)
    state = learnt(model).state_dict()
    x = bare.embed_tokens(IDS)  # (rows, tokens, width)
    positions = bare.rotary_emb(x, torch.arange(IDS.shape[1])[None])
    mask = torch.full((IDS.shape[1],) * 2, -torch.inf, dtype=x.dtype).triu(1)[None, None]
    for number, block in enumerate(bare.layers):
        at = f"model.layers.{number}"
        attention, _ = block.self_attn(block.input_layernorm(x), position_embeddings=positions, attention_mask=mask)
        x = x + (by_hand(state, attention, f"{at}.self_attn") if placement == "houlsby" else attention)
        x = x + by_hand(state, block.mlp(block.post_attention_layernorm(x)), f"{at}.mlp")
    assert torch.allclose(model(IDS).logits, model.lm_head(bare.norm(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("placement, count", [("houlsby", 24 * (2 * 768 * 64 + 64 + 768)), ("pfeiffer", 1_189_632)])
def test_the_count_at_gpt2s_shape(placement, count):
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    attach(model, 64, placement=placement)
    assert count == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_what_makes_no_sense_is_refused_and_changes_nothing(gpt2):
    before = {name: p.requires_grad for name, p in gpt2.named_parameters()}
    with pytest.raises(LoRAError, match="size must be at least 1, got 0"):
        attach(gpt2, 0)
    with pytest.raises(LoRAError, match="houlsby, pfeiffer, got 'lora'"):
        attach(gpt2, 5, placement="lora")
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
