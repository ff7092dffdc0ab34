"""What merging costs in precision: measured within derived bounds, on a model that comes out as it went in."""

import pytest
import torch

import lorakit as lk
from lorakit.core.state import state_of
from lorakit.study.merge_error import logit_error, subtraction_drift, unit_roundoff, weight_errors
from tests.support.tiny_models import assert_same, build, fill, snapshot

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def adapted(kind="gpt2", targets=("q", "v"), dtype=torch.float32, size=0.3):
    model = build(kind).to(dtype)
    lk.inject(model, lk.LoRAConfig(r=4, alpha=8, targets=targets), name="task")
    fill(model, "task", size=size)
    return model


def tokens(rows=4, length=9, seed=0):
    ids = torch.randint(3, 61, (rows, length), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("kind", "targets"),
    [("gpt2", ("q", "v")), ("gpt2", ("c_attn",)), ("gpt2", ("mlp", "o")), ("llama", ("k", "o")), ("bert", ("q",))],
    ids=str,
)
def test_every_weight_stays_within_its_bound(kind, targets, dtype):
    model = adapted(kind, targets, dtype)
    found, u = weight_errors(model), unit_roundoff(dtype)
    assert list(found.index) == list(state_of(model).layers)
    assert (found["error"] <= found["bound"]).all()
    assert (found["error"] > u / 5).all()  # it cannot be far better than rounding is
    assert (found["of_update"] > found["error"] * 0.5).all()
    if dtype != torch.float32:
        assert (found["error"] <= 1.001 * u).all()  # one rounding, and float32's share is nothing beside it


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_model_comes_out_as_it_went_in(dtype):
    model = adapted(dtype=dtype)
    before = snapshot(model)
    weight_errors(model)
    logit_error(model, [tokens(), tokens(seed=1)])
    assert_same(before, snapshot(model))


def test_an_adapter_that_does_nothing_costs_nothing():
    model = adapted(size=0.0, dtype=torch.bfloat16)
    assert not weight_errors(model)[["error", "of_update"]].any(axis=None)
    found = logit_error(model, [tokens()])
    assert found["difference"] == found["changed"] == 0
    assert found["merged"] == found["unmerged"] > 0  # bfloat16 itself is not exact


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_logits_err_in_proportion_to_the_dtype(dtype):
    found = logit_error(adapted(dtype=dtype), [tokens(16)])
    u = unit_roundoff(dtype)
    assert u / 5 < found["difference"] < 20 * u
    assert found["difference"] <= found["merged"] + found["unmerged"]  # a triangle, and exact is its third corner
    assert found["positions"] == 16 * 8


def test_coarse_numbers_change_tokens_where_they_are_nearly_alike():
    model = adapted(dtype=torch.bfloat16)
    assert logit_error(model, [tokens(4)])["changed"] == 0
    with torch.no_grad():
        model.lm_head.weight.copy_(model.lm_head.weight[:1] + 0.02 * model.lm_head.weight)  # ties everywhere
    assert logit_error(model, [tokens(32)])["changed"] > 0


def test_only_answer_tokens_are_compared():
    labels = torch.full((2, 6), -100)
    labels[0, 4:], labels[1, 3] = 5, 5
    assert logit_error(adapted(), [tokens(2, 6) | {"labels": labels}] * 2)["positions"] == 2 * 3


def test_drift_stands_still_with_one_adapter_and_grows_with_several():
    generator = torch.Generator().manual_seed(0)
    W0 = torch.randn(64, 64, generator=generator).bfloat16()
    deltas = [0.3 * torch.randn(64, 64, generator=generator) for _ in range(5)]
    kept = W0.clone()
    alone = subtraction_drift(W0, deltas[:1], (1, 100))
    assert alone["largest"].nunique() == 1 and alone["rounds"].tolist() == [1, 100]
    several = subtraction_drift(W0, deltas, (5, 50, 500))["largest"]
    assert several[0] < several[1] / 2 < several[2] / 3
    assert torch.equal(W0, kept)
