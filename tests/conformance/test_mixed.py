"""A different adapter on every row of one batch."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.architectures import ARCHITECTURES, DECODERS, KINDS, base, two_adapters
from tests.support.measured import note
from tests.support.tiny_models import assert_same, build, fill, ids, logits, same_bits, samples, snapshot

ROWS = ["a", None, "b", "a"]
EPS = {torch.float32: 20, torch.bfloat16: 3}  # a batch and a row go through other kernels, and round at other places


def alone(model, batch):
    rows = []
    for row, name in zip(batch, ROWS, strict=True):
        lk.set_adapter(model, name)
        rows.append(logits(model, row[None]))
    return torch.cat(rows)


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_mixed_rows_equals_that_row_alone_with_its_adapter(kind, dtype):
    model = two_adapters(kind, dtype, mixed=True)
    batch = samples(model, len(ROWS))
    expected = alone(model, batch)
    lk.set_adapter(model, "a")
    before = snapshot(model)
    with lk.using(model, ROWS):
        got = logits(model, batch)
    assert_same(before, snapshot(model))
    error = float((got - expected).abs().max() / expected.abs().max())
    note(f"mixed batch against rows alone, {str(dtype).removeprefix('torch.')}, relative", error)
    assert error <= EPS[dtype] * torch.finfo(dtype).eps
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
    prompts = ids(len(ROWS))
    settings = dict(max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0)
    settings |= dict(output_scores=True, return_dict_in_generate=True)
    separate = []
    for row, name in zip(prompts, ROWS, strict=True):
        lk.set_adapter(model, name)
        separate.append(model.generate(row[None], attention_mask=torch.ones_like(row[None]), **settings))
    with lk.using(model, ROWS):
        mixed = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
    assert torch.equal(mixed.sequences, torch.cat([one.sequences for one in separate]))
    for step, scores in enumerate(mixed.scores):
        expected = torch.cat([one.scores[step] for one in separate])
        assert (scores - expected).abs().max() <= EPS[torch.float32] * torch.finfo(
            torch.float32
        ).eps * expected.abs().max()


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


class Counted(TorchDispatchMode):
    """Counts the operations that torch is asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_rows_takes_as_many_operations_with_three_adapters_as_with_one(kind):
    """Time is not tested, what takes it is: PEFT's operations grow with the adapters in the batch, ours do not."""
    model = two_adapters(kind, mixed=True)
    a = ARCHITECTURES[kind]
    lk.inject(model, LoRAConfig(r=1, targets=a.mixed or a.targets), name="c")
    fill(model, "c")
    counts = []
    for names in (["a", "a", "a"], ["a", "b", "c"]):
        with lk.using(model, names), Counted() as counted:
            logits(model)
        counts.append(counted.count)
    assert counts[0] == counts[1]


def test_mixing_what_debertas_rows_share_is_refused_by_name():
    """DeBERTa-v3 sends its positions, one table for all rows, through the words' own q and k projections."""
    model = build("deberta", share_att_key=True)
    lk.inject(model, LoRAConfig(r=2, targets=("q", "v")), name="a")
    with pytest.raises(LoRAError, match="DeBERTa's positions"), lk.using(model, ["a"] * 3):
        logits(model)
    lk.inject(model, LoRAConfig(r=2, targets=("v", "mlp")), name="b")
    fill(model, "b")
    expected = logits(model)
    with lk.using(model, ["b"] * 3):
        torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-6)


def test_mixing_what_opt_flattens_is_refused():
    """OPT gives its MLP rows and tokens as one; which row a token belongs to is lost there (PEFT refuses it too)."""
    model = base("opt")
    lk.inject(model, LoRAConfig(r=2, targets=("mlp",)), name="a")
    with (
        pytest.raises(LoRAError, match="a batch of 21 rows: .* as OPT's fc1 and fc2, cannot be told apart by row"),
        lk.using(model, ["a"] * 3),
    ):
        logits(model)
