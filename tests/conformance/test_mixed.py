"""A different adapter on every row of one batch."""

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.architectures import ARCHITECTURES, DECODERS, KINDS, base, two_adapters
from tests.support.figures import assert_close
from tests.support.tiny_models import Ops, assert_same, fill, ids, logits, same_bits, samples, snapshot

ROWS = ["a", None, "b", "a"]
EPS = {torch.float32: 20, torch.bfloat16: 3}  # a batch and a row go through other kernels, and round at other places


def alone(model, batch, call=logits) -> list:
    """What each row gives by itself, with its own adapter."""
    rows = []
    for row, name in zip(batch, ROWS, strict=True):
        lk.set_adapter(model, name)
        rows.append(call(model, row[None]))
    return rows


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_mixed_rows_equals_that_row_alone_with_its_adapter(kind, dtype):
    model = two_adapters(kind, dtype, mixed=True)
    batch = samples(model, len(ROWS))
    expected = torch.cat(alone(model, batch))
    lk.set_adapter(model, "a")
    before = snapshot(model)
    with lk.using(model, ROWS):
        got = logits(model, batch)
    assert_same(before, snapshot(model))
    name = f"mixed batch against rows alone, {str(dtype).removeprefix('torch.')}"
    assert_close(name, got, expected, EPS[dtype] * torch.finfo(dtype).eps)
    assert all((got[0] - got[i]).abs().max() > 0 for i in (1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_an_adapter_are_the_base_bit_for_bit(kind):
    """Alone among themselves, and between rows that have one: the yardstick is the base on the same batch."""
    for dtype in EPS:
        model, plain = two_adapters(kind, dtype, mixed=True), base(kind, dtype)
        batch = samples(model, len(ROWS))
        expected = logits(plain, batch)
        for names in ([None] * len(ROWS), ROWS):
            with lk.using(model, names):
                got = logits(model, batch)
            bare = [row for row, name in enumerate(names) if name is None]
            assert same_bits(got[bare], expected[bare]), (dtype, names)


@pytest.mark.parametrize("kind", DECODERS)
def test_mixed_generation_gives_each_prompt_its_own_tokens_and_scores(kind):
    model = two_adapters(kind, mixed=True)
    settings = dict(max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0)
    settings |= dict(output_scores=True, return_dict_in_generate=True)

    def generate(model, prompts):
        return model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)

    separate = alone(model, ids(len(ROWS)), generate)
    with lk.using(model, ROWS):
        mixed = generate(model, ids(len(ROWS)))
    assert torch.equal(mixed.sequences, torch.cat([one.sequences for one in separate]))
    for step, scores in enumerate(mixed.scores):
        expected = torch.cat([one.scores[step] for one in separate])
        bound = EPS[torch.float32] * torch.finfo(torch.float32).eps * expected.abs().max()
        assert (scores - expected).abs().max() <= bound


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_mixed_is_refused_and_nothing_changes(kind):
    model = two_adapters(kind, mixed=True)
    before = snapshot(model)
    for names, says in (
        (["a", "nobody", "b"], "no adapter named"),
        ([["a", "b"], None, None], "no adapter named"),  # one adapter per row: two at once are not offered
        ([], "one name per row"),
        (["a"], "1 names for a batch of 3 rows"),
    ):
        with pytest.raises(LoRAError, match=says), lk.using(model, names):
            logits(model)
        assert_same(before, snapshot(model))
    with pytest.raises(LoRAError, match="eval"), lk.using(model.train(), ["a"] * 3):
        logits(model)
    model.eval()
    lk.merge(model)
    with pytest.raises(LoRAError, match="merged"), lk.using(model, ["a"] * 3):
        pass
    lk.unmerge(model)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_rows_takes_as_many_operations_with_three_adapters_as_with_one(kind):
    """Time is not tested, what takes it is: PEFT's operations grow with the adapters in the batch, ours do not."""
    model = two_adapters(kind, mixed=True)
    a = ARCHITECTURES[kind]
    lk.inject(model, LoRAConfig(r=1, targets=a.mixed or a.targets), name="c")
    fill(model, "c")
    counts = []
    for names in (["a", "a", "a"], ["a", "b", "c"]):
        with lk.using(model, names), Ops() as ops:
            logits(model)
        counts.append(len(ops.names))
    assert counts[0] == counts[1]
