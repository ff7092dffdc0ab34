"""Token pruning: what a block drops it does not compute, and everything else is as it would be without that token."""

import copy

import pytest
import torch

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab import generate_answers
from lorakit.rivals import pruning

IDS = torch.tensor([[10, 20, 30, 40, 50, 60, 70, 80]])


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=256, eos_token_id=256, pad_token_id=256,
        attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(params=["gpt2", "llama"])
def model(request, make_tiny):
    if request.param == "llama":
        return llama()
    made = make_tiny(seed=1, dropout=0.0)
    made.set_attn_implementation("eager")
    return made


@torch.no_grad()
def logits(model, ids=IDS, **more):
    return model(input_ids=ids, **more).logits


def sizes(model, run):
    """How many tokens each block computes."""
    seen, blocks = [], pruning._blocks(model)
    hooks = [b.register_forward_hook(lambda b, a, k, o: seen.append(k["hidden_states"].shape[1]), with_kwargs=True)
             for b in blocks]  # fmt: skip
    for block in blocks:  # before the pruning's own, which gives the whole text back after the last block
        block._forward_hooks.move_to_end(next(reversed(block._forward_hooks)), last=False)
    run()
    for hook in hooks:
        hook.remove()
    return seen


def test_keeping_everything_changes_no_bit(model):
    before = logits(model)
    pruning.attach(model, (1, 1))
    assert torch.equal(logits(model), before)


def test_a_dropped_token_is_not_computed(model):
    pruning.attach(model, (1, 0.5))
    assert sizes(model, lambda: logits(model)) == [8, 4]
    assert pruning.blocks_seen(model).sort().values.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]
    assert pruning.blocks_seen(model)[0, -1] == 2, "the last token stays"
    assert logits(model).shape == (1, 8, 257)


@torch.no_grad()
def test_the_last_logits_are_those_of_the_base_with_the_dropped_tokens_hidden_from_the_second_block_on(make_tiny):
    model = make_tiny(seed=1, dropout=0.0)
    model.set_attn_implementation("eager")
    pruning.attach(model, (1, 0.5))
    found = logits(model)[0, -1]
    kept = pruning.blocks_seen(model)[0] == 2
    pruning.detach(model)
    # By hand: the first block on all tokens, the second on the kept ones alone.
    first, second = model.transformer.h
    states = model.transformer.wte(IDS) + model.transformer.wpe(torch.arange(8))  # (1, tokens, width)

    def block(layer, hidden):
        length = hidden.shape[1]
        causal = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
        out = layer(hidden, attention_mask=causal)
        return out[0] if isinstance(out, tuple) else out

    weights = first.attn(first.ln_1(states), attention_mask=torch.full((8, 8), -1e30).triu(1)[None, None])[1]
    paid = weights[0, :, -1].mean(0)  # (tokens,): what the last token paid to each
    paid[-1] = torch.inf
    assert set(paid.topk(4).indices.tolist()) == set(kept.nonzero().flatten().tolist())
    states = block(second, block(first, states)[:, kept])
    expected = model.lm_head(model.transformer.ln_f(states))[0, -1]
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_row_in_a_padded_batch_is_pruned_as_it_is_alone(model):
    ids = torch.tensor([[256, 256, 256, 5, 6, 7, 8, 9], IDS[0].tolist()])
    mask = (torch.arange(8) >= torch.tensor([[3], [0]])).long()
    places = (mask.cumsum(1) - 1).clamp(min=0)
    pruning.attach(model, (1, 0.5))
    both = logits(model, ids, attention_mask=mask, position_ids=places)[:, -1]
    seen = pruning.blocks_seen(model)
    short = logits(model, ids[:1, 3:])[:, -1]
    assert torch.allclose(both[0], short[0], atol=1e-5)
    assert torch.equal(seen[0, 3:], pruning.blocks_seen(model)[0]) and seen[0, :3].sum() == 0
    assert torch.allclose(both[1], logits(model)[0, -1], atol=1e-5)


def test_generation_works_and_detach_leaves_no_trace(make_tiny, tiny_tokenizer):
    model = make_tiny(seed=1, dropout=0.0)
    model.set_attn_implementation("eager")
    before, answers = logits(model), generate_answers(model, tiny_tokenizer, ["abcdef", "xy"], 5)
    caching = model.config.use_cache, model.generation_config.use_cache
    pruning.attach(model, (1, 1))
    assert generate_answers(model, tiny_tokenizer, ["abcdef", "xy"], 5) == answers
    pruning.detach(model)
    pruning.attach(model, (1, 0.3))
    assert len(generate_answers(model, tiny_tokenizer, ["abcdef", "xy"], 5)) == 2
    pruning.detach(model)
    assert torch.equal(logits(model), before)
    assert (model.config.use_cache, model.generation_config.use_cache) == caching
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks and pruning.NAME not in module.__dict__
    with pytest.raises(LoRAError, match="no token pruning"):
        pruning.detach(model)


def test_a_copy_prunes_by_itself(model):
    pruning.attach(model, (1, 0.5))
    twin = copy.deepcopy(model)
    logits(twin)
    with pytest.raises(LoRAError, match="nothing has gone through"):
        pruning.blocks_seen(model)
    pruning.detach(twin)
    assert sizes(model, lambda: logits(model)) == [8, 4]


def test_it_adapts_nothing_and_works_over_an_adapter(make_tiny):
    model = make_tiny(seed=1, dropout=0.0)
    model.set_attn_implementation("eager")
    lk.inject(model, lk.LoRAConfig(r=2, targets=("q", "v")))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    pruning.attach(model, (1, 0.5))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained
    assert torch.isfinite(logits(model)).all()


def test_what_makes_no_sense_is_refused(make_tiny):
    model = make_tiny(seed=1, dropout=0.0)
    with pytest.raises(LoRAError, match='set_attn_implementation\\("eager"\\)'):
        pruning.attach(model, (1, 1))
    model.set_attn_implementation("eager")
    for keep in ((1,), (1, 0), (0.5, 0.6), (1.1, 1), (0.8, 0.8), (1, 1.2), (1, -1), ()):
        with pytest.raises(LoRAError, match="keep must be 2 shares"):
            pruning.attach(model, keep)
    pruning.attach(model, (1, 0.5))
    with pytest.raises(LoRAError, match="already"):
        pruning.attach(model, (1, 0.5))
    with pytest.raises(LoRAError, match="without a cache"):
        logits(model, use_cache=True)
    model.train()
    with pytest.raises(LoRAError, match="for inference"):
        model(IDS)
