"""Prefix tuning beside PEFT's prefix and beside real tokens; what it costs. (See also test_every_method.)"""

import copy

import pytest
import torch

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.rivals import prefix

P = 4
START = torch.tensor([101, 102, 103, 104])
IDS = torch.tensor([[10, 20, 30, 40, 50], [7, 6, 5, 4, 3]])


@torch.no_grad()
def logits(model, ids=IDS, **more):
    return model(input_ids=ids, **more).logits


@torch.no_grad()
def test_a_prefix_that_begins_as_real_tokens_says_what_the_base_says_after_them(model):
    text = torch.cat([START.expand(2, -1), IDS], dim=1)
    expected = logits(model, text)[:, P:]
    cache = model(START[None], use_cache=True).past_key_values
    both = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]  # (2, heads, P, head size)
    prefix.attach(model, P)
    model.prefix.numbers.copy_(torch.stack(both).permute(3, 0, 1, 2, 4).flatten(1))
    assert torch.allclose(logits(model), expected, atol=1e-5)
    assert torch.allclose(logits(model, attention_mask=torch.ones_like(IDS)), expected, atol=1e-5)
    assert torch.allclose(logits(model, use_cache=False), expected, atol=1e-5)


@pytest.mark.parametrize("hidden", [None, 8])
def test_the_same_numbers_give_what_peft_gives(model, hidden):
    import peft

    config = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=P, prefix_projection=hidden is not None,
        encoder_hidden_size=hidden or 32,
    )  # fmt: skip
    theirs = peft.get_peft_model(copy.deepcopy(model), config).eval()
    encoder = theirs.prompt_encoder["default"]
    prefix.attach(model, P, hidden=hidden)
    with torch.no_grad():
        if hidden:
            # PEFT's embedding is as wide as the keys, which is less than the model where heads share them.
            shape = prefix.kv_shape(model.config)
            model.prefix = mine = prefix.Prefix(P, shape, hidden, encoder.embedding.weight.shape[1])
            mine.embedding.copy_(encoder.embedding.weight)
            mine.mlp.load_state_dict(encoder.transform.state_dict())
        else:
            numbers = encoder.embedding.weight  # (P, layers * 2 * heads * head size)
            assert numbers.shape == model.prefix.numbers.shape
            model.prefix.numbers.copy_(numbers)
    assert torch.allclose(logits(model), logits(theirs), atol=1e-5)


def test_fold_keeps_the_outputs_and_throws_the_mlp_away(model):
    prefix.attach(model, P, hidden=8)
    before = logits(model)
    prefix.fold(model)
    assert torch.allclose(logits(model), before, atol=1e-6)
    layers, heads, size = prefix.kv_shape(model.config)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == P * layers * 2 * heads * size


def test_a_prefix_takes_its_length_from_the_context(gpt2, tiny_tokenizer):
    assert prefix.usable_context(gpt2) == 128
    prefix.attach(gpt2, P)
    assert prefix.usable_context(gpt2) == 124
    logits(gpt2, torch.ones(1, 124, dtype=torch.long))
    assert len(lab.generate_answers(gpt2, tiny_tokenizer, ["a" * 120], 4)) == 1
    with pytest.raises(LoRAError, match="exceed the model's context of 124"):
        lab.generate_answers(gpt2, tiny_tokenizer, ["a" * 121], 4)


def test_what_makes_no_sense_is_refused_and_nothing_changes(model):
    before = logits(model)
    with pytest.raises(LoRAError, match="length must be"):
        prefix.attach(model, 10_000)
    assert torch.equal(logits(model), before) and not model._forward_pre_hooks
    prefix.attach(model, P)
    model.train().gradient_checkpointing_enable()
    with pytest.raises(LoRAError, match="gradient checkpointing switches the cache off"):
        model(IDS, labels=IDS)
