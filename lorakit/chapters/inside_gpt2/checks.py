"""Checks and quiz of chapter 04: inside GPT-2."""

import torch
from torch import nn

from lorakit.by_hand import inject, lora_layers, weight_of
from lorakit.core.targets import endings, is_projection
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.quiz import read_quiz
from lorakit.study.parameters import Decoder

# 04.1 -- the weight of either kind of layer as (d, k)


def _layers():
    """Of either kind, square and rectangular."""
    from transformers.pytorch_utils import Conv1D

    return [(layer,) for layer in (Conv1D(6, 6), Conv1D(12, 4), Conv1D(4, 12), nn.Linear(6, 6), nn.Linear(12, 4))]


def _is_a_view(answer):
    for (layer,) in _layers():
        view = answer(layer).data_ptr() == layer.weight.data_ptr()
        expect(view, "the right numbers, in a copy. Return a view, as `.T` gives it: chapter 09 will write into it")


weight = check_examples(
    "04.1",
    "the weight as (d, k)",
    right=weight_of,
    inputs=_layers,
    wrong={
        "Conv1D is transposed: its weight is (k, d), return (d, k)": "weight.T → weight",
        "`nn.Linear` is not transposed: its weight is (d, k) already": "weight if → weight.T if",
        "the shape cannot tell the two kinds apart: ask `isinstance(layer, nn.Linear)`": (
            "isinstance(layer, nn.Linear) → layer.weight.shape[0] >= layer.weight.shape[1]"
        ),
        "`reshape` and `view` do not transpose: they keep the numbers in reading order. Use `.T`": (
            "weight.T → weight.reshape(layer.weight.shape[::-1])"
        ),
        "in a copy": "weight.T → weight.T.clone()",
        NOTHING: "return → _ =",
    },
    also=_is_a_view,
    done="right, on square and on rectangular layers. Your LoRALayer of chapter 03 now fits GPT-2",
)


# 04.2 -- into a model


SHAPE = Decoder(layers=2, width=8, heads=2, vocabulary=16, context=8, inner=32)


def _gpt2():
    torch.manual_seed(0)
    return random_gpt2(SHAPE)


@check(
    "04.2",
    "inject",
    right=inject,
    wrong={
        NOTHING: "return model → return None",
        "no layer was put in": "put(model → dict(model=model), (path",
        "with dots": "put(model → setattr(model",
        "a whole path": ' or path.endswith("." + name) → ',
        "a whole name": 'path == name or path.endswith("." + name) → path.endswith(name)',
        "a path without a dot": "path == name or  → ",
        "a target may have dots": 'path == name or path.endswith("." + name) → path.rpartition(".")[2] == name',
        "not a copy": "model.requires_grad_(False) → import copy; model = copy.deepcopy(model).requires_grad_(False)",
        "the base is not frozen": "model.requires_grad_(False) → pass",
        "freeze first": "return model → return model.requires_grad_(False)",
        "r and alpha": "LoRALayer(module, r, alpha) → LoRALayer(module)",
    },
    done="right: seven lines, and they are the whole of it",
)
def put_in(answer):
    model, ids = _gpt2(), torch.arange(6)[None]
    before = model(ids).logits
    got = answer(model, ("c_attn",), 2, 6)
    expect(got is not None, NOTHING)
    paths = [f"transformer.h.{i}.attn.c_attn" for i in (0, 1)]
    dotted = any("." in name for name, _ in got.named_children())
    expect(not dotted, "a child of the model now has a name with dots: `setattr` belongs to the module's *parent*")
    found = list(lora_layers(got))
    expect(found, "no layer was put in: is a target compared with a whole path? It may be its end, after a dot")
    expect(got is model, "change the model that was given, not a copy")
    expect(found == paths, f'"c_attn" should give {paths}, you have {found}')
    trained = {name for name, p in got.named_parameters() if p.requires_grad}
    expect(trained, "nothing trains: freeze first, then put the layers in, or their A and B are frozen too")
    frozen = all(".lora_" in name for name in trained)
    expect(frozen, "the base is not frozen: `model.requires_grad_(False)`, embeddings too")
    first = got.get_submodule(paths[0])
    expect(first.r == 2 and first.scaling == 3, "r and alpha are not passed on to LoRALayer")
    expect(torch.equal(got(ids).logits, before), "the logits have changed at step 0")
    expect(not lora_layers(answer(_gpt2(), ("fc",), 2, 6)), 'a target is a whole name: "fc" must not hit `c_fc`')
    one = list(lora_layers(answer(_gpt2(), ("h.0.attn.c_attn",), 2, 6)))
    expect(one == paths[:1], f'a target may have dots: "h.0.attn.c_attn" is {paths[0]}, you have {one}')
    alone = answer(nn.Sequential(nn.Linear(4, 4)), ("0",), 2, 6)
    expect(list(lora_layers(alone)) == ["0"], "a path without a dot is missed: it may be equal to the name")


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


def _outputs(answer):
    """What a layer adds to c_attn's output at the A and B given, once it has started as it should."""

    def change(base, x, A, B):
        mine, d = answer(base, 2, 7), 8
        for name, shape, words in (("lora_A", (2, 2, d), "(2, r, d)"), ("lora_B", (2, d, 2), "(2, d, r)")):
            got = getattr(mine, name, None)
            expect(isinstance(got, nn.Parameter), f"the layer has no parameter `{name}`")
            expect(tuple(got.shape) == shape, f"{name} must be {words} = {shape}, an entry each for q and v")
        expect(mine.lora_A.any(), "lora_A starts Gaussian, as in chapter 03")
        expect(not mine.lora_B.any(), "lora_B starts at zero, as in chapter 03")
        spread = mine.lora_A.std().item() * mine.lora_A.shape[-1] ** 0.5
        expect(0.5 < spread < 1.5, f"lora_A's standard deviation is {spread:.2g} / √d: divide by √d, as in chapter 03")
        y0 = mine(x)
        expect(y0.shape[-1] != 16, "k is gone: the output must be q, k and v side by side")
        expect(same(y0, base(x)), "the output differs from the base at step 0")
        mine.load_state_dict({"lora_A": A, "lora_B": B}, strict=False)
        y = mine(x)
        reached = torch.autograd.grad(y.sum(), (mine.lora_A, mine.lora_B), allow_unused=True)
        expect(all(g is not None and g.any() for g in reached), "no gradient reaches A and B")
        return y - y0  # (n, t, 3 d)

    return change


def _fused():
    from transformers.pytorch_utils import Conv1D

    base = Conv1D(24, 8).requires_grad_(False)
    nn.init.normal_(base.bias)
    return [(base, torch.randn(2, 5, 8), torch.randn(2, 2, 8), torch.randn(2, 8, 2))]


slices = check_examples(
    "04.3",
    "a layer for two slices",
    right=SliceLoRA,
    inputs=_fused,
    seen=_outputs,
    wrong={
        "the update of v landed on k: the order in c_attn is q, k, v": "v = v + → k = k +",
        "q and v have changed places": ("q, k, v = → v, k, q =", "[q, k, v] → [v, k, q]"),
        "v uses the A of q: each slice has its own": "lora_A[1] → lora_A[0]",
        "the scale is missing: each update is multiplied by alpha / r": "self.scaling * → 1 *",
        "missing the / r: the scale is alpha / r, here 6 / 2": "alpha / r → alpha",
        "k is gone: the output must be q, k and v side by side": "[q, k, v] → [q, v]",
        "lora_A must be (2, r, d), an entry each for q and v": "torch.randn(2, r, d) → torch.randn(r, d)",
        "lora_B starts at zero, as in chapter 03": "torch.zeros → torch.randn",
        "lora_A starts Gaussian, as in chapter 03": "torch.randn → torch.zeros",
        "divide by √d": "/ d**0.5 → ",
    },
    formula="of s B A x on q and on v",
    done="right: this is what loralib's MergedLinear and lorakit's slices compute",
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
    modules = dict(random_gpt2(SHAPE, device="meta").named_modules())
    given = [answer] if isinstance(answer, str) else list(answer)
    expect("mlp" not in given, "`mlp` is lorakit's alias: for PEFT it is the name of a module that is no projection")
    hit = set()
    for name in given:
        found = {path for path in modules if name in endings(path) and is_projection(modules[path])}
        expect(found, f'"{name}" ends no module\'s name: a target is a whole name, or the end of one after a dot')
        hit |= found
    blocks = {where: {path for path in hit if path.endswith(where)} for where in (*WANTED, "attn.c_proj")}
    expect(not blocks["attn.c_proj"], "`attn.c_proj` is adapted too: a bare `c_proj` is the end of two names")
    for where in WANTED:
        one = " (one text was given: a tuple needs a comma)" * isinstance(answer, str)
        expect(blocks[where], f"`{where}` is missing{one}")
        expect(len(blocks[where]) == 2, f"only some blocks are adapted: leave out what comes before `{where}`")
    extra = sorted(hit - blocks[WANTED[0]] - blocks[WANTED[1]])
    expect(not extra, f"{', '.join(extra)} is adapted too")


# 04.5 -- counting with grouped-query attention


def _count(layers, d, d_kv, r):
    return layers * r * ((d + d) + (d + d_kv))


count = check_examples(
    "04.5",
    "count before you inject",
    right=_count,
    inputs=[(4, 256, 64, 8), (30, 576, 192, 4), (2, 64, 64, 1)],
    wrong={
        "only B was counted: A has r·d numbers for q and r·d for v": "(d + d) + (d + d_kv) → d + d_kv",
        "only A was counted: B is as tall as the projection's output": "(d + d) + (d + d_kv) → d + d",
        "the layers were forgotten": "layers * → 1 *",
        "v is narrower than q here: its output has d_kv numbers": "d_kv) → d)",
        "v still reads all of x: its A is r × d, only its B is narrow": "(d + d_kv) → (d_kv + d_kv)",
        "q and v have an A each: two projections, not one fused": "(d + d_kv) → d_kv",
        "W₀ was counted too: it is frozen": "layers * r * ( → layers * (d * d + d * d_kv) + layers * r * (",
    },
    done="right: r · (inputs + outputs) for each projection. SmolLM2 (30 layers, 576 wide, k and v 192) with r = 4 "
    "trains 230,400 numbers",
)

quiz = read_quiz("04", __file__)
