"""Merging: the same function at the base's cost, within one rounding of W; undone bit for bit."""

import copy

import pytest
import torch

import lorakit as lk
from lorakit import LoRAError
from tests.support.architectures import (
    DTYPES,
    KINDS,
    adapted,
    base,
    in_float64,
    train,
    two_adapters,
    untrained,
    with_buffers_of,
)
from tests.support.figures import assert_close, note
from tests.support.tiny_models import assert_same, logits, same_bits, snapshot


def exact_model(model, delta: bool):
    """The model in float64 with its adapters out: W0 + scaling * B A formed in float64, or the weights as they are."""
    out = copy.deepcopy(model)
    updates = {path: layer.active for path, layer in out._lorakit.layers.items() if delta and layer.active is not None}
    in_float64(out)
    if delta:
        lk.set_adapter(out, None)
    for path, adapter in updates.items():
        layer, update = out.get_submodule(path), adapter.delta_weight().detach()
        layer.weight.data += update.T if layer.transposed else update
    return out


def first_order(model, which: tuple[int, ...], roundings: dict[str, torch.Tensor]) -> float:
    """How far one logit moves, at most, when each entry of each weight moves by its rounding: sum |d logit/dW| |dW|."""
    weights = [model.get_submodule(path).weight.requires_grad_(True) for path in roundings]
    slopes = torch.autograd.grad(logits(model, grad=True)[which], weights)
    return sum(float((slope.abs() * dW).sum()) for slope, dW in zip(slopes, roundings.values(), strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_merged_logits_differ_by_no_more_than_one_rounding_of_the_weights(kind, dtype):
    """The bound is derived. Merging stores W' = round(W0 + s B A): u |W0 + s B A| per entry, u = eps / 2 of the dtype.

    Before that the sum is formed in float32, from products of length r: (r + 2) eps32 (|W0| + s |B| |A|) more, and
    the smallest subnormal where an entry underflows. Both are carried to a logit by its slope, sum |d logit / dW| |dW|,
    which is the bound to first order. It is checked in float64, where evaluating the model adds no rounding of its own;
    signs being random, the measured move is a small share of it, which leaves room for the second order.
    """
    model = adapted(kind, dtype)
    layers = {path: layer for path, layer in model._lorakit.layers.items() if layer.active is not None}
    u, eps32 = torch.finfo(dtype).eps / 2, torch.finfo(torch.float32).eps
    roundings = {}
    for path, layer in layers.items():
        B, A = layer.active.full_B().detach().double(), layer.active.lora_A.detach().double()
        W0 = layer.weight.detach().double()
        sizes, update = layer.active.scaling * B.abs() @ A.abs(), layer.active.scaling * B @ A
        sizes, update = (sizes.T, update.T) if layer.transposed else (sizes, update)
        summed = (A.shape[0] + 2) * eps32 * (W0.abs() + sizes)
        roundings[path] = u * (W0 + update).abs() + summed + torch.finfo(dtype).smallest_normal * u
    truth = exact_model(model, delta=True)
    expected = logits(truth)
    lk.merge(model)
    moved = (logits(exact_model(model, delta=False)) - expected).abs()
    assert moved.max() > 0 or dtype == torch.float32
    for flat in moved.flatten().topk(3).indices.tolist():  # the three logits that moved most
        which = torch.unravel_index(torch.tensor(flat), moved.shape)
        bound = first_order(truth, which, roundings)
        note(f"merge rounding, share of the bound, {str(dtype).removeprefix('torch.')}", moved[which] / bound)
        assert moved[which] <= bound


@pytest.mark.parametrize("kind", KINDS)
def test_merged_and_unmerged_logits_agree_in_float32(kind):
    model = adapted(kind)
    apart = logits(model)
    lk.merge(model)
    assert_close("merged against unmerged, float32", logits(model), apart, 3e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_unmerging_restores_the_base_bit_for_bit(kind, dtype):
    model = two_adapters(kind, dtype)
    before, outputs = snapshot(model), logits(model)
    for name in ("b", "a", "b"):
        lk.set_adapter(model, name)
        lk.merge(model)
        lk.unmerge(model)
    assert_same(before, snapshot(model))
    assert same_bits(logits(model), outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_moves_the_weights_and_the_logits(kind):
    model, plain = adapted(kind), base(kind)
    lk.merge(model)
    layers = model._lorakit.layers.items()
    assert not any(torch.equal(layer.weight, plain.get_submodule(path).weight) for path, layer in layers)
    assert (logits(model) - logits(plain)).abs().max() > 1e-4 * logits(plain).abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_merging_twice_is_refused_and_adds_nothing(kind):
    model = two_adapters(kind)
    lk.merge(model)
    before = snapshot(model)
    with pytest.raises(LoRAError, match="cannot merge while an adapter is merged"):
        lk.merge(model)
    with pytest.raises(LoRAError, match="merged"):
        lk.set_adapter(model, "a")
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_model_is_saved_as_a_plain_model_that_gives_the_same_bits(kind, tmp_path):
    model, plain = adapted(kind), base(kind)
    lk.merge(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    with pytest.raises(RuntimeError, match="Missing key"):  # trap 1: it would have the update twice
        untrained(kind).load_state_dict(model.state_dict())
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(tmp_path)
        plain = type(model).from_pretrained(tmp_path).eval()
    else:
        torch.save(model.state_dict(), tmp_path / "model.pt")
        plain.load_state_dict(torch.load(tmp_path / "model.pt"))
    assert same_bits(logits(plain), logits(model))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", KINDS)
def test_merging_what_is_not_finite_is_refused_whole(kind, value):
    """The last layer is the bad one: those before it must not stay merged."""
    model = adapted(kind)
    path, layer = list(model._lorakit.layers.items())[-1]
    layer.active.lora_A.data[0, 0] = value
    before = snapshot(model)
    with pytest.raises(LoRAError, match="not finite") as error:
        lk.merge(model)
    assert path in str(error.value)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("kind", KINDS)
def test_after_three_adam_steps_merged_equals_unmerged_and_off_equals_the_base(kind):
    model = untrained(kind)
    train(model, torch.optim.Adam, lr=0.01)
    apart = logits(model)
    assert not same_bits(apart, logits(with_buffers_of(model, kind)))
    lk.merge(model)
    assert_close("merged against unmerged after training, float32", logits(model), apart, 3e-6)
    with pytest.raises(LoRAError, match="merged"):
        lk.set_adapter(model, None)  # switching off what is in the weights would only look like the base
    lk.unmerge(model)
    lk.set_adapter(model, None)
    assert same_bits(logits(model), logits(with_buffers_of(model, kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_merge_one_after_the_other_and_never_add_up(kind):
    """PEFT can have two adapters active, and drops some when merging a part of them. Here one acts at a time."""
    model = two_adapters(kind)
    before = snapshot(model)
    with pytest.raises(LoRAError, match="no adapter named"):
        lk.set_adapter(model, ["a", "b"])
    assert_same(before, snapshot(model))
    apart = {}
    for name in ("a", "b"):
        lk.set_adapter(model, name)
        apart[name] = logits(model)
    lk.set_adapter(model, None)
    plain = logits(model)
    for name in ("a", "b", "a"):
        lk.set_adapter(model, name)
        lk.merge(model)
        assert_close("merged against unmerged, float32", logits(model), apart[name], 3e-6)
        lk.unmerge(model)
        assert same_bits(logits(model), apart[name])
        lk.set_adapter(model, None)
        assert same_bits(logits(model), plain)


def test_a_block_that_is_used_twice_merges_once_and_acts_in_both_places():
    model = adapted("nested")
    apart = logits(model)
    before = snapshot(model)
    lk.merge(model)
    assert model.again is model.model["shared"] and model.again.q.merged
    torch.testing.assert_close(logits(model), apart, rtol=0, atol=1e-6)
    lk.unmerge(model)
    assert_same(before, snapshot(model))
