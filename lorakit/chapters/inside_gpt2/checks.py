"""Checks and quiz of chapter 04: inside GPT-2."""

import torch

from lorakit.core.targets import is_projection, matches_name
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz

# 04.1 -- fold an update into a layer that may store its weight either way round


def _is_conv1d(layer) -> bool:
    return hasattr(layer, "nf")


def _layers():
    """(layer, an update for it) of either kind, square and rectangular."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    layers = Conv1D(6, 6), Conv1D(12, 4), nn.Linear(6, 6), nn.Linear(12, 4)
    shapes = (6, 6), (12, 4), (6, 6), (4, 12)  # (out, in)
    return [(layer.requires_grad_(False), torch.randn(shape)) for layer, shape in zip(layers, shapes, strict=True)]


def _written_in_place(layer, delta):
    layer.weight += delta.T if _is_conv1d(layer) else delta
    return layer.weight


fold = check_examples(
    "04.1",
    "fold ΔW into either kind of layer",
    right=lambda layer, delta: layer.weight + (delta.T if _is_conv1d(layer) else delta),
    inputs=_layers,
    wrong={
        "Conv1D is transposed: its weight is (in, out) and delta is (out, in). Square, so nothing complained": (
            lambda layer, delta: layer.weight + delta
        ),
        "the shapes cannot tell: on a square layer both ways fit. Ask what kind of layer it is": (
            lambda layer, delta: layer.weight + (delta if layer.weight.shape == delta.shape else delta.T)
        ),
        "`reshape` and `view` do not transpose: they keep the numbers in reading order. Use `.T`": (
            lambda layer, delta: layer.weight + delta.reshape(layer.weight.shape)
        ),
        "`nn.Linear` is not transposed: its weight is (out, in), as delta is": (
            lambda layer, delta: layer.weight + delta.T
        ),
        "that is the new weight as (out, in): return it in the layer's own layout, for a Conv1D (in, out)": (
            lambda layer, delta: (layer.weight.T if _is_conv1d(layer) else layer.weight) + delta
        ),
        "W₀ was overwritten": _written_in_place,
        "your function returns None: is the `return` missing?": lambda layer, delta: None,
    },
    formula="W₀ + ΔW, in the layer's own layout",
    untouched="W₀ was overwritten: return a new tensor, or the layer can never be restored",
    done="right, on square and on rectangular layers. Square ones are where everyone's test must look",
)

# 04.2 -- the same budget, spent on the whole c_attn

equal_cost = check_examples(
    "04.2",
    "equal cost",
    right=12,
    wrong={
        "8 would be right if only the B's counted: three slices also have three A's, the whole c_attn has one": 8,
        "24 = 3 · 8 is right for the A's alone. The whole c_attn also has a B that is 3d tall: count both": 24,
        "upside down: the slices cost 6·d·8, the whole costs 4·d·r. Solve for r": 16 / 3,
    },
    done="right: 6·d·8 = 4·d·12. The whole buys rank 12, shared by q, k and v; the slices rank 8 for each",
)

# 04.3 -- loralib's two tensors as one update


def _spread(A, B, enabled, r, alpha):
    d = A.shape[1]
    updates = (b @ a for a, b in zip(A.split(r), B.split(d), strict=True))  # of the enabled slices, each (d, d)
    return alpha / r * torch.cat([next(updates) if on else torch.zeros(d, d) for on in enabled])


def _examples():
    draws = torch.Generator().manual_seed(4)
    for enabled in ([True, False, True], [False, False, True], [True, True, True]):
        n, d, r = sum(enabled), 6, 2
        yield torch.randn(n * r, d, generator=draws), torch.randn(n * d, r, generator=draws), enabled, r, 6.0


spread = check_examples(
    "04.3",
    "ΔW from loralib's two tensors",
    right=_spread,
    inputs=list(_examples()),
    wrong={
        "v landed on k's rows: a slice that is not enabled still takes d rows, of zeros": (
            lambda A, B, enabled, r, alpha: _spread(A, B, sorted(enabled, reverse=True), r, alpha)
        ),
        "each slice has its own A: slice i uses rows i·r to (i + 1)·r of A": (
            lambda A, B, enabled, r, alpha: _spread(A[:r].repeat(sum(enabled), 1), B, enabled, r, alpha)
        ),
        "divide alpha by r, the rank of one slice, not by the rows of A": lambda A, B, enabled, r, alpha: _spread(
            A, B, enabled, r, alpha * r / len(A)
        ),
        "the scale alpha / r is missing": lambda A, B, enabled, r, alpha: _spread(A, B, enabled, r, r),
        "this is ΔW transposed: (in, out), as Conv1D stores it. Return (out, in)": lambda *args: _spread(*args).T,
    },
    done="right. This is what loralib's `zero_pad` and its grouped convolution compute",
)

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
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        gpt2 = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=16, n_positions=8))
    modules = dict(gpt2.named_modules())
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
