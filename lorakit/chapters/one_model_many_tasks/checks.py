"""Checks and quiz of chapter 10."""

import torch

from lorakit import by_hand
from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.quiz import read_quiz


def _normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 10.1 -- one layer, a different adapter on every row


@check(
    "10.1",
    "a different adapter on every row",
    right=by_hand.ManyLoRA,
    wrong={
        "row i went through adapter i": "[self.which] → [torch.arange(len(x))]",
        "A is gathered, B is not": "B[self.which] → B[torch.arange(len(x))]",
        "every row went through the first row's adapter": "[self.which] → [self.which[:1].expand(len(x))]",
        "the update alone": "self.base(x) +  → ",
        "the scaling is missing": "layer.scaling *  → ",
        "has no `A`": torch.nn.ModuleList,
    },
    done="right: two batched products, however many adapters the rows ask for",
)
def many(answer):
    base, x, which = torch.nn.Linear(6, 9), torch.randn(4, 5, 6), torch.tensor([2, 0, 0, 3])
    layers = [by_hand.LoRALayer(base, 2, 6) for _ in range(4)]
    for layer in layers:
        torch.nn.init.normal_(layer.lora_B)
    mine = answer(layers)
    for name in ("A", "B", "base"):
        expect(hasattr(mine, name), f"the layer has no `{name}`: store it as `self.{name}`")
    mine.which = which
    y, wanted = mine(x), torch.stack([layers[i](row) for i, row in zip(which.tolist(), x, strict=True)])
    expect(y is not None, NOTHING)
    expect(not same(y, wanted - base(x), 1e-4), "that is the update alone: add it to `self.base(x)`")
    expect(not same(y - base(x), (wanted - base(x)) / 3, 1e-4), "the scaling is missing: fold alpha / r into B")

    def update(a, b):
        return 3 * torch.stack(
            [row @ layers[i].lora_A.T @ layers[j].lora_B.T for i, j, row in zip(a, b, x, strict=True)]
        )

    rows, first = range(4), [2] * 4
    expect(not same(y - base(x), update(rows, rows), 1e-4), "row i went through adapter i: gather with `self.which`")
    expect(not same(y - base(x), update(which.tolist(), rows), 1e-4), "A is gathered, B is not: gather both")
    expect(not same(y - base(x), update(first, first), 1e-4), "every row went through the first row's adapter")
    expect(same(y, wanted, 1e-4), "a row's output is not that of its own adapter")


def _fits(memory, base, r, shapes):
    adapter = r * sum(i + o for i, o in shapes)
    return (memory - 4 * base) // (4 * adapter)


_MLP = [(256, 1024), (1024, 256)] * 4
fits = check_examples(
    "10.2",
    "how many adapters fit",
    right=_fits,
    inputs=[(10**9, 4_273_664, 4, _MLP), (10**9, 4_273_664, 8, _MLP[:3]), (16 * 10**9, 124_439_808, 8, [(768, 2304)])],
    wrong={
        "that counts whole updates, in · out: A and B together have r · (in + out) numbers": (
            "r * sum(i + o → sum(i * o"
        ),
        "the rank is missing: A has r rows, B has r columns": "r * sum → sum",
        "the base needs a place too, once: 4 bytes for each of its numbers": " - 4 * base → ",
        "numbers are not bytes: in float32 each takes 4": "4 *  → ",
        "only B is counted: A has r · in numbers more": "i + o for → o for",
        "half an adapter serves nobody: divide with `//`": "// → /",
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
        "the scales are missing": "[s1 * B1, s2 * B2] → [B1, B2]",
        "each scale counts once": "[A1, A2] → [s1 * A1, s2 * A2]",
        "in the same order": "[s1 * B1, s2 * B2] → [s2 * B2, s1 * B1]",
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
