"""Prefix tuning: in training and in generation, beside PEFT's prefix and beside real tokens."""

import copy

import pytest
import torch

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.rivals import prefix

P = 4


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=256, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(params=["gpt2", "llama"])
def model(request, make_tiny):
    return make_tiny(seed=1, dropout=0.0) if request.param == "gpt2" else llama()


IDS = torch.tensor([[10, 20, 30, 40, 50], [7, 6, 5, 4, 3]])


@torch.no_grad()
def logits(model, ids=IDS, **more):
    return model(input_ids=ids, **more).logits


def start():
    return torch.tensor([101, 102, 103, 104])


def test_a_prefix_that_begins_as_real_tokens_says_what_the_base_says_after_them(model):
    text = torch.cat([start().expand(2, -1), IDS], dim=1)
    expected = logits(model, text)[:, P:]
    prefix.attach(model, P, start=start())
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


def test_generation_with_a_cache_equals_generation_without_and_rows_equal_rows_alone(model):
    prefix.attach(model, P, seed=2)
    with torch.no_grad():
        model.prefix.numbers.mul_(50)  # large enough to change what is said
    ids = torch.tensor([[256, 256, 8, 9], [1, 2, 3, 4]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    same = dict(max_new_tokens=6, do_sample=False, pad_token_id=256)
    same |= dict(output_scores=True, return_dict_in_generate=True)
    model.generation_config.eos_token_id = None
    cached = model.generate(input_ids=ids, attention_mask=mask, **same)
    plain = model.generate(input_ids=ids, attention_mask=mask, use_cache=False, **same)
    alone = model.generate(input_ids=torch.tensor([[8, 9]]), **same)
    for step in range(6):
        assert torch.allclose(cached.scores[step], plain.scores[step], atol=1e-5)
        assert torch.allclose(cached.scores[step][0], alone.scores[step][0], atol=1e-5)
    assert torch.equal(cached.sequences, plain.sequences)


@pytest.mark.parametrize("hidden", [None, 8])
def test_only_the_prefix_trains_and_its_size_is_the_formulas(model, hidden):
    prefix.attach(model, P, hidden=hidden)
    layers, heads, size = prefix.kv_shape(model.config)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == prefix.prefix_parameters(P, layers, heads * size, 32, hidden)
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_fold_keeps_the_outputs_and_throws_the_mlp_away(model):
    prefix.attach(model, P, hidden=8)
    before = logits(model)
    prefix.fold(model)
    assert torch.allclose(logits(model), before, atol=1e-6)
    layers, heads, size = prefix.kv_shape(model.config)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == P * layers * 2 * heads * size
    with pytest.raises(LoRAError, match="no MLP"):
        prefix.fold(model)


def test_detach_leaves_no_trace(model):
    before, keys = logits(model), set(model.state_dict())
    model.lm_head.weight.requires_grad_(False)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    prefix.attach(model, P)
    prefix.detach(model)
    assert torch.equal(logits(model), before) and set(model.state_dict()) == keys
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert not (model._forward_pre_hooks or model._forward_pre_hooks_with_kwargs)
    assert not (model._forward_hooks or model._forward_hooks_with_kwargs)
    with pytest.raises(LoRAError, match="no prefix"):
        prefix.detach(model)


def test_a_copy_has_its_own_prefix(model):
    prefix.attach(model, P)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.prefix.numbers.add_(3)
    assert not torch.allclose(logits(model), logits(twin))
    prefix.detach(twin)
    assert hasattr(model, "prefix")


def test_a_prefix_takes_its_length_from_the_context(make_tiny, tiny_tokenizer):
    model = make_tiny(dropout=0.0)
    assert prefix.usable_context(model) == 128
    prefix.attach(model, P)
    assert prefix.usable_context(model) == 124
    logits(model, torch.ones(1, 124, dtype=torch.long))
    with pytest.raises(LoRAError, match="125 tokens behind a prefix of 4 exceed the context of 128"):
        logits(model, torch.ones(1, 125, dtype=torch.long))
    assert lab.evaluate.__module__ and len(lab.generate_answers(model, tiny_tokenizer, ["a" * 120], 4)) == 1
    with pytest.raises(LoRAError, match="exceed the model's context of 124"):
        lab.generate_answers(model, tiny_tokenizer, ["a" * 121], 4)


def test_it_works_in_bf16_and_under_autocast(model):
    prefix.attach(model, P, start=start())
    exact = logits(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (logits(model).float() - exact).abs().max() < 0.1
    half = model.to(torch.bfloat16)
    assert (logits(half).float() - exact).abs().max() < 0.2


def test_what_makes_no_sense_is_refused_and_nothing_changes(model):
    before = logits(model)
    for wrong, words in [
        (dict(length=0), "length must be"),
        (dict(length=10_000), "length must be"),
        (dict(length=P, hidden=0), "hidden must be"),
        (dict(length=3, start=start()), "start must be 3 token ids"),
        (dict(length=P, start=start(), hidden=4), "without hidden"),
    ]:
        with pytest.raises(LoRAError, match=words):
            prefix.attach(model, **wrong)
    assert torch.equal(logits(model), before) and not model._forward_pre_hooks
    foreign = model(input_ids=IDS, use_cache=True).past_key_values
    prefix.attach(model, P)
    with pytest.raises(LoRAError, match="already"):
        prefix.attach(model, P)
    with pytest.raises(LoRAError, match="without the prefix"):
        logits(model, past_key_values=foreign)
    with pytest.raises(LoRAError, match="takes no past_key_values"):
        prefix.attach(torch.nn.Linear(2, 2), P)
