"""Checks of chapter 11, and the review quiz of the course."""

import torch

from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.quiz import read_quiz


def _packed(numbers, bits, block, group):
    scales = numbers / block
    return numbers * bits / 8 + scales + 4 * scales / group


packed_bytes = check_examples(
    "11.1",
    "the bytes of a packed matrix",
    right=_packed,
    inputs=[(4096 * 4096, 4, 64, 256), (4096 * 16384, 8, 128, 64), (1024 * 64, 3, 32, 16)],
    wrong={
        "bits are not bytes: eight of them make one": " / 8 → ",
        "the scales are missing: each block has one, and it takes a byte": " + scales + 4 → + 4",
        "a packed scale takes 8 bits, not 32": "+ scales + 4 → + 4 * scales + 4",
        "scales were counted in bits: 8 of them are one byte": "+ scales + 4 → + 8 * scales + 4",
        "every group of scales shares one float32": " + 4 * scales / group → ",
        "a float32 takes 4 bytes": "4 * scales → scales",
        "a group is a number of scales, not of weights": "4 * scales / group → 4 * numbers / group",
        "there is a scale for each block, not for each number": "numbers / block → numbers",
        "that many numbers stand in a block; how many blocks are there?": "numbers / block → block",
    },
    done="right: 4 bits, blocks of 64 and groups of 256 are 4.127 bits a number; with scales in float32 4.5",
)


class _PackedLoRA(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, A, B, layer, scaling):
        ctx.save_for_backward(x, A, B)
        ctx.layer, ctx.scaling = layer, scaling
        return x @ layer.weight + scaling * (x @ A.T) @ B.T

    @staticmethod
    def backward(ctx, gradient):
        x, A, B = ctx.saved_tensors
        inner = ctx.scaling * gradient @ B  # (rows, tokens, r)
        to_x = gradient @ ctx.layer.weight.T + inner @ A
        to_A = inner.flatten(0, 1).T @ x.flatten(0, 1)
        to_B = ctx.scaling * gradient.flatten(0, 1).T @ (x @ A.T).flatten(0, 1)
        return to_x, to_A, to_B, None, None


class _Unpacked:
    """A layer that counts how often its weight (in, out) is unpacked."""

    def __init__(self, weight):
        self._weight, self.times = weight, 0

    @property
    def weight(self):
        self.times += 1
        return self._weight.clone()


@check(
    "11.2",
    "LoRA on a packed weight, forward and back",
    right=_PackedLoRA,
    wrong={
        "the output is not that of the formula": "scaling * (x @ A.T) → (x @ A.T)",
        "unpacked once": (
            "ctx.layer, ctx.scaling = layer, → ctx.kept, ctx.scaling = layer.weight,",
            "x @ layer.weight → x @ ctx.kept",
            "ctx.layer.weight.T → ctx.kept.T",
        ),
        "x's gradient lacks what comes through A and B": " + inner @ A → ",
        "x's gradient lacks what comes through the packed weight": "gradient @ ctx.layer.weight.T + → ",
        "the scaling is missing on the way back to x": "inner @ A → inner @ A / ctx.scaling",
        "the scaling is missing on the way back to A": "to_A = inner. → to_A = (gradient @ B).",
        "the scaling is missing on the way back to B": "to_B = ctx.scaling * → to_B = ",
        "A's gradient is wrong": "x.flatten(0, 1)\n → x.flatten(0, 1) / len(x)\n",
        "B's gradient is wrong": "(x @ A.T).flatten → (x @ A.T).abs().flatten",
        "unpacked 3 times": "to_A = inner → ctx.layer.weight; to_A = inner",
    },
    done="right: three gradients by hand, and the weight in 32 bits lives for one product at a time",
)
def packed_lora(answer):
    product, layer = getattr(answer, "apply", answer), _Unpacked(torch.randn(6, 8))
    x, A, B = (torch.randn(*shape, requires_grad=True) for shape in ((3, 4, 6), (2, 6), (8, 2)))
    y, wanted = product(x, A, B, layer, 2.0), x @ layer._weight + 2 * x @ A.T @ B.T
    expect(y is not None, NOTHING)
    expect(same(y, wanted, 1e-4), "the output is not that of the formula: x W + scaling (x Aᵀ) Bᵀ")
    upstream = torch.randn_like(y)
    mine, right = (torch.autograd.grad(out, (x, A, B), upstream, allow_unused=True) for out in (y, wanted))
    through_W = upstream @ layer._weight.T
    expect(not same(mine[0], through_W, 1e-4), "x's gradient lacks what comes through A and B")
    expect(not same(mine[0], right[0] - through_W, 1e-4), "x's gradient lacks what comes through the packed weight")
    unscaled = ((mine[0] - through_W) * 2 + through_W, 2 * mine[1], 2 * mine[2])
    for name, got, doubled, exact in zip("xAB", mine, unscaled, right, strict=True):
        expect(not same(doubled, exact, 1e-4), f"the scaling is missing on the way back to {name}")
        expect(same(got, exact, 1e-4), f"{name}'s gradient is wrong")
    expect(layer.times > 1, "the weight was unpacked once, so it was kept for the way back: unpack it there anew")
    expect(layer.times == 2, f"the weight was unpacked {layer.times} times: forward and backward need it once each")


def _recall(answered, true):
    found = sum(a == t == "urgent" for a, t in zip(answered, true, strict=True))
    return found / true.count("urgent")


_TICKETS = [
    (["urgent", "low", "urgent", "high", "normal"], ["urgent", "urgent", "high", "high", "low"]),
    (["urgent", "urgent", "urgent", "low"], ["urgent", "low", "normal", "high"]),
    (["low", "high", "urgent", "urgent", "urgent", "low"], ["urgent", "urgent", "urgent", "urgent", "low", "low"]),
]
urgent_found = check_examples(
    "11.3",
    "urgent tickets that were found",
    right=_recall,
    inputs=_TICKETS,
    wrong={
        "that is the share of alarms that were right (precision): divide by the tickets that are urgent": (
            "/ true.count → / answered.count"
        ),
        "that is the accuracy over all tickets: look only at those that are urgent": (
            'a == t == "urgent" → a == t',
            'true.count("urgent") → len(true)',
        ),
        "that counts all alarms, false ones too": 'return found → return answered.count("urgent")',
        "divide by the number of urgent tickets, not of all": 'true.count("urgent") → len(true)',
    },
    done="right: what a support desk asks first is how many urgent tickets were missed",
)

quiz = read_quiz("11", __file__)
