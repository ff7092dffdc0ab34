"""Token pruning: what a block drops it does not compute, and everything else is as it would be without that token."""

import pytest
import torch

from lorakit.core.errors import LoRAError
from lorakit.lab import generate_answers
from lorakit.rivals import pruning
from lorakit.rivals.parts import blocks

IDS = torch.tensor([[10, 20, 30, 40, 50, 60, 70, 80]])


@pytest.fixture(autouse=True)
def eager(request):
    """Or there are no weights to prune by."""
    for name in {"model", "gpt2"} & set(request.fixturenames):
        request.getfixturevalue(name).set_attn_implementation("eager")


@torch.no_grad()
def logits(model, ids=IDS, **more):
    return model(input_ids=ids, **more).logits


def sizes(model, run):
    """How many tokens each block computes."""
    seen, (_, every) = [], blocks(model)
    hooks = [b.register_forward_hook(lambda b, a, k, o: seen.append(k["hidden_states"].shape[1]), with_kwargs=True)
             for b in every]  # fmt: skip
    for block in every:  # before the pruning's own, which gives the whole text back after the last block
        block._forward_hooks.move_to_end(next(reversed(block._forward_hooks)), last=False)
    run()
    for hook in hooks:
        hook.remove()
    return seen


def test_a_dropped_token_is_not_computed(model):
    pruning.attach(model, (1, 0.5))
    assert sizes(model, lambda: logits(model)) == [8, 4]
    assert logits(model).shape == (1, 8, 257)


@torch.no_grad()
def test_the_last_logits_are_those_of_the_base_with_the_dropped_tokens_hidden_from_the_second_block_on(gpt2):
    pruning.attach(gpt2, (1, 0.5))
    found = logits(gpt2)[0, -1]
    pruning.detach(gpt2)
    # By hand: the first block on all tokens, the second on the kept ones alone.
    first, second = gpt2.transformer.h
    states = gpt2.transformer.wte(IDS) + gpt2.transformer.wpe(torch.arange(8))  # (1, tokens, width)

    def block(layer, hidden):
        length = hidden.shape[1]
        causal = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
        out = layer(hidden, attention_mask=causal)
        return out[0] if isinstance(out, tuple) else out

    weights = first.attn(first.ln_1(states), attention_mask=torch.full((8, 8), -1e30).triu(1)[None, None])[1]
    paid = weights[0, :, -1].mean(0)  # (tokens,): what the last token paid to each
    paid[-1] = torch.inf  # the last token stays
    kept = paid.topk(4).indices.sort().values
    states = block(second, block(first, states)[:, kept])
    expected = gpt2.lm_head(gpt2.transformer.ln_f(states))[0, -1]
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_row_in_a_padded_batch_is_pruned_as_it_is_alone(model):
    ids = torch.tensor([[256, 256, 256, 5, 6, 7, 8, 9], IDS[0].tolist()])
    mask = (torch.arange(8) >= torch.tensor([[3], [0]])).long()
    places = (mask.cumsum(1) - 1).clamp(min=0)
    pruning.attach(model, (1, 0.5))
    both = logits(model, ids, attention_mask=mask, position_ids=places)[:, -1]
    short = logits(model, ids[:1, 3:])[:, -1]
    assert torch.allclose(both[0], short[0], atol=1e-5)
    assert torch.allclose(both[1], logits(model)[0, -1], atol=1e-5)


def test_generation_keeps_what_the_schedule_keeps(gpt2, tiny_tokenizer):
    answers = generate_answers(gpt2, tiny_tokenizer, ["abcdef", "xy"], 5)
    pruning.attach(gpt2, (1, 1))
    assert generate_answers(gpt2, tiny_tokenizer, ["abcdef", "xy"], 5) == answers
    pruning.detach(gpt2)
    pruning.attach(gpt2, (1, 0.3))
    assert len(generate_answers(gpt2, tiny_tokenizer, ["abcdef", "xy"], 5)) == 2


@pytest.mark.parametrize("keep", [(1,), (1, 0), (0.5, 0.6), (1.1, 1), (0.8, 0.8), (1, 1.2), (1, -1), ()])
def test_a_schedule_that_makes_no_sense_is_refused(keep, gpt2):
    with pytest.raises(LoRAError, match="keep must be 2 shares"):
        pruning.attach(gpt2, keep)


def test_what_cannot_be_pruned_is_refused(gpt2):
    gpt2.set_attn_implementation("sdpa")
    with pytest.raises(LoRAError, match='set_attn_implementation\\("eager"\\)'):
        pruning.attach(gpt2, (1, 1))
    gpt2.set_attn_implementation("eager")
    pruning.attach(gpt2, (1, 0.5))
    with pytest.raises(LoRAError, match="without a cache"):
        logits(gpt2, use_cache=True)
    gpt2.train()
    with pytest.raises(LoRAError, match="for inference"):
        gpt2(IDS)
