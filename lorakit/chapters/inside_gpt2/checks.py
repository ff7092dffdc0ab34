"""Checks and quiz of chapter 04: inside GPT-2."""

import torch
from torch import nn

from lorakit.by_hand import LoRALayer, inject, put, weight_of
from lorakit.core.targets import is_projection, matches_name
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.show.exercises import check, check_examples, expect, same
from lorakit.show.quiz import read_quiz
from lorakit.study.parameters import Decoder

# 04.1 -- the weight of either kind of layer as (d, k)


def _layers():
    """Of either kind, square and rectangular."""
    from transformers.pytorch_utils import Conv1D

    return [(layer,) for layer in (Conv1D(6, 6), Conv1D(12, 4), Conv1D(4, 12), nn.Linear(6, 6), nn.Linear(12, 4))]


def _is_a_view(answer):
    for (layer,) in _layers():
        expect(
            answer(layer).data_ptr() == layer.weight.data_ptr(),
            "the right numbers, in a copy. Return a view, as `.T` gives it: merging will write into it (chapter 09)",
        )


weight = check_examples(
    "04.1",
    "the weight as (d, k)",
    right=weight_of,
    inputs=_layers,
    wrong={
        "Conv1D is transposed: its weight is (k, d), return (d, k)": lambda layer: layer.weight,
        "`nn.Linear` is not transposed: its weight is (d, k) already": lambda layer: layer.weight.T,
        "the shape cannot tell the two kinds apart: ask `isinstance(layer, nn.Linear)`": lambda layer: (
            layer.weight.T if layer.weight.shape[0] < layer.weight.shape[1] else layer.weight
        ),
        "`reshape` and `view` do not transpose: they keep the numbers in reading order. Use `.T`": lambda layer: (
            layer.weight if isinstance(layer, nn.Linear) else layer.weight.reshape(layer.weight.shape[::-1])
        ),
        "in a copy": lambda layer: weight_of(layer).clone(),
        "your function returns None: is the `return` missing?": lambda layer: None,
    },
    also=_is_a_view,
    done="right, on square and on rectangular layers. Your LoRALayer of chapter 03 now fits GPT-2",
)


# 04.2 -- into a model


def _inject(fits=lambda path, name: path == name or path.endswith("." + name), freeze="first", place=put, layer=None):
    """`inject`, wrong in one way."""

    def made(model, targets, r=8, alpha=16):
        if freeze == "first":
            model.requires_grad_(False)
        for path, module in list(model.named_modules()):
            if any(fits(path, name) for name in targets):
                place(model, path, layer(module) if layer else LoRALayer(module, r, alpha))
        if freeze == "last":
            model.requires_grad_(False)
        return model

    return made


SHAPE = Decoder(layers=2, width=8, heads=2, vocabulary=16, context=8, inner=32)


def _gpt2():
    torch.manual_seed(0)
    return random_gpt2(SHAPE)


def _adapted(model) -> set[str]:
    return {path for path, module in model.named_modules() if hasattr(module, "lora_A")}


@check(
    "04.2",
    "inject",
    right=inject,
    wrong={
        "your function returns None": lambda model, targets, r=8, alpha=16: inject(model, targets, r, alpha) and None,
        "no layer was put in": lambda model, targets, r=8, alpha=16: model.requires_grad_(False),
        "with dots": _inject(place=setattr),
        "a whole path": _inject(lambda path, name: path == name),
        "a whole name": _inject(lambda path, name: path.endswith(name)),
        "a path without a dot": _inject(lambda path, name: path.endswith("." + name)),
        "the base is not frozen": _inject(freeze="never"),
        "freeze first": _inject(freeze="last"),
        "r and alpha": _inject(layer=LoRALayer),
    },
    done="right: seven lines, and they are the whole of it",
)
def put_in(answer):
    model, ids = _gpt2(), torch.arange(6)[None]
    before = model(ids).logits
    got = answer(model, ("c_attn",), 2, 6)
    expect(got is not None, "your function returns None: is the `return model` missing?")
    paths = [f"transformer.h.{i}.attn.c_attn" for i in (0, 1)]
    dotted = any("." in name for name, _ in got.named_children())
    expect(
        not dotted, "a child of the model is now called by a name with dots: `setattr` belongs to the module's *parent*"
    )
    expect(
        _adapted(got), "no layer was put in: is a path compared with a whole path? A target may be its end, after a dot"
    )
    expect(_adapted(got) == set(paths), f'"c_attn" should give {paths}, you have {sorted(_adapted(got))}')
    trained = {name for name, p in got.named_parameters() if p.requires_grad}
    expect(trained, "nothing trains: freeze first, then put the layers in, or their A and B are frozen too")
    expect(
        all(".lora_" in name for name in trained),
        "the base is not frozen: `model.requires_grad_(False)`, embeddings too",
    )
    first = got.get_submodule(paths[0])
    expect(
        tuple(first.lora_A.shape) == (2, 8) and tuple(first.lora_B.shape) == (24, 2) and first.scaling == 3,
        "r and alpha are not passed on to LoRALayer",
    )
    expect(torch.equal(got(ids).logits, before), "the logits have changed at step 0")
    expect(not _adapted(answer(_gpt2(), ("fc",), 2, 6)), 'a target is a whole name: "fc" must not hit `c_fc`')
    alone = answer(nn.Sequential(nn.Linear(4, 4)), ("0",), 2, 6)
    expect(_adapted(alone) == {"0"}, "a path without a dot is missed: it may be equal to the name")


# 04.3 -- a layer for the q and v slices of c_attn


class SliceLoRA(nn.Module):
    """An adapter each on the q and the v slice of a fused c_attn."""

    def __init__(self, base, r=8, alpha=16):
        super().__init__()
        d = weight_of(base).shape[1]
        self.base, self.scaling = base, alpha / r
        self.lora_A = nn.Parameter(torch.randn(2, r, d) / d**0.5)  # of q, of v
        self.lora_B = nn.Parameter(torch.zeros(2, d, r))

    def forward(self, x):
        q, k, v = self.base(x).chunk(3, dim=-1)
        q = q + self.scaling * (x @ self.lora_A[0].T @ self.lora_B[0].T)
        v = v + self.scaling * (x @ self.lora_A[1].T @ self.lora_B[1].T)
        return torch.cat([q, k, v], dim=-1)


def _sliced(places=(0, 2), factors=(0, 1), scale=None, pieces=3, **changes):
    """The layer, wrong in one way: which slices it moves, with which A, by which factor; or `changes` of attributes."""

    class Variant(SliceLoRA):
        def __init__(self, base, r=8, alpha=16):
            super().__init__(base, r, alpha)
            for name, change in changes.items():
                setattr(self, name, change(self))

        def forward(self, x):
            out = list(self.base(x).chunk(3, dim=-1))
            for place, i, a in zip(places, (0, 1), factors, strict=True):
                update = x @ self.lora_A[a].T @ self.lora_B[i].T
                out[place] = out[place] + (self.scaling if scale is None else scale) * update
            return torch.cat(out[:pieces] if pieces == 3 else [out[0], out[2]], dim=-1)

    return Variant


@check(
    "04.3",
    "a layer for two slices",
    right=SliceLoRA,
    wrong={
        "the update of v landed on k": _sliced(places=(0, 1)),
        "q and v have changed places": _sliced(places=(2, 0)),
        "v uses the A of q": _sliced(factors=(0, 0)),
        "the scale is missing": _sliced(scale=1),
        "missing the / r": _sliced(scale=6),
        "k is gone": _sliced(pieces=2),
        "lora_A must be (2, r, d)": _sliced(lora_A=lambda self: nn.Parameter(self.lora_A[0].detach())),
        "lora_B starts at zero": _sliced(lora_B=lambda self: nn.Parameter(torch.randn_like(self.lora_B))),
    },
    done="right: this is what loralib's MergedLinear and lorakit's slices compute",
)
def slices(answer):
    from transformers.pytorch_utils import Conv1D

    base, x, d = Conv1D(24, 8).requires_grad_(False), torch.randn(2, 5, 8), 8
    nn.init.normal_(base.bias)
    y0, mine = base(x), answer(base, 2, 6)
    for name, shape, words in (("lora_A", (2, 2, d), "(2, r, d)"), ("lora_B", (2, d, 2), "(2, d, r)")):
        got = getattr(mine, name, None)
        expect(isinstance(got, nn.Parameter), f"the layer has no parameter `{name}`")
        expect(tuple(got.shape) == shape, f"{name} must be {words} = {shape}, an entry each for q and v")
    expect(not mine.lora_B.any(), "lora_B starts at zero")
    y = mine(x)
    expect(y.shape[-1] != 16, "k is gone: the output must be q, k and v side by side")
    expect(same(y, y0), "the output differs from the base at step 0")
    nn.init.normal_(mine.lora_B)
    q, v = (x @ mine.lora_A[i].T @ mine.lora_B[i].T for i in (0, 1))
    y, zero = mine(x) - y0, torch.zeros_like(q)

    def moved(*pieces, scale=3):
        return same(y, scale * torch.cat(pieces, dim=-1))

    expect(not moved(q, v, zero), "the update of v landed on k: the order in c_attn is q, k, v")
    expect(not moved(v, zero, q), "q and v have changed places")
    expect(not moved(q, zero, v, scale=1), "the scale is missing: each update is multiplied by alpha / r")
    expect(not moved(q, zero, v, scale=6), "missing the / r: the scale is alpha / r, here 6 / 2")
    expect(not moved(q, zero, x @ mine.lora_A[0].T @ mine.lora_B[1].T), "v uses the A of q: each slice has its own")
    expect(moved(q, zero, v), "the output is not c_attn's with s B A x added to q and to v")
    reached = torch.autograd.grad(mine(x).sum(), (mine.lora_A, mine.lora_B))
    expect(all(g.any() for g in reached), "no gradient reaches A and B")


# 04.4 -- names that PEFT understands

WANTED = ("mlp.c_fc", "mlp.c_proj")


@check(
    "04.4",
    "the MLP and nothing else",
    right=("c_fc", "mlp.c_proj"),
    wrong={
        "`attn.c_proj` is adapted too": ("c_fc", "c_proj"),
        "`mlp` is lorakit's alias": ("mlp",),
        "`mlp.c_proj` is missing": ("c_fc",),
        "`mlp.c_fc` is missing": "mlp.c_proj",
        "only some blocks": ("h.0.mlp.c_fc", "h.0.mlp.c_proj"),
        '"proj" ends no module\'s name': ("c_fc", "proj"),
        '"*.c_fc" ends no module\'s name': ("*.c_fc", "mlp.c_proj"),
    },
    done="right: `c_fc` is safe as it is, `c_proj` needs its parent's name in front",
)
def names(answer):
    modules = dict(random_gpt2(SHAPE, device="meta").named_modules())
    given = [answer] if isinstance(answer, str) else list(answer)
    expect("mlp" not in given, "`mlp` is lorakit's alias: for PEFT it is the name of a module that is no projection")
    hit = set()
    for name in given:
        found = {path for path in modules if matches_name(path, name) and is_projection(modules[path])}
        expect(found, f'"{name}" ends no module\'s name: a target is a whole name, or the end of one after a dot')
        hit |= found
    blocks = {where: {path for path in hit if path.endswith(where)} for where in (*WANTED, "attn.c_proj")}
    expect(not blocks["attn.c_proj"], "`attn.c_proj` is adapted too: a bare `c_proj` is the end of two names")
    for where in WANTED:
        expect(blocks[where], f"`{where}` is missing")
        expect(len(blocks[where]) == 2, f"only some blocks are adapted: leave out what comes before `{where}`")
    extra = sorted(hit - blocks[WANTED[0]] - blocks[WANTED[1]])
    expect(not extra, f"{', '.join(extra)} is adapted too")


# 04.5 -- counting with grouped-query attention

count = check_examples(
    "04.5",
    "count before you inject",
    right=lambda layers, d, d_kv, r: layers * r * ((d + d) + (d + d_kv)),
    inputs=[(4, 256, 64, 8), (30, 576, 192, 4), (2, 64, 64, 1)],
    wrong={
        "only B was counted: A has r·d numbers for q and r·d for v": lambda layers, d, d_kv, r: layers * r * (d + d_kv),
        "only A was counted: B is as tall as the projection's output": lambda layers, d, d_kv, r: layers * r * 2 * d,
        "the layers were forgotten": lambda layers, d, d_kv, r: r * (3 * d + d_kv),
        "v is narrower than q here: its output has d_kv numbers": lambda layers, d, d_kv, r: layers * r * 4 * d,
        "v still reads all of x: its A is r × d, only its B is narrow": lambda layers, d, d_kv, r: (
            layers * r * (2 * d + 2 * d_kv)
        ),
        "q and v have an A each: two projections, not one fused": lambda layers, d, d_kv, r: (
            layers * r * (2 * d + d_kv)
        ),
        "W₀ was counted too: it is frozen": lambda layers, d, d_kv, r: layers * (d * d + d * d_kv + r * (3 * d + d_kv)),
    },
    done="right: SmolLM2-135M (30 layers, 576 wide, k and v 192) with r = 4 trains 230,400 numbers",
)

quiz = read_quiz("04", __file__)
