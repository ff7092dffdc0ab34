"""Training: the base stands still, the adapter's gradients are right, and checkpointing does not change them."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import lorakit as lk
from tests.support.architectures import (
    ARCHITECTURES,
    KINDS,
    WITH_HEAD,
    adapted,
    in_float64,
    is_adapter,
    loss_of,
    train,
    two_adapters,
    with_buffers_of,
)
from tests.support.tiny_models import logits, main_input, same_bits, samples


def steps_of_sgd_move_only(model, name):
    before = {path: p.detach().clone() for path, p in model.named_parameters()}
    train(model, torch.optim.SGD, lr=0.5)
    for path, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all()
        assert same_bits(parameter.detach(), before[path]) != (f".adapters.{name}." in path), path


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps_of_sgd_move_the_active_adapter_and_nothing_else(kind):
    steps_of_sgd_move_only(two_adapters(kind), "b")


@pytest.mark.parametrize("kind", WITH_HEAD)
def test_a_saved_head_moves_and_the_bases_own_head_does_not(kind):
    model = adapted(kind, modules_to_save=ARCHITECTURES[kind].head)
    steps_of_sgd_move_only(model, "sql")  # A, B and the copies of the head
    lk.set_adapter(model, None)
    assert same_bits(logits(model), logits(with_buffers_of(model, kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_none_on_the_base_and_never_on_the_adapter(kind):
    model = adapted(kind).train()
    loss_of(model).backward()
    for path, parameter in model.named_parameters():
        assert (parameter.grad is not None) == is_adapter(path) == parameter.requires_grad, path
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all() and parameter.grad.any(), path


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_adapters_gradients_pass_gradcheck_in_float64(kind, dropout):
    """Through the whole model, to every A and B, along random directions (gradcheck's fast mode)."""
    model = in_float64(adapted(kind, torch.float64, dropout=dropout)).train()
    trained = {path: p.detach().requires_grad_() for path, p in model.named_parameters() if p.requires_grad}
    inputs = {main_input(model): samples(model)}

    def outputs(*values):
        torch.manual_seed(7)  # the same dropout masks every time
        out = torch.func.functional_call(model, dict(zip(trained, values, strict=True)), kwargs=inputs)
        return getattr(out, "logits", out)

    assert torch.autograd.gradcheck(outputs, tuple(trained.values()), fast_mode=True, atol=1e-7, rtol=1e-4)


def gradients(model, seed=3):
    model.zero_grad()
    torch.manual_seed(seed)  # for the adapter's own dropout
    loss_of(model).backward()
    return {path: p.grad.clone() for path, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_gives_the_same_gradients_bit_for_bit(kind, reentrant):
    """With the adapter's dropout on: the recomputation must draw the same masks.

    Trap 16: reentrant, without gradients at the input, torch would train nothing, and warn.
    """
    model = adapted(kind, dropout=0.2).train()
    expected = gradients(model)
    if not hasattr(model, "gradient_checkpointing_enable"):
        forward = model.forward  # a plain module: all of it, where token ids as input rule out the reentrant mode
        model.forward = lambda **inputs: checkpoint(forward, *inputs.values(), use_reentrant=False)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
        if reentrant:
            model.enable_input_require_grads()
    got = gradients(model)
    assert got.keys() == expected.keys() and all(is_adapter(path) for path in got)
    assert all(same_bits(got[path], grad) and grad.any() for path, grad in expected.items())
