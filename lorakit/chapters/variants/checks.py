"""Checks and quiz of chapter 12: LoRA+'s groups, PiSSA, what VeRA trains, DoRA."""

import torch
from torch import nn
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


def _groups(layers, lr, ratio=16):
    A, B = [layer.lora_A for layer in layers], [layer.lora_B for layer in layers]
    return [{"params": A, "lr": lr}, {"params": B, "lr": lr * ratio}]


@check(
    "12.1",
    "two rates",
    right=_groups,
    wrong={
        "the ratio is on A": "A, B = → B, A =",
        "B learns no faster than A": "lr * ratio → lr",
        "both have the ratio": '"lr": lr} → "lr": lr * ratio}',
        "A's rate was divided": ("lr * ratio → lr", '"params": A, "lr": lr → "params": A, "lr": lr / ratio'),
        "does not train": ', {"params": B, "lr": lr * ratio} → ',
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


@check(
    "12.2",
    "PiSSA",
    right=PiSSALayer,
    wrong={
        "still holds all of W": "W -= self.delta_weight() → pass",
        "the layer multiplies B A by `scaling`": " / self.scaling → ",
        "the smallest": ":r] → -r:]",
        "half of each singular value": ("root[:, None] *  → ", "* root → * root**2"),
        "transposed": "weight_of(base) → base.weight",
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
    return blocks * sum(outputs + r for inputs, outputs in shapes)


vera = check_examples(
    "12.3",
    "what VeRA trains",
    right=_vera,
    inputs=[([(256, 1024), (1024, 256)], 1024, 4), ([(256, 768)], 64, 4), ([(4096, 4096)] * 2, 256, 32)],
    wrong={
        "that is LoRA's count: VeRA's A and B are frozen": "outputs + r → r * (inputs + outputs)",
        "d is missing: it has one number for each of the r dimensions": "outputs + r → outputs",
        "b stands behind B: it has one number for each output, not each input": "outputs + r → inputs + r",
        "A and B are shared, the vectors are not: every block has its own": "blocks *  → ",
        "every matrix has its own d, of r numbers": "sum(outputs + r for inputs, outputs in shapes) → "
        "(r + sum(outputs for _, outputs in shapes))",
    },
    done="right: on the MLP of nano at r = 1024 13,312 numbers, a third of LoRA's at r = 4",
)

# 12.4 -- DoRA


@check(
    "12.4",
    "DoRA",
    right=DoRALayer,
    wrong={
        "the wrong axis": "dim=1 → dim=0",
        "the bias is scaled": " - bias) + bias → )",
        "the norm stays that of W0": "(weight_of(self.base) + super().delta_weight()).detach() → weight_of(self.base)",
        "a constant for the gradient": "delta_weight()).detach() → delta_weight())",
        "the magnitudes must begin": "nn.Parameter(weight_of → nn.Parameter(2 * weight_of",
        "no `magnitude`": LoRALayer,
    },
    done="right: PEFT's logits and gradients, to the last digits. Now a direction and a length train apart",
)
def dora(answer):
    for base in (*_bases(), nn.Linear(6, 5, bias=False).requires_grad_(False)):
        layer, x = answer(base, 2, 6), torch.randn(3, 4, 6)
        bias = torch.zeros(5) if base.bias is None else base.bias
        magnitude = getattr(layer, "magnitude", None)
        expect(isinstance(magnitude, nn.Parameter), "no `magnitude`: make it an nn.Parameter, so that it trains")
        shape = tuple(magnitude.shape)
        expect(shape != (6,), "the wrong axis: that is one an input. Take dim=1 of `weight_of(base)`, over the inputs")
        expect(shape == (5,), f"one magnitude for each output, (5,), got {shape}")
        expect(same(magnitude, weight_of(base).norm(dim=1)), "the magnitudes must begin as the norms of W0's rows")
        expect(same(layer(x), base(x)), "the first output is not the base's")
        right = DoRALayer(base, 2, 6)
        with torch.no_grad():
            for name in ("lora_A", "lora_B", "magnitude"):
                getattr(layer, name).add_(torch.rand_like(getattr(layer, name)))
                getattr(right, name).copy_(getattr(layer, name))
        zero = layer(torch.zeros(1, 6))[0]
        expect(same(zero, bias), "the bias is scaled too: magnitude and norm are about W alone")
        still = right.magnitude / weight_of(base).norm(dim=1)
        old = still * (LoRALayer.forward(right, x) - bias) + bias
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
