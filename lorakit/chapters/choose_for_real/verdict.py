"""The verdict on the student's own LoRA (workbook/my_lora.py): what holds, and where it does not the likely bug.

Each property is a function of the module that `show.my_lora` gives, and stops with `expect(holds, likely bug)`. One
whose parts are not the student's own is not judged, so what nobody wrote scores nothing.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import pandas as pd
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lorakit import by_hand
from lorakit.lab.bases.load import load_base
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.show.exercises import expect, judged, same
from lorakit.show.my_lora import PARTS, my_lora
from lorakit.study.parameters import Decoder

PROPERTIES: list[tuple[str, tuple[str, ...], Callable[[ModuleType], None]]] = []
PAIRS = [("say a:", " a b"), ("say something longer:", " c")]


def holds(says: str, *parts: str):
    """Decorator: a property, in words, and the parts that it judges."""

    def register(judge):
        PROPERTIES.append((says, parts, judge))
        return judge

    return register


def verdict(mine: ModuleType | None = None) -> pd.DataFrame:
    """A row for each property: chapter, verdict (✓, ✗, or – where the part is not the student's), likely bug."""
    mine = my_lora(quiet=True) if mine is None else mine
    rows = {}
    for says, parts, judge in PROPERTIES:
        if missing := [part for part in parts if part not in mine.yours]:
            mark, bug = "–", f"{missing[0]} is not yours yet"
        else:
            state, bug = judged(judge, mine)
            mark = "✓" if state == "passed" else "✗"
        rows[says] = [PARTS[parts[0]], mark, bug.partition("\n")[0]]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["chapter", "verdict", "likely bug"])


# -- what the properties look at


def two_layers(mine, touched: bool = True) -> tuple[nn.Module, nn.Module]:
    """A Linear and a Conv1D in a row, plain and with LoRA around each; `touched`: B is no longer zero."""
    plain = nn.Sequential(nn.Linear(6, 9), Conv1D(4, 9))
    around = nn.Sequential(*plain)
    mine.inject(around, ("0", "1"), r=2, alpha=7)
    if touched:
        for layer in around:
            nn.init.normal_(layer.lora_B)
    return plain, around


@cache
def nano():
    """The bundled base in eval mode, and its tokenizer; nothing here changes them."""
    model, tokenizer = load_base("nano", device="cpu")
    return model.eval(), tokenizer


def tiny() -> nn.Module:
    return random_gpt2(Decoder(layers=2, width=32, heads=2, vocabulary=4096, context=64, inner=128), dropout=0.0)


def tiny_adapted(mine, *more: str) -> nn.Module:
    """A tiny GPT-2, the same every time, with LoRA on c_attn (and more) whose B is not zero."""
    model = mine.inject(tiny(), ("c_attn", *more), r=2, alpha=6)
    for layer in mine.lora_layers(model).values():
        nn.init.normal_(layer.lora_B)
    return model


IDS = torch.arange(2, 14).view(2, 6)


# -- the layer (chapter 03)


@holds("a fresh layer gives the base's output, bit for bit", "LoRALayer")
def _(mine):
    plain, adapted = two_layers(mine, touched=False)
    x = torch.randn(5, 6)
    expect(torch.equal(plain(x), adapted(x)), "B is not zero at the start, or the base is not called as it is")


@holds("A is (r, k), B is (d, r)", "LoRALayer")
def _(mine):
    layer = two_layers(mine)[1][0]
    expect(tuple(layer.lora_A.shape) == (2, 6), "A comes first: from k inputs to r numbers")
    expect(tuple(layer.lora_B.shape) == (9, 2), "B goes up: from r numbers to d outputs")


@holds("A starts random, B at zero", "LoRALayer")
def _(mine):
    layer = two_layers(mine, touched=False)[1][0]
    expect(layer.lora_A.any(), "both zero: neither ever gets a gradient")
    expect(not layer.lora_B.any(), "the wrong one is zero")


@holds("the update is scaled by alpha / r", "LoRALayer")
def _(mine):
    plain, adapted = two_layers(mine)
    x = torch.randn(5, 6)
    moved, update = adapted[0](x) - plain[0](x), x @ adapted[0].lora_A.T @ adapted[0].lora_B.T
    expect(not same(moved, update), "the scale is missing")
    expect(not same(moved, 7 * update), "alpha without / r")
    expect(same(moved, 3.5 * update, 1e-4), "the update is not scaling · B A x")


@holds("A and B get gradients, the base none", "LoRALayer", "inject")
def _(mine):
    adapted = two_layers(mine)[1]
    adapted(torch.randn(5, 6)).square().sum().backward()
    for layer in adapted:
        expect(layer.base.weight.grad is None, "the base is not frozen: requires_grad_(False)")
        expect(layer.lora_A.grad is not None and layer.lora_A.grad.any(), "no gradient reaches A: is there a .data?")


@holds("frozen is not no_grad: a gradient passes through the base", "LoRALayer")
def _(mine):
    x = torch.randn(5, 6, requires_grad=True)
    two_layers(mine, touched=False)[1](x).sum().backward()
    expect(x.grad is not None and x.grad.any(), "the base runs under no_grad: layers below would never learn")


@holds("delta_weight is scaling · B A, (d, k)", "LoRALayer")
def _(mine):
    layer = two_layers(mine)[1][0]
    expect(same(layer.delta_weight(), 3.5 * layer.lora_B @ layer.lora_A), "the scale, or the order of B and A")


# -- into a model (chapter 04)


@holds("a Conv1D's weight is seen as (d, k)", "weight_of")
def _(mine):
    layer = Conv1D(4, 9)
    expect(tuple(mine.weight_of(layer).shape) == (4, 9), "GPT-2's Conv1D stores (k, d): transpose it")
    expect(tuple(mine.weight_of(nn.Linear(9, 4)).shape) == (4, 9), "nn.Linear stores (d, k): leave it")
    expect(torch.equal(mine.weight_of(Conv1D(5, 5)).T, Conv1D(5, 5).weight) is False, "look at the type, not the shape")


@holds("inject takes the targets and nothing else", "inject")
def _(mine):
    found = set(mine.lora_layers(tiny_adapted(mine)))
    expect(found, "no layer was replaced: setattr on the parent module")
    expect(found == {f"transformer.h.{i}.attn.c_attn" for i in (0, 1)}, f"it took {sorted(found)[:3]}")
    alike = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("c_attn", "xc_attn")})
    found = set(mine.lora_layers(mine.inject(alike, ("c_attn",))))
    expect(found == {"c_attn"}, "it took `xc_attn` for `c_attn`: a target is a whole path, or its end behind a dot")


@holds("inject freezes all but A and B", "inject")
def _(mine):
    left = [name for name, p in tiny_adapted(mine).named_parameters() if p.requires_grad and "lora_" not in name]
    expect(not left, f"{len(left)} tensors of the base still train, {left[:1]}")


# -- training and answering (chapter 05)


@holds("the loss counts the answer and its end alone", "collate")
def _(mine):
    got, right = (made.collate(PAIRS, nano()[1])["labels"] for made in (mine, by_hand))
    expect(got.shape[1] != right.shape[1] - 1, "the end-of-text token is missing behind the answers")
    expect(got.shape == right.shape, f"a row of labels should hold {right.shape[1]}, as many as the longest example")
    counted = right != -100
    expect(same(got[counted], right[counted]), "answer or end-of-text is missing from the labels")
    expect((got[0, : counted[0].int().argmax()] == -100).all(), "the prompt is not masked with -100")
    expect((got[~counted] == -100).all(), "padding is not masked with -100")


@holds("padding is not attended to", "collate")
def _(mine):
    batch = mine.collate(PAIRS, nano()[1])
    expect(len({tuple(tensor.shape) for tensor in batch.values()}) == 1, "rows of one length: pad the shorter ones")
    expect(not batch["attention_mask"].all(), "the attention mask is 1 on padding")


@holds("training moves A and B and no bit of the base", "train", "inject")
def _(mine):
    tokenizer, model = nano()[1], mine.inject(tiny(), ("c_attn",), r=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = mine.train(model, tokenizer, PAIRS, steps=8, batch=2, lr=1e-2)
    expect(losses and losses[-1] < losses[0], "the loss does not fall: step() and zero_grad() in every round?")
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    expect(moved, "nothing moved: does the optimizer have A and B?")
    expect(all("lora_" in name for name in moved), f"the base moved: {moved[0]}")


@holds("the same seed gives the same losses", "train")
def _(mine):
    def losses():
        torch.manual_seed(0)
        return mine.train(tiny_adapted(mine), nano()[1], PAIRS, steps=3, batch=1, seed=1)

    expect(losses() == losses(), "the order of the examples does not come from the seed")


@holds("answers are the likeliest tokens, up to the end", "answer")
def _(mine):
    prompt = "table: city (name, country)\nquestion:"
    got, right = (made.answer(*nano(), prompt, 12) for made in (mine, by_hand))
    expect(not got.startswith(prompt[:10]), "the prompt is part of the answer")
    expect(got.strip() == right.strip(), f"{got[:20]!r} where greedy decoding writes {right[:20]!r}")


# -- files (chapter 05)


@holds("a saved adapter loads into a fresh base with the same logits", "save", "load")
def _(mine):
    model = tiny_adapted(mine)
    with tempfile.TemporaryDirectory() as folder:
        mine.save(model, folder)
        again = mine.load(tiny(), folder)
    expect(mine.lora_layers(again), "load put no layer into the model")
    expect(torch.equal(model(IDS).logits, again(IDS).logits), "other logits: A, B or alpha / r was lost on the way")


@holds("PEFT reads the file and gives the same logits", "save")
def _(mine):
    expect(find_spec("peft"), "PEFT is not installed here")
    from peft import PeftModel

    model = tiny_adapted(mine, "c_fc")
    with tempfile.TemporaryDirectory() as folder:
        mine.save(model, folder)
        theirs = PeftModel.from_pretrained(tiny(), folder).eval()
    expect(
        same(theirs(IDS).logits, model(IDS).logits, 1e-5), "PEFT finds other keys, or another r, alpha or orientation"
    )


# -- merged (chapter 09), many at once (chapter 10)


@holds("merged, the model is plain again and says the same", "merge")
def _(mine):
    model = two_layers(mine)[1]
    x = torch.randn(5, 6)
    before = model(x)
    mine.merge(model)
    expect(not mine.lora_layers(model), "a LoRALayer still stands in the model")
    expect(same(model(x), before, 1e-4), "another answer: W0 + scaling · B A in each layer, transposed for a Conv1D")


@holds("unmerged, every bit of the base is back", "merge", "unmerge")
def _(mine):
    model = two_layers(mine)[1]
    layers = list(model)
    before = [layer.base.weight.detach().clone() for layer in layers]
    mine.unmerge(model, mine.merge(model))
    expect(list(model) == layers, "the layers are not back")
    pairs = zip(layers, before, strict=True)
    expect(all(torch.equal(layer.base.weight, W) for layer, W in pairs), "subtracting leaves rounding: keep W0")


@holds("each row of a batch through its own adapter, as if alone", "ManyLoRA")
def _(mine):
    base = nn.Linear(6, 9)
    layers = [mine.LoRALayer(base, 2, 6) for _ in range(3)]
    for layer in layers:
        nn.init.normal_(layer.lora_B)
    many, x = mine.ManyLoRA(layers), torch.randn(4, 5, 6)
    many.which = torch.tensor([2, 0, 0, 1])
    alone = torch.stack([layers[i](row) for i, row in zip(many.which.tolist(), x, strict=True)])
    expect(same(many(x), alone, 1e-4), "a row meets another's A or B, or the scaling is missing")
