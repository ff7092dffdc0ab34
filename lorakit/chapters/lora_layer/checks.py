"""Checks and quiz of chapter 03."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lorakit.show.exercises import brief, check, check_examples, expect, same
from lorakit.show.quiz import read_quiz


def _cheap(answer):
    """The order of the products shows in their cost alone."""
    with FlopCounterMode(display=False) as counter:
        answer(torch.randn(20, 30), torch.randn(2, 30), torch.randn(40, 2), 2.0)
    done, least = counter.get_total_flops(), 2 * 20 * 2 * (30 + 40)
    expect(
        done <= least,
        f"the numbers are right, but `B @ A` forms the full d × k matrix: {done:,} operations where {least:,} do. "
        "Multiply x by A first",
    )


low_rank = check_examples(
    "03.1",
    "the low-rank product",
    right=lambda x, A, B, s: s * (x @ A.T @ B.T),
    inputs=lambda: [
        (torch.randn(20, 4), torch.randn(4, 4), torch.randn(4, 4), 2.0),  # all square: every mix-up runs
        (torch.randn(20, 30), torch.randn(2, 30), torch.randn(40, 2), 2.0),
    ],
    wrong={
        "your function returns None: is the `return` missing?": lambda x, A, B, s: None,
        "the scale is missing: multiply by `s`": lambda x, A, B, s: x @ A.T @ B.T,
        "transposed: on rows B A becomes `A.T @ B.T`. A square layer gives no error": (
            lambda x, A, B, s: s * (x @ B @ A)
        ),
        "A and B are swapped: x meets A first, on the way down to r numbers": lambda x, A, B, s: s * (x @ B.T @ A.T),
        "the result must be (n, d), one example per row: yours has one per column": lambda x, A, B, s: (
            s * (B @ A @ x.T)
        ),
        "the full d × k matrix": lambda x, A, B, s: s * (x @ (B @ A).T),
    },
    formula="s B A x",
    also=_cheap,
    done="right, and in the cheap order: no matrix of the size of W₀ was formed",
)


def _new_factors(d, k, r):
    return torch.randn(r, k) / k**0.5, torch.zeros(d, r)


@check(
    "03.2",
    "how A and B start",
    right=_new_factors,
    wrong={
        "never learn": lambda d, k, r: (torch.zeros(r, k), torch.zeros(d, r)),
        "the wrong one is zero": lambda d, k, r: (torch.zeros(r, k), torch.randn(d, r) / r**0.5),
        "damaged before the first step": lambda d, k, r: (torch.randn(r, k) / k**0.5, torch.randn(d, r)),
        "transposed": lambda d, k, r: (torch.randn(k, r) / k**0.5, torch.zeros(r, d)),
        "B first": lambda d, k, r: _new_factors(d, k, r)[::-1],
        "standard deviation": lambda d, k, r: (torch.randn(r, k), torch.zeros(d, r)),
        "variance": lambda d, k, r: (torch.randn(r, k) / k, torch.zeros(d, r)),
    },
    done="right: B A = 0 at step 0, and A x has entries of about the size of x's",
)
def new_factors(answer):
    d, k, r = 300, 400, 50
    got = answer(d, k, r)
    expect(isinstance(got, tuple | list) and len(got) == 2, f"return the two tensors A and B, got {brief(got)}")
    A, B = got
    shapes = tuple(A.shape), tuple(B.shape)
    expect(shapes != ((d, r), (r, k)), "you return B first: the order is A, B")
    expect(shapes != ((k, r), (r, d)), "A and B are transposed: A is (r, k) and B is (d, r)")
    expect(shapes == ((r, k), (d, r)), f"A must be (r, k) = (50, 400) and B (d, r) = (300, 50), got {shapes}")
    expect(A.any() or B.any(), "both are zero: then both gradients are zero, and the layer can never learn")
    expect(A.any(), "the wrong one is zero: here A is Gaussian and B is zero")
    expect(not B.any(), "B is not zero: the model is damaged before the first step")
    std = float(A.std())
    expect(std < 0.9, f"A's standard deviation is {std:.3g}: divide by √k, so that A x is no larger than x")
    expect(std > 0.01, f"A's standard deviation is {std:.3g}: 1 / k is the variance, its root is the deviation")
    expect(abs(std * k**0.5 - 1) < 0.05, f"A's standard deviation is {std:.3g}, it should be 1 / √k = {k**-0.5:.3g}")


scaling = check_examples(
    "03.3",
    "the factor in front of B A",
    right=lambda alpha, r, use_rslora: alpha / (r**0.5 if use_rslora else r),
    inputs=[(16, 8, False), (16, 64, False), (1, 4, False), (16, 8, True), (1, 4, True)],
    wrong={
        "missing the / r: the update would grow with the rank": lambda alpha, r, use_rslora: alpha,
        "upside down: alpha is divided by r": lambda alpha, r, use_rslora: (r**0.5 if use_rslora else r) / alpha,
        "`use_rslora` is ignored: with it, divide by √r": lambda alpha, r, use_rslora: alpha / r,
        "the root is always taken: only `use_rslora` wants √r": lambda alpha, r, use_rslora: alpha / r**0.5,
        "`use_rslora` is read the wrong way round": lambda alpha, r, use_rslora: alpha / (r if use_rslora else r**0.5),
        "`//` drops the fraction: use `/`": lambda alpha, r, use_rslora: alpha // (r**0.5 if use_rslora else r),
    },
    done="right: at alpha = 16, r = 8 gives 2 and r = 64 gives 0.25, or 2 again with rsLoRA",
)


class _Layer(nn.Module):
    """The chapter's LoRA layer."""

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        d, k = base.weight.shape
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(r, k) / k**0.5)  # (r, k)
        self.B = nn.Parameter(torch.zeros(d, r))  # (d, r)
        self.scaling = alpha / r

    def forward(self, x):
        return self.base(x) + self.scaling * (x @ self.A.T @ self.B.T)


def _example_layers():
    """Of both shapes: on a square layer a wrong transpose runs without error. B is not zero."""
    layers = [_Layer(nn.Linear(5, 5), r=2, alpha=6), _Layer(nn.Linear(6, 4), r=2, alpha=6)]
    for layer in layers:
        nn.init.normal_(layer.B)
    return [(layer,) for layer in layers]


def _merge_in_place(layer):
    layer.base.weight.data += layer.scaling * (layer.B @ layer.A).detach()
    return layer.base.weight


merged_weight = check_examples(
    "03.4",
    "the merged weight",
    right=lambda layer: layer.base.weight + layer.scaling * (layer.B @ layer.A),
    inputs=_example_layers,
    wrong={
        "your function returns None: is the `return` missing?": lambda layer: None,
        "you changed W₀ itself": _merge_in_place,
        "the scale is missing: add `layer.scaling` times B A": lambda layer: layer.base.weight + layer.B @ layer.A,
        "B A is transposed: `B @ A` has the shape of the weight already": (
            lambda layer: layer.base.weight + layer.scaling * (layer.B @ layer.A).T
        ),
        "that is only the update: add it to `layer.base.weight`": lambda layer: layer.scaling * (layer.B @ layer.A),
        "you subtracted the update: merging adds it": (
            lambda layer: layer.base.weight - layer.scaling * (layer.B @ layer.A)
        ),
    },
    formula="W₀ + s B A",
    untouched="you changed W₀ itself: the layer would now add B A a second time. Return a new matrix",
    done="right: one new matrix, and W₀ is still there to go back to",
)


def _variant(forward=None, **changes):
    """The layer with one bug: another forward, or attributes set after construction."""

    class MyLoRALayer(_Layer):
        def __init__(self, base, r, alpha):
            super().__init__(base, r, alpha)
            for name, change in changes.items():
                setattr(self, name, change(self, r, alpha))

    if forward:
        MyLoRALayer.forward = forward
    return MyLoRALayer


@check(
    "03.5",
    "the whole layer",
    right=_Layer,
    wrong={
        "W₀ is not frozen": _variant(base=lambda layer, r, alpha: layer.base.requires_grad_(True)),
        "nn.Parameter": _variant(
            A=lambda layer, r, alpha: layer._parameters.pop("A").data,
            B=lambda layer, r, alpha: layer._parameters.pop("B").data,
        ),
        "the wrong one is zero": _variant(
            A=lambda layer, r, alpha: nn.Parameter(torch.zeros_like(layer.A)),
            B=lambda layer, r, alpha: nn.Parameter(torch.randn_like(layer.B)),
        ),
        "both zero": _variant(A=lambda layer, r, alpha: nn.Parameter(torch.zeros_like(layer.A))),
        "swapped": _variant(
            A=lambda layer, r, alpha: nn.Parameter(torch.randn_like(layer.B)),
            B=lambda layer, r, alpha: nn.Parameter(torch.zeros(r, 8)),
        ),
        "differs from the base at step 0": _variant(lambda self, x: self.scaling * (x @ self.A.T @ self.B.T)),
        "the bias is lost": _variant(lambda self, x: x @ self.base.weight.T + self.scaling * (x @ self.A.T @ self.B.T)),
        "the scale is missing": _variant(lambda self, x: self.base(x) + x @ self.A.T @ self.B.T),
        "missing the / r": _variant(scaling=lambda layer, r, alpha: alpha),
        "transposed": _variant(lambda self, x: self.base(x) + self.scaling * (x @ self.B @ self.A)),
        "no gradient reaches": _variant(
            lambda self, x: self.base(x) + self.scaling * (x @ self.A.data.T @ self.B.data.T)
        ),
        "a copy": _variant(base=lambda layer, r, alpha: copy.deepcopy(layer.base)),
        "`super().__init__()`": type("NoSuper", (nn.Module,), {"__init__": lambda s, b, r, a: setattr(s, "base", b)}),
    },
    done="right: the same outputs, the same gradients, the same frozen weight as the layer of this chapter",
)
def layer(answer):
    base, x = nn.Linear(8, 8), torch.randn(5, 8)
    W0, y0 = base.weight.detach().clone(), base(x).detach()
    try:
        mine = answer(base, 2, 6)
    except AttributeError as error:
        expect("before Module.__init__" not in str(error), "call `super().__init__()` first")
        raise
    for name in ("base", "A", "B"):
        expect(hasattr(mine, name), f"the layer has no `{name}`: store it as `self.{name}`")
    expect(mine.base is base, "`self.base` is a copy of the base: wrap the layer itself, a copy costs a second W₀")
    expect(not base.weight.requires_grad, "W₀ is not frozen: `base.requires_grad_(False)`")
    names = {name for name, p in mine.named_parameters() if p.requires_grad}
    expect(names == {"A", "B"}, f"A and B must be trained: make each an nn.Parameter. Trained now: {sorted(names)}")
    shapes = tuple(mine.A.shape), tuple(mine.B.shape)
    expect(shapes != ((8, 2), (2, 8)), "A and B are swapped: A is (r, k), it comes first; B is (d, r)")
    expect(shapes == ((2, 8), (8, 2)), f"A must be (r, k) = (2, 8) and B (d, r) = (8, 2), got {shapes}")
    expect(mine.A.any() or mine.B.any(), "both zero: the layer can never learn. Draw A from a Gaussian")
    expect(mine.A.any() and not mine.B.any(), "the wrong one is zero: A is Gaussian, B is zero")
    y = mine(x)
    expect(not same(y, y0 - base.bias), "the bias is lost: call `self.base(x)` instead of multiplying by its weight")
    expect(torch.equal(y, y0), "the output differs from the base at step 0: it must be `self.base(x) + …`")
    nn.init.normal_(mine.B)
    update, y = x @ mine.A.T @ mine.B.T, mine(x) - y0
    expect(not same(y, update), "the scale is missing: the update is multiplied by alpha / r")
    expect(not same(y, 6 * update), "missing the / r: the scale is alpha / r, here 6 / 2")
    expect(not same(y, 3 * (x @ mine.B @ mine.A)), "the product is transposed: rows meet `A.T`, then `B.T`")
    expect(same(y, 3 * update), "the output differs from W₀ x + s B A x")
    expect(y.requires_grad, "no gradient reaches A and B: is there a `.data` or `.detach()` in forward?")
    expect(torch.equal(base.weight, W0), "W₀ has changed: the layer must leave it alone")


quiz = read_quiz("03", __file__)
