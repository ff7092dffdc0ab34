"""Checks and quiz of chapter 03."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lorakit.by_hand import LoRALayer
from lorakit.show.exercises import check, check_examples, expect, same
from lorakit.show.quiz import read_quiz

# 03.1 -- the layer


@check(
    "03.1",
    "the layer",
    right=LoRALayer,
    wrong={
        "`super().__init__()`": "super().__init__() → pass",
        "the layer has no `scaling`": (", self.scaling = → =", ", alpha / r → "),
        "a copy": ("super() → from copy import deepcopy\n        super()", "= base, → = deepcopy(base),"),
        "nn.Parameter": "nn.Parameter( → (",
        "A and B are swapped": ("randn(r, k) → randn(d, r)", "zeros(d, r) → zeros(r, k)"),
        "both zero": "torch.randn(r, k) → torch.zeros(r, k)",
        "the wrong one is zero": ("torch.randn(r, k) → torch.zeros(r, k)", "torch.zeros(d, r) → torch.randn(d, r)"),
        "differs from the base at step 0": "self.base(x) +  → ",
        "the bias is lost": "self.base(x) → x @ self.base.weight.T",
        "the scale is missing": "self.scaling * up → up",
        "missing the / r": "alpha / r → alpha",
        "transposed": (
            "linear(x, self.lora_A → linear(x, self.lora_B.T",
            "linear(down, self.lora_B → linear(down, self.lora_A.T",
        ),
        "no gradient reaches": ("self.lora_A) → self.lora_A.data)", "self.lora_B) → self.lora_B.data)"),
        "no gradient passes the base": "self.base(x) → torch.no_grad()(self.base)(x)",
        "`delta_weight` lacks the scale": "self.scaling * self.lora_B → self.lora_B",
        "`delta_weight` is transposed": "self.lora_B @ self.lora_A → (self.lora_B @ self.lora_A).T",
        "forms the full d × k matrix": "self.scaling * up → x @ self.delta_weight().T",
        "`//` cuts it": "alpha / r → alpha // r",
        "standard deviation": "/ k**0.5 → * k**0.5",
        "d and k are swapped": "d, k = → k, d =",
        "ask `weight_of(base)`": "weight_of(base) → base.weight",
    },
    done="right: the same outputs, the same gradients, the same frozen weight as the layer of the reference",
)
def layer(answer):
    base, x = nn.Linear(8, 8).requires_grad_(False), torch.randn(5, 8, requires_grad=True)  # square: every mix-up runs
    W0, y0 = base.weight.clone(), base(x).detach()
    try:
        mine = answer(base, 2, 7)  # 7 / 2, which `//` would cut
    except AttributeError as error:
        expect("before Module.__init__" not in str(error), "call `super().__init__()` first")
        raise
    for name in ("base", "r", "alpha", "scaling", "lora_A", "lora_B"):
        expect(hasattr(mine, name), f"the layer has no `{name}`: store it as `self.{name}`")
    expect(mine.base is base, "`self.base` is a copy of the base: wrap the layer itself, a copy costs a second W₀")
    _start(mine)
    y = mine(x)
    expect(not same(y, y0 - base.bias), "the bias is lost: call `self.base(x)` instead of multiplying by its weight")
    expect(torch.equal(y, y0), "the output differs from the base at step 0: it must be `self.base(x) + …`")
    nn.init.normal_(mine.lora_B)
    update, y = x @ mine.lora_A.T @ mine.lora_B.T, mine(x) - y0
    expect(not same(y, update), "the scale is missing: the update is multiplied by alpha / r")
    expect(not same(y, 7 * update), "missing the / r: the scale is alpha / r, here 7 / 2")
    expect(not same(y, 3.5 * (x @ mine.lora_B @ mine.lora_A)), "the product is transposed: rows meet `A.T`, then `B.T`")
    expect(not same(y, 3 * update), "alpha / r is a fraction: `//` cuts it")
    expect(
        same(y, 3.5 * update), "the output is not W₀ x + s B A x: take r and alpha from `self`, not from the notebook"
    )
    _gradients(mine, x)
    delta = 3.5 * (mine.lora_B @ mine.lora_A)
    expect(not same(3.5 * mine.delta_weight(), delta), "`delta_weight` lacks the scale: it is s B A")
    expect(not same(mine.delta_weight(), delta.T), "`delta_weight` is transposed: s B A is (d, k), as it stands")
    expect(same(mine.delta_weight(), delta), "`delta_weight` is not s B A")
    expect(torch.equal(base.weight, W0), "W₀ has changed: the layer must leave it alone")
    _shapes_and_size(answer)


def _start(mine):
    trained = {name for name, p in mine.named_parameters() if p.requires_grad}
    words = f"only lora_A and lora_B train: make each an nn.Parameter. Trained now: {sorted(trained)}"
    expect(trained == {"lora_A", "lora_B"}, words)
    shapes = tuple(mine.lora_A.shape), tuple(mine.lora_B.shape)
    expect(shapes != ((8, 2), (2, 8)), "A and B are swapped: A is (r, k), it comes first; B is (d, r)")
    expect(shapes == ((2, 8), (8, 2)), f"A must be (r, k) = (2, 8) and B (d, r) = (8, 2), got {shapes}")
    expect(mine.lora_A.any() or mine.lora_B.any(), "both zero: the layer can never learn. Draw A from a Gaussian")
    expect(mine.lora_A.any() and not mine.lora_B.any(), "the wrong one is zero: A is Gaussian, B is zero")


def _gradients(mine, x):
    y = mine(x)
    to = (mine.lora_A, mine.lora_B, x)
    found = torch.autograd.grad(y.sum(), to, allow_unused=True) if y.requires_grad else (None, None, None)
    reached = found[0] is not None and found[1] is not None
    expect(reached, "no gradient reaches A and B: is there a `.data`, a `.detach()` or a `no_grad` in forward?")
    wanted = (mine.base.weight + 3.5 * mine.lora_B @ mine.lora_A).sum(0).expand_as(x)
    words = "no gradient passes the base: a frozen weight needs none, the layers before this one do. No `no_grad` here"
    expect(same(found[2], wanted), words)


def _shapes_and_size(answer):
    """On a layer that is not square: what it costs, how A starts, and whether another kind of layer will do."""
    mine = answer(nn.Linear(400, 300).requires_grad_(False), 50, 6)
    expect(mine.lora_A.shape == (50, 400), "d and k are swapped: `weight_of(base)` is (d, k), outputs × inputs")
    with FlopCounterMode(display=False) as counter:
        mine(torch.randn(20, 400))
    least = 2 * 20 * (400 * 300 + 50 * 700)
    done = counter.get_total_flops()
    expect(done <= least, f"forward forms the full d × k matrix: {done:,} operations where {least:,} do")
    std = float(mine.lora_A.detach().std()) * 400**0.5
    expect(0.5 < std < 1.2, f"A's standard deviation is {std:.3g} / √k: divide by √k, so that A x is as large as x")
    words = "right for nn.Linear. Now ask `weight_of(base)` for the shape, and chapter 04 can use the layer on GPT-2"
    expect("weight_of" in answer.__init__.__code__.co_names, words)


# 03.2 -- rsLoRA is LoRA with another alpha

plain_alpha = check_examples(
    "03.2",
    "one recipe in two notations",
    right=128,
    wrong={
        "16 is the recipe's own: divided by 64 it gives 0.25, divided by √64 it gave 2": 16,
        "2 is the factor in front of B A; which alpha gives 2 after the division by r?": 2,
        "1,024 = 16 · 64 would take the division away altogether": 1024,
        "upside down: alpha has to grow, since r divides more than √r": 2.0 / 64,
    },
    done="right: 128 / 64 = 16 / √64. rsLoRA with alpha *is* LoRA with alpha · √r, so at one rank the two are one",
)

# 03.3 -- four bugs in one layer


class Mended(nn.Module):
    """The layer for Conv1D with dropout."""

    def __init__(self, base, r=8, alpha=16, dropout=0.1):
        super().__init__()
        k, d = base.weight.shape
        self.base, self.scaling, self.dropout = base.requires_grad_(False), alpha / r, dropout
        self.lora_A = nn.Parameter(torch.randn(r, k) / k**0.5)
        self.lora_B = nn.Parameter(torch.zeros(d, r))

    def forward(self, x):
        dropped = F.dropout(x, self.dropout, self.training)
        return self.base(x) + self.scaling * (dropped @ self.lora_A.T @ self.lora_B.T)

    def merged_weight(self):
        return self.base.weight + self.scaling * (self.lora_B @ self.lora_A).T


@check(
    "03.3",
    "four bugs in one layer",
    right=Mended,
    wrong={
        "at twice the rank": "alpha / r → alpha",
        "layers before this one": "self.base(x) → torch.no_grad()(self.base)(x)",
        "the base is not frozen any more": "base.requires_grad_(False) → base",
        "the merged and the unmerged layer disagree": "@ self.lora_A).T → @ self.lora_A)",
        "every row loses the same inputs": "F.dropout(x, → x * F.dropout(torch.ones(x.shape[-1]),",
        "each row loses all its inputs or none": "F.dropout(x, → x * F.dropout(torch.ones(len(x), 1),",
        "dropout is gone": "x, self.dropout → x, 0.0",
        "it must be at rest": "self.training → True",
        "the frozen path": "self.base(x) → self.base(dropped)",
    },
    done="right. None of the four raised an error: only a test could see them",
)
def bugs(answer):
    from transformers.pytorch_utils import Conv1D

    base, x = Conv1D(8, 8), torch.randn(5, 8, requires_grad=True)
    y0, mine = base(x).detach(), answer(base, 2, 6, 0.5).eval()
    nn.init.normal_(mine.lora_B)
    update = x @ mine.lora_A.T @ mine.lora_B.T
    frozen = not any(p.requires_grad for p in base.parameters())
    expect(frozen, "the base is not frozen any more: that line was no bug")
    expect(not same(mine(x) - y0, 6 * update), "at twice the rank the update is twice as large: look at the scale")
    expect(same(mine(x), mine(x)), "two calls in `eval()` differ: dropout is for training, here it must be at rest")
    expect(same(mine(x) - y0, 3 * update), "in `eval()` the output is not x W₀ + b + s B A x, s = alpha / r")
    (grad,) = torch.autograd.grad(mine(x).sum(), x)
    wanted = (base.weight + 3 * (mine.lora_B @ mine.lora_A).T).sum(1).expand_as(x)
    expect(same(grad, wanted), "the gradient at x is wrong: layers before this one would learn from the adapter alone")
    merged = x @ mine.merged_weight() + base.bias
    expect(same(merged, mine(x)), "the merged and the unmerged layer disagree, on a square one too: see the layout")
    mine.train()
    many = torch.ones(64, 8)
    outputs = (mine(many) - base(many)).detach()
    expect(not same(mine(many), mine(many)), "dropout is gone: in training, entries of the adapter's input are zeroed")
    expect(outputs.std(0).max() > 1e-4, "every row loses the same inputs: one mask is used for all of them")
    kinds = outputs.round(decimals=3).unique(dim=0)  # of rows
    expect(len(kinds) > 4, "each row loses all its inputs or none (or A x was dropped, not x): draw for each entry")
    mine.lora_B.data.zero_()
    expect(same(mine(many), base(many)), "dropout acts on the frozen path: drop the adapter's input only")


quiz = read_quiz("03", __file__)
