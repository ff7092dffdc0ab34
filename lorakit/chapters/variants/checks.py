"""Checks and quiz of chapter 12: LoRA+'s groups, PiSSA, what VeRA trains, DoRA."""

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lorakit.by_hand import LoRALayer, weight_of
from lorakit.rivals.variants.dora import DoRALayer
from lorakit.rivals.variants.pissa import PiSSALayer
from lorakit.show.exercises import check, check_examples, expect, same
from lorakit.show.quiz import read_quiz


def _bases() -> list[nn.Module]:
    """A frozen projection 6 -> 5 with a bias, as Linear and as Conv1D."""
    linear, conv = nn.Linear(6, 5), Conv1D(5, 6)
    conv.bias.data = torch.randn(5)
    return [linear.requires_grad_(False), conv.requires_grad_(False)]


# 12.1 -- LoRA+ is an optimizer


def _groups(A: float, B: float):
    """The groups with A at lr times A, B at lr times B; "ratio" stands for the ratio."""

    def groups(layers, lr, ratio=16):
        rates = [lr * {"ratio": ratio, "1 / ratio": 1 / ratio}.get(times, times) for times in (A, B)]
        matrices = [layer.lora_A for layer in layers], [layer.lora_B for layer in layers]
        return [{"params": found, "lr": rate} for found, rate in zip(matrices, rates, strict=True) if rate]

    return groups


@check(
    "12.1",
    "two rates",
    right=_groups(1, "ratio"),
    wrong={
        "the ratio is on A": _groups("ratio", 1),
        "B learns no faster than A": _groups(1, 1),
        "both have the ratio": _groups("ratio", "ratio"),
        "A's rate was divided": _groups("1 / ratio", 1),
        "does not train": _groups(1, 0),
        "as AdamW takes them": lambda layers, lr, ratio=16: [layer.lora_A for layer in layers],
    },
    done="right: the layer is as it was. It is also LoRA with another alpha, as the next cell shows",
)
def groups(answer):
    layers = [LoRALayer(base, r=2, alpha=4) for base in _bases()]
    found = answer(layers, 0.5, 8)
    shaped = isinstance(found, list) and all(isinstance(each, dict) and "params" in each for each in found)
    expect(shaped, 'return the groups as AdamW takes them: [{"params": [...], "lr": ...}, {...}]')
    rates = {id(p): group.get("lr", 0.5) for group in found for p in group["params"]}
    for layer in layers:
        for name in ("lora_A", "lora_B"):
            expect(id(getattr(layer, name)) in rates, f"{name} of a layer is in no group, so it does not train")
        A, B = rates[id(layer.lora_A)], rates[id(layer.lora_B)]
        expect((A, B) != (4, 0.5), "the ratio is on A: B, which begins at zero, is what should move faster")
        expect((A, B) != (4, 4), "both have the ratio: that is LoRA at a higher rate")
        expect((A, B) != (0.0625, 0.5), "A's rate was divided: lr is A's, and B's is ratio times it")
        expect(A != B, "B learns no faster than A: that is LoRA")
        expect((A, B) == (0.5, 4), f"for lr 0.5 and ratio 8, A should have 0.5 and B 4; got {A:g} and {B:g}")
    expect(len(rates) == 4, "there is more in the groups than A and B")


# 12.2 -- PiSSA


def _pissa(take=slice(None, 2), scaled=True, split=0.5, rest=True, look=weight_of):
    """PiSSA with one bug."""

    class Variant(LoRALayer):
        @torch.no_grad()
        def __init__(self, base, r=4, alpha=16):
            super().__init__(base, r, alpha)
            W = look(base)
            U, S, Vh = torch.linalg.svd(W, full_matrices=False)
            S = S[take] / self.scaling if scaled else S[take]
            self.lora_A.data, self.lora_B.data = S[:, None] ** split * Vh[take], U[:, take] * S ** (1 - split)
            if rest:
                W -= self.delta_weight()

    return Variant


@check(
    "12.2",
    "PiSSA",
    right=PiSSALayer,
    wrong={
        "still holds all of W": _pissa(rest=False),
        "the layer multiplies B A by `scaling`": _pissa(scaled=False),
        "the smallest": _pissa(take=slice(-2, None)),
        "half of each singular value": _pissa(split=0),
        "transposed": _pissa(look=lambda base: base.weight),
        "A and B are LoRA's own": LoRALayer,
    },
    done="right: the first output is the base's, though neither A nor B is zero, so both have a gradient at once",
)
def pissa(answer):
    for base in _bases():
        W = weight_of(base).clone()
        layer = answer(base, 2, 6)
        expect(layer.lora_B.any(), "A and B are LoRA's own: fill them from the singular value decomposition of W")
        shapes = tuple(layer.lora_A.shape), tuple(layer.lora_B.shape)
        expect(shapes == ((2, 6), (5, 2)), f"A and B are {shapes}: a Conv1D is transposed, use weight_of(base)")
        U, S, Vh = torch.linalg.svd(W, full_matrices=False)
        update, largest = layer.delta_weight().detach(), (U[:, :2] * S[:2]) @ Vh[:2]
        expect(not same(update, (U[:, -2:] * S[-2:]) @ Vh[-2:], 1e-4), "those are the smallest directions")
        expect(not same(update, 3 * largest, 1e-4), "too large: the layer multiplies B A by `scaling`")
        expect(same(update, largest, 1e-4), "scaling · B A is not the part of W with its two largest singular values")
        norms = layer.lora_A.norm(dim=1), layer.lora_B.norm(dim=0)
        expect(same(*norms, 1e-4), "A and B should have half of each singular value: its square root in both")
        expect(not same(weight_of(base), W), "the base still holds all of W: its largest part counts twice")
        expect(same(weight_of(base) + update, W, 1e-4), "W0 + scaling · B A is not the old W: what was taken out?")
        expect(not base.weight.requires_grad, "autograd watched the subtraction: do it under torch.no_grad()")
        trains = layer.lora_A.requires_grad and layer.lora_B.requires_grad
        expect(trains, "A and B must train: write into `.data`, or make an nn.Parameter of what you put there")


# 12.3 -- what VeRA trains


def _vera(shapes, r, blocks):
    return blocks * sum(outputs + r for _, outputs in shapes)


vera = check_examples(
    "12.3",
    "what VeRA trains",
    right=_vera,
    inputs=[([(256, 1024), (1024, 256)], 1024, 4), ([(256, 768)], 64, 4), ([(4096, 4096)] * 2, 256, 32)],
    wrong={
        "that is LoRA's count: VeRA's A and B are frozen": lambda shapes, r, blocks: (
            blocks * sum(r * (inputs + outputs) for inputs, outputs in shapes)
        ),
        "d is missing: it has one number for each of the r dimensions": lambda shapes, r, blocks: (
            blocks * sum(outputs for _, outputs in shapes)
        ),
        "b stands behind B: it has one number for each output, not each input": lambda shapes, r, blocks: (
            blocks * sum(inputs + r for inputs, _ in shapes)
        ),
        "A and B are shared, the vectors are not: every block has its own": lambda shapes, r, blocks: sum(
            outputs + r for _, outputs in shapes
        ),
        "every matrix has its own d, of r numbers": lambda shapes, r, blocks: (
            blocks * (r + sum(outputs for _, outputs in shapes))
        ),
    },
    done="right: on the MLP of nano at r = 1024 13,312 numbers, a third of LoRA's at r = 4",
)

# 12.4 -- DoRA


class _Buggy(DoRALayer):
    """DoRA with one bug: another norm, axis or sum."""

    dim, detached, biased, moving, begin = 1, True, False, True, None

    def __init__(self, base, r=4, alpha=16):
        LoRALayer.__init__(self, base, r, alpha)
        norms = weight_of(base).detach().norm(dim=self.dim)
        self.magnitude = nn.Parameter(torch.ones_like(norms) if self.begin else norms)

    def forward(self, x: Tensor) -> Tensor:
        W0 = weight_of(self.base)
        norm = (W0 + self.moving * LoRALayer.delta_weight(self)).norm(dim=self.dim)
        scale = self.magnitude / (norm.detach() if self.detached else norm)
        if self.dim == 0:
            return LoRALayer.forward(self, x * scale)
        bias = 0 if self.biased else self.base.bias
        return scale * (LoRALayer.forward(self, x) - bias) + bias


def _bug(**changes):
    return type("Variant", (_Buggy,), changes)


@check(
    "12.4",
    "DoRA",
    right=DoRALayer,
    wrong={
        "the wrong axis": _bug(dim=0),
        "the bias is scaled": _bug(biased=True),
        "the norm stays that of W0": _bug(moving=False),
        "a constant for the gradient": _bug(detached=False),
        "the magnitudes must begin": _bug(begin=True),
        "no `magnitude`": LoRALayer,
    },
    done="right: PEFT's logits and gradients, to the last digits. Now a direction and a length train apart",
)
def dora(answer):
    for base in _bases():
        layer, x = answer(base, 2, 6), torch.randn(3, 4, 6)
        magnitude = getattr(layer, "magnitude", None)
        expect(isinstance(magnitude, nn.Parameter), "no `magnitude`: make it an nn.Parameter, so that it trains")
        shape = tuple(magnitude.shape)
        expect(shape != (6,), "the wrong axis: that is one an input. The norm goes over the inputs, dim=1")
        expect(shape == (5,), f"one magnitude for each output, (5,), got {shape}")
        expect(same(magnitude, weight_of(base).norm(dim=1)), "the magnitudes must begin as the norms of W0's rows")
        expect(same(layer(x), base(x)), "the first output is not the base's")
        right = DoRALayer(base, 2, 6)
        with torch.no_grad():
            for name in ("lora_A", "lora_B", "magnitude"):
                getattr(layer, name).add_(torch.rand_like(getattr(layer, name)))
                getattr(right, name).copy_(getattr(layer, name))
        zero = layer(torch.zeros(1, 6))[0]
        expect(same(zero, base.bias), "the bias is scaled too: magnitude and norm are about W alone")
        still = right.magnitude / weight_of(base).norm(dim=1)
        old = still * (LoRALayer.forward(right, x) - base.bias) + base.bias
        expect(not same(layer(x), old), "the norm stays that of W0: it is taken of W0 + ΔW, and follows every step")
        expect(same(layer(x), right(x), 1e-4), "not m · (W0 + ΔW) x / ‖W0 + ΔW‖ + b, once A, B and m have moved")
        for each in (layer, right):
            each(x).square().sum().backward()
        named = (getattr(layer, name).grad for name in ("lora_A", "lora_B", "magnitude"))
        theirs = (right.lora_A.grad, right.lora_B.grad, right.magnitude.grad)
        expect(
            all(mine is not None and same(mine, other, 1e-3) for mine, other in zip(named, theirs, strict=True)),
            "the output is right, the gradient is not: the norm is a constant for the gradient (section 4.3)",
        )


quiz = read_quiz("12", __file__)
