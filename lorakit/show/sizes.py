"""What the widgets about a model's cost offer and show: models, targets, optimizers, sizes, the parts of a step."""

import json
from collections.abc import Iterator

from lorakit.lab.places import DATA
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, SKY
from lorakit.study.parameters import SHAPES, Decoder

NANO = DATA / "nano" / "config.json"
PARTS = {"weights": GREY, "optimizer": BLUE, "gradients": GREEN, "activations": ORANGE, "scratch": SKY}  # of a step
OPTIMIZERS = {"AdamW": "adamw", "SGD with momentum": "momentum", "SGD": "sgd"}
TARGETS = {
    "q": ("q",),
    "q + v": ("q", "v"),
    "q + k + v + o": ("q", "k", "v", "o"),
    "mlp": ("mlp",),
    "all": ("q", "k", "v", "o", "mlp"),
}


def known_shapes() -> dict[str, Decoder]:
    """The shapes on offer: the bundled nano, GPT-2's four sizes, GPT-3's three."""
    return {"nano": Decoder.of(json.loads(NANO.read_text()), "nano")} | SHAPES


def readable(number: float, unit: str = "") -> str:
    """Three digits and a letter: 4.72M, 175B, or with unit "B" (bytes) 37.7 MB. Powers of 1000."""
    letters = ("", "k", "M", "G", "T") if unit else ("", "k", "M", "B", "T")
    step = 0
    while number >= 999.5 and step < len(letters) - 1:
        number, step = number / 1000, step + 1
    return f"{number:.3g}{' ' if unit else ''}{letters[step]}{unit}"


def stacked(memory, whole: float) -> Iterator[tuple[str, float, float]]:
    """Each of the parts of a step's memory as (name, left, width) of a bar, in % of `whole` bytes."""
    left = 0.0
    for part in PARTS:
        width = 100 * getattr(memory, part) / whole
        yield part, left, width
        left += width
