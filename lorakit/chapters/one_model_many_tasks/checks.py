"""Checks and quiz of chapter 10."""

import torch

from lorakit import by_hand
from lorakit.show.exercises import check_examples, expect
from lorakit.show.quiz import read_quiz
from lorakit.study.operations import count_work

# 10.1 -- one layer, a different adapter on every row


def _rows():
    base = torch.nn.Linear(6, 9)
    layers = [by_hand.LoRALayer(base, 2, alpha) for alpha in (6, 4, 8, 2) * 3]
    for layer in layers:
        torch.nn.init.normal_(layer.lora_B)
    return [(layers, torch.randn(12, 5, 6), torch.tensor([2, 0, 0, 3] * 3))]


def _outputs(answer):
    """What the layer gives for x once it has been told which row wants which adapter."""

    def outputs(layers, x, which):
        many = answer(layers)
        for name in ("A", "B", "base"):
            expect(hasattr(many, name), f"the layer has no `{name}`: store it as `self.{name}`")
        many.which = which
        found = many(x)
        right = by_hand.ManyLoRA(layers)
        right.which = which
        work, enough = count_work(lambda: many(x)), count_work(lambda: right(x)).flops
        steps, flops = work.count, f"{work.flops:,} FLOPs, where {enough:,} do"
        expect(steps < 12, f"a loop over the rows: {steps} operations for 12 rows. Gather A and B, then two `bmm`")
        expect(work.flops <= enough, f"that forms B A for every row: {flops}. Multiply x by A first, then by B")
        return found

    return outputs


many = check_examples(
    "10.1",
    "a different adapter on every row",
    right=by_hand.ManyLoRA,
    inputs=_rows,
    seen=_outputs,
    wrong={
        "row i went through adapter i: gather with `self.which`": "[self.which] → [torch.arange(len(x))]",
        "A is gathered, B is not: gather both": "B[self.which] → B[torch.arange(len(x))]",
        "every row went through the first row's adapter": "[self.which] → [self.which[:1].expand(len(x))]",
        "that is the update alone: add it to `self.base(x)`": "self.base(x) +  → ",
        "the scaling is missing: fold alpha / r into B": "layer.scaling *  → ",
        "a loop over the rows": "torch.bmm(down, B.mT) → torch.stack([row @ b.T for row, b in zip(down, B)])",
        "that forms B A for every row": "torch.bmm(down, B.mT) → torch.bmm(x, torch.bmm(B, A).mT)",
        "the layer has no `A`: store it as `self.A`": torch.nn.ModuleList,
    },
    tolerance=1e-4,
    formula="of each row's own adapter, with its own scaling",
    done="right: two batched products, however many adapters the rows ask for",
)


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
        "those are whole updates, in · out: A and B have r · (in + out) numbers": "r * sum(i + o → sum(i * o",
        "the rank is missing: A has r rows, B has r columns": "r * sum → sum",
        "the base needs a place too, once: 4 bytes for each of its numbers": " - 4 * base → ",
        "the base's numbers take 4 bytes each, too": " - 4 * base → - base",
        "numbers are not bytes: in float32 each takes 4": "4 *  → ",
        "only B is counted: A has r · in numbers more": "i + o for → o for",
        "half an adapter serves nobody: divide with `//`": "// → /",
    },
    done="right: one gigabyte holds one nano and thousands of tasks, or 58 merged copies",
)


def _stack(A1, B1, s1, A2, B2, s2):
    return torch.cat([A1, A2]), torch.cat([s1 * B1, s2 * B2], dim=1)


def _two_adapters():
    return [(torch.randn(3, 5), torch.randn(4, 3), 2.0, torch.randn(3, 5), torch.randn(4, 3), -0.5)]


def _product(answer):
    """The update B A of the adapter: its factors are not unique."""

    def product(*adapters):
        found = answer(*adapters)
        expect(isinstance(found, tuple | list) and len(found) == 2, "return two matrices, A and B")
        A, B = found
        shapes = f"got {(*A.shape,)} and {(*B.shape,)}"
        expect(A.shape[0] == B.shape[1], f"A should be (r₁ + r₂, k) = (6, 5) and B (d, r₁ + r₂) = (4, 6), {shapes}")
        return B @ A

    return product


def _ranks_add_up(answer):
    rank = len(answer(*_two_adapters()[0])[0])
    expect(rank == 6, f"the product is right, but the rank is {rank}: it should be r₁ + r₂")


add = check_examples(
    "10.3",
    "two adapters in one",
    right=_stack,
    inputs=_two_adapters,
    seen=_product,
    wrong={
        "(B₁ + B₂)(A₁ + A₂) has cross terms such as B₁A₂: put the factors beside each other instead of adding them": (
            lambda A1, B1, s1, A2, B2, s2: (A1 + A2, s1 * B1 + s2 * B2)
        ),
        "the scales are missing: fold s₁ into B₁ and s₂ into B₂": "[s1 * B1, s2 * B2] → [B1, B2]",
        "each scale counts once: in A or in B, not in both": "[A1, A2] → [s1 * A1, s2 * A2]",
        "B's columns must stand in the same order as A's rows": "[s1 * B1, s2 * B2] → [s2 * B2, s1 * B1]",
        "these are one adapter's factors: where is the other one?": lambda A1, B1, s1, A2, B2, s2: (A1, s1 * B1),
    },
    tolerance=1e-4,
    formula="of s₁ B₁ A₁ + s₂ B₂ A₂",
    also=_ranks_add_up,
    done="right: the ranks add up, and nothing is approximated",
)

quiz = read_quiz("10", __file__)
