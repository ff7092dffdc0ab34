"""Checks and quiz of chapter 10."""

import torch

from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz


def _mixed(x, W0, b, A, B, index):
    y = x @ W0.T + b
    return torch.baddbmm(y, torch.bmm(x, A[index].mT), B[index].mT)


def _normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Square W0 and as many rows as adapters: a forgotten transpose or gather then runs without an error.
_CASES = [
    (
        _normal(4, 3, 6, seed=0),
        _normal(6, 6, seed=1),
        _normal(6, seed=2),
        _normal(4, 2, 6, seed=3),
        _normal(4, 6, 2, seed=4),
        torch.tensor(index),
    )
    for index in ([2, 0, 2, 3], [1, 1, 3, 0])
]
mixed_projection = check_examples(
    "10.1",
    "a different adapter on every row",
    right=_mixed,
    inputs=_CASES,
    wrong={
        "row i went through adapter i: gather with `A[index]` and `B[index]` first": (
            lambda x, W0, b, A, B, index: _mixed(x, W0, b, A, B, torch.arange(len(x)))
        ),
        "A is gathered, B is not: each row meets the B of another adapter": (
            lambda x, W0, b, A, B, index: _mixed(x, W0, b, A[index], B, torch.arange(len(x)))
        ),
        "every row went through the first row's adapter": (
            lambda x, W0, b, A, B, index: _mixed(x, W0, b, A, B, index[:1].expand(len(x)))
        ),
        "the update alone: add it to `x @ W0.T + b`": (
            lambda x, W0, b, A, B, index: _mixed(x, W0, b, A, B, index) - x @ W0.T - b
        ),
        "b is missing": lambda x, W0, b, A, B, index: _mixed(x, W0, b * 0, A, B, index),
        "W0 is (out, in), so the base computes `x @ W0.T`": (
            lambda x, W0, b, A, B, index: _mixed(x, W0.T, b, A, B, index)
        ),
    },
    done="right: two batched products, however many adapters the rows ask for",
)


def _fits(memory, base, r, shapes):
    return (memory - 4 * base) // (4 * r * sum(i + o for i, o in shapes))


_MLP = [(256, 1024), (1024, 256)] * 4
fits = check_examples(
    "10.2",
    "how many adapters fit",
    right=_fits,
    inputs=[(10**9, 4_273_664, 4, _MLP), (10**9, 4_273_664, 8, _MLP[:3]), (16 * 10**9, 124_439_808, 8, [(768, 2304)])],
    wrong={
        "that counts whole updates, in · out: A and B together have r · (in + out) numbers": (
            lambda memory, base, r, shapes: (memory - 4 * base) // (4 * sum(i * o for i, o in shapes))
        ),
        "the rank is missing: A has r rows, B has r columns": (
            lambda memory, base, r, shapes: (memory - 4 * base) // (4 * sum(i + o for i, o in shapes))
        ),
        "the base needs a place too, once: 4 bytes for each of its numbers": (
            lambda memory, base, r, shapes: memory // (4 * r * sum(i + o for i, o in shapes))
        ),
        "numbers are not bytes: in float32 each takes 4": (
            lambda memory, base, r, shapes: (memory - base) // (r * sum(i + o for i, o in shapes))
        ),
        "only B is counted: A has r · in numbers more": (
            lambda memory, base, r, shapes: (memory - 4 * base) // (4 * r * sum(o for _, o in shapes))
        ),
        "half an adapter serves nobody: divide with `//`": (
            lambda memory, base, r, shapes: (memory - 4 * base) / (4 * r * sum(i + o for i, o in shapes))
        ),
    },
    done="right: one gigabyte holds one nano and thousands of tasks, or 58 merged copies",
)


def _stack(A1, B1, s1, A2, B2, s2):
    return torch.cat([A1, A2]), torch.cat([s1 * B1, s2 * B2], dim=1)


@check(
    "10.3",
    "two adapters in one",
    right=_stack,
    wrong={
        "(B₁ + B₂)(A₁ + A₂) has cross terms": lambda A1, B1, s1, A2, B2, s2: (A1 + A2, s1 * B1 + s2 * B2),
        "the scales are missing": lambda A1, B1, s1, A2, B2, s2: (torch.cat([A1, A2]), torch.cat([B1, B2], dim=1)),
        "each scale counts once": lambda A1, B1, s1, A2, B2, s2: (
            torch.cat([s1 * A1, s2 * A2]),
            torch.cat([s1 * B1, s2 * B2], dim=1),
        ),
        "in the same order": lambda A1, B1, s1, A2, B2, s2: (
            torch.cat([A1, A2]),
            torch.cat([s2 * B2, s1 * B1], dim=1),
        ),
        "one adapter's factors": lambda A1, B1, s1, A2, B2, s2: (A1, s1 * B1),
    },
    done="right: the ranks add up, and nothing is approximated",
)
def add(answer):
    A1, B1, s1 = _normal(3, 5, seed=5), _normal(4, 3, seed=6), 2.0
    A2, B2, s2 = _normal(3, 5, seed=7), _normal(4, 3, seed=8), 0.5
    found = answer(A1.clone(), B1.clone(), s1, A2.clone(), B2.clone(), s2)
    expect(isinstance(found, tuple | list) and len(found) == 2, "return two matrices, A and B")
    A, B = found
    wanted = s1 * B1 @ A1 + s2 * B2 @ A2

    def gives(right):
        return A.shape[0] == B.shape[1] and torch.allclose(B @ A, right, atol=1e-4)

    if gives(wanted):
        expect(A.shape[0] == 6, f"the product is right, but the rank is {A.shape[0]}: it should be r₁ + r₂")
        return
    expect(
        not gives((s1 * B1 + s2 * B2) @ (A1 + A2)),
        "(B₁ + B₂)(A₁ + A₂) has cross terms such as B₁A₂: put the factors beside each other instead of adding them",
    )
    expect(not gives(B1 @ A1 + B2 @ A2), "the scales are missing: fold s₁ into B₁ and s₂ into B₂")
    expect(not gives(s1**2 * B1 @ A1 + s2**2 * B2 @ A2), "each scale counts once: in A or in B, not in both")
    expect(not gives(s2 * B2 @ A1 + s1 * B1 @ A2), "B's columns must stand in the same order as A's rows")
    expect(not gives(s1 * B1 @ A1), "these are one adapter's factors: where is the other one?")
    expect(
        A.shape == (6, 5) and B.shape == (4, 6), f"A should be (6, 5) and B (4, 6), got {(*A.shape,)}, {(*B.shape,)}"
    )
    expect(False, "B A is not s₁ B₁ A₁ + s₂ B₂ A₂")


quiz = read_quiz("10", __file__)
