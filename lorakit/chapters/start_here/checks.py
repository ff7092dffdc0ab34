"""Checks and quiz of chapter 00."""

import copy
import sqlite3

import torch
from torch import nn

from lorakit import by_hand
from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import run_sql
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz

CITIES = Example(
    prompt="table: city (name, country, population)\nquestion: which city has more than 3000000 people?\nsql:",
    answer=" SELECT name FROM city WHERE population > 3000000",
    info={
        "table": "city",
        "columns": ["name", "country", "population"],
        "types": ["text", "text", "number"],
        "rows": [
            ["Rome", "Italy", 2750000],
            ["Madrid", "Spain", 3280000],
            ["Lisbon", "Portugal", 548000],
            ["Naples", "Italy", 914000],
        ],
    },
)


@check(
    "00.1",
    "another query, the same rows",
    right="SELECT name FROM city WHERE country = 'Spain'",
    wrong={
        "that is the reference itself": "select name  from city where population > 3000000;",
        "SQLite refuses it": "SELECT names FROM city WHERE population > 3000000",
        "other rows": "SELECT name FROM city WHERE country = 'Italy'",
        "no rows": "SELECT name FROM city WHERE country = 'spain'",
        "put it between quotes": 3280000,
    },
    done="right: on this table both give Madrid. Execution accuracy counts results, and so it may be lucky",
)
def same_rows(answer):
    expect(isinstance(answer, str), "SQL is a text: put it between quotes")
    mine, reference = (sql.lower().strip().rstrip(";").split() for sql in (answer, CITIES.answer))
    expect(mine != reference, "that is the reference itself: find one that is written otherwise")
    try:
        rows = run_sql(answer, CITIES.info)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        expect(False, f"SQLite refuses it: {error}")
    expect(rows, "it gives no rows (texts are compared letter by letter, capitals too)")
    right = run_sql(CITIES.answer, CITIES.info)
    expect(sorted(rows, key=str) == sorted(right, key=str), f"it gives other rows: {rows} instead of {right}")


def small_model() -> nn.Module:
    """Three layers, one of them inside another module, each with a LoRALayer round it whose B is not zero."""
    model = by_hand.inject(nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 6), nn.Tanh()), nn.Linear(6, 3)),
                           ("0", "1.0", "2"))  # fmt: skip
    for number, layer in enumerate(by_hand.lora_layers(model).values()):
        nn.init.normal_(layer.lora_B)
        layer.alpha, layer.scaling = 16 + number, (16 + number) / layer.r
    return model


def _take_out(model):
    for path, module in list(model.named_modules()):
        if hasattr(module, "lora_A"):
            by_hand.put(model, path, module.base)


@check(
    "00.2",
    "LoRA taken out again",
    right=_take_out,
    wrong={
        "scaling 0 only silences them": "by_hand.put(model, path, module.base) → module.scaling = 0.0",
        "LoRALayers deeper down are still there": "named_modules → named_children",
        "the outputs are not the base's": (
            "module.base) → nn.Linear(module.base.in_features, module.base.out_features))"
        ),
        "put back each layer's `base`, unchanged": (
            "by_hand.put( → module.base.weight.data += module.delta_weight(); by_hand.put("
        ),
    },
    done="right: nothing of LoRA is left, and the base is what it was, bit for bit",
)
def taken_out(answer):
    model, x = small_model(), torch.randn(5, 4)
    base = copy.deepcopy(model)
    _take_out(base)
    adapted = len(by_hand.lora_layers(model))
    answer(model)
    left = len(by_hand.lora_layers(model))
    expect(left < adapted, "the LoRALayers are still there (scaling 0 only silences them): put back each one's `base`")
    words = (
        "LoRALayers deeper down are still there: `model.named_modules()` finds all; set each `base` in its own parent"
    )
    expect(not left, words)
    expect(torch.equal(model(x), base(x)), "the outputs are not the base's: put back each layer's `base`, unchanged")


def _set_strength(model, strength):
    for layer in model.modules():
        if hasattr(layer, "lora_A"):
            layer.scaling = strength * layer.alpha / layer.r


def _turned(answer):
    """The strength of each layer, as a share of alpha / r, after an answer has turned the dial several times."""

    def shares(*strengths):
        model = small_model()
        layers = by_hand.lora_layers(model).values()
        learnt = [layer.lora_B.clone() for layer in layers]
        for strength in strengths:
            answer(model, strength)
        kept = all(torch.equal(layer.lora_B, B) for layer, B in zip(layers, learnt, strict=True))
        expect(kept, "A and B must stay as they were learnt: change each layer's `scaling`")
        return [layer.scaling / (layer.alpha / layer.r) for layer in layers]

    return shares


dial = check_examples(
    "00.3",
    "the dial",
    right=_set_strength,
    inputs=[(0.5,), (0.5, 0.25)],
    seen=_turned,
    wrong={
        "a second call multiplies what the first left: start from alpha / r": "layer.alpha / layer.r → layer.scaling",
        "at strength 1 the scaling must be alpha / r, not 1: multiply that": " * layer.alpha / layer.r → ",
        "the / r is missing": " / layer.r → ",
        "A and B must stay as they were learnt: change each layer's `scaling`": (
            "layer.scaling = strength * layer.alpha / layer.r → layer.lora_B.data *= strength"
        ),
        "`forward` multiplies by `scaling`, which alpha made only once: change that": "layer.scaling = → layer.alpha =",
        "some layers kept their strength: `model.modules()` finds those inside others too": (
            "model.modules() → model.children()"
        ),
    },
    done="right: 0 is the base, 1 the model as trained, and A and B are never touched",
)

quiz = read_quiz("00", __file__)
