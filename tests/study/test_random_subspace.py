"""A model moved in d random directions: P is what it is said to be, and the model comes out of it as it went in."""

import pytest
import torch

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.study import random_subspace
from lorakit.study.fastfood import Fastfood, hadamard_matrix
from tests.support.tiny_models import logits
from tests.support.tiny_sweep import letters

BLOCKS = 2 * (12 * 32 * 32 + 13 * 32)  # the tiny model's blocks: 4 matrices of 12 w² in all, biases and norms of 13 w


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def explicit(P: Fastfood) -> torch.Tensor:
    """P (D, d) written down from its definition: H G Π H B, block under block, scaled and cut."""
    H = hadamard_matrix(P.n)
    blocks = []
    for b in range(len(P.signs)):
        permutation = torch.eye(P.n)[P.order.view(-1, P.n)[b].long() - b * P.n]
        blocks.append(H @ torch.diag(P.gauss[b]) @ permutation @ H @ torch.diag(P.signs[b].float()))
    return torch.cat(blocks)[: P.D, : P.d] / (P.n * P.D) ** 0.5


@pytest.mark.parametrize("d, D", [(1, 5), (2, 7), (5, 40), (8, 64), (33, 50)])
def test_every_column_is_the_one_of_the_explicit_matrix(d, D):
    P = Fastfood(d, D, seed=3)
    columns = torch.stack([P(row) for row in torch.eye(d)], dim=1)  # (D, d)
    assert torch.allclose(columns, explicit(P), atol=1e-5)
    g, theta = normal(D), torch.zeros(d, requires_grad=True)
    P(theta).backward(g)
    assert torch.allclose(theta.grad, explicit(P).T @ g, atol=1e-5)


def test_the_columns_are_of_length_one_and_nearly_orthogonal():
    P = Fastfood(200, 40_000, seed=0)
    columns = torch.stack([P(row) for row in torch.eye(200)], dim=1)
    overlaps = columns.T @ columns - torch.eye(200)
    assert overlaps.diagonal().abs().max() < 0.03
    assert overlaps.std() < 1.5 / 40_000**0.5  # as of Gaussian columns: 1 / √D


def test_an_attached_model_is_unchanged_and_trains_d_numbers(tiny_model):
    before = logits(tiny_model)
    theta = random_subspace.attach(tiny_model, 7, seed=0)
    assert torch.equal(logits(tiny_model), before)
    assert theta.shape == (7,) and not theta.any()
    (trained,) = [parameter for parameter in tiny_model.parameters() if parameter.requires_grad]
    assert trained is theta


def test_the_weights_are_the_old_ones_plus_p_theta(tiny_model):
    before = weights(tiny_model)
    theta = random_subspace.attach(tiny_model, 7, seed=0)
    with torch.no_grad():
        theta.copy_(normal(7))
    moved = Fastfood(7, BLOCKS, seed=0)(theta)
    random_subspace.fold(tiny_model)
    after = weights(tiny_model)
    blocks = [name for name in after if ".h." in name]
    delta = torch.cat([(after[name] - before[name]).flatten() for name in blocks])
    assert torch.allclose(delta, moved, atol=1e-6)
    assert all(torch.equal(after[name], before[name]) for name in after if ".h." not in name)


def test_folding_keeps_the_outputs_and_leaves_an_ordinary_model(tiny_model):
    names, kinds = [name for name, _ in tiny_model.named_parameters()], [type(m) for m in tiny_model.modules()]
    theta = random_subspace.attach(tiny_model, 50, seed=0)
    with torch.no_grad():
        theta.copy_(0.3 * normal(50))
    moved = logits(tiny_model)
    random_subspace.fold(tiny_model)
    assert torch.equal(logits(tiny_model), moved)
    assert sorted(name for name, _ in tiny_model.named_parameters()) == sorted(names)
    assert [type(m) for m in tiny_model.modules()] == kinds


def test_the_gradient_of_theta_is_p_transposed_times_the_gradient_of_the_weights(tiny_model):
    ids = torch.arange(8)[None]
    tiny_model(ids, labels=ids).loss.backward()
    blocks = [p.grad.flatten() for name, p in tiny_model.named_parameters() if ".h." in name]
    expected = explicit(Fastfood(9, BLOCKS, seed=4)).T @ torch.cat(blocks)
    theta = random_subspace.attach(tiny_model, 9, seed=4)
    for _ in range(2):  # a second pass adds to the first: accumulated parts of a batch
        tiny_model(ids, labels=ids).loss.backward()
    assert torch.allclose(theta.grad, 2 * expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_fit_trains_it_and_touches_nothing_else(tiny_model, tiny_tokenizer, precision, tmp_path):
    theta = random_subspace.attach(tiny_model, 1000, seed=0)
    frozen = {name: p.clone() for name, p in tiny_model.named_parameters() if not p.requires_grad}
    options = dict(batch_size=4, lr=1e-1, precision=precision, warmup=2, progress=False)
    history = lab.fit(tiny_model, tiny_tokenizer, letters(), steps=20, eval_every=10, checkpoint=tmp_path, **options)
    assert history.losses[-1] < history.losses[0] - 0.1 and theta.any()
    assert all(torch.equal(tiny_model.get_parameter(name), value) for name, value in frozen.items())
    trained = theta.detach().clone()
    with torch.no_grad():
        theta.zero_()
    lab.fit(tiny_model, tiny_tokenizer, letters(), steps=20, checkpoint=tmp_path, resume=True, **options)
    assert torch.equal(theta, trained)


def test_what_makes_no_sense_is_refused_and_changes_nothing(tiny_model):
    before = logits(tiny_model)
    for d in (0, BLOCKS + 1):
        with pytest.raises(LoRAError, match=f"between 1 and {BLOCKS:,}"):
            random_subspace.attach(tiny_model, d)
    with pytest.raises(LoRAError, match="no list of blocks"):
        random_subspace.attach(torch.nn.Linear(2, 2), 1)
    assert torch.equal(logits(tiny_model), before)
    random_subspace.attach(tiny_model, BLOCKS)  # as many directions as parameters: allowed
    with pytest.raises(LoRAError, match="already"):
        random_subspace.attach(tiny_model, 1)


def test_the_intrinsic_dimension_is_the_smallest_that_reaches_the_share():
    accuracy = {100: 0.75, 1: 0.0, 10: 0.73, 1000: 0.79}
    assert random_subspace.intrinsic_dimension(accuracy, full=0.8) == 10
    assert random_subspace.intrinsic_dimension(accuracy, full=0.8, share=0.93) == 100
    assert random_subspace.intrinsic_dimension(accuracy, full=1.0) is None
