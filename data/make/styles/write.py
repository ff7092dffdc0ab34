"""Fill the templates of law, medicine and code: `python -m data.make.styles.write` writes data/tasks/styles.

A slot {thing} is a word of a list or a number; {thing2} is another of the same list. `_` in a word stands for a space.
"""

import json
import random
import re
import tomllib
import zlib
from pathlib import Path

from lorakit.lab.tasks.styles import FOLDER, HELD_OUT, SIZES


def read_style(name: str) -> dict:
    """What stands in the style's file, with lists of words, and with each sentence as its parts' choices."""
    style = tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"))
    style["pairs"] = [pair.split("/") for pair in style["pairs"].split()]
    style["words"] = {kind: words.split() for kind, words in style["words"].items()}
    for key in ("sentences", "new_sentences"):
        style[key] = [[style["parts"][part] for part in sentence] for sentence in style[key]]
    return style


STYLES = {name: read_style(name) for name in ("law", "medicine", "code")}
# How every text begins, whatever its style: it says nothing about what follows, so the adapter must.
OPENERS = {
    "train": (
        "The note says:", "It reads as follows:", "Here is the text:", "On the first page:", "The letter begins",
        "What follows was written in May:", "The second part says", "A copy of the page:", "The answer was:",
        "From the old file:", "This is what they wrote:", "In the margin:", "The entry of Monday:", "Read this:",
        "He wrote", "She had written:", "At the end we find", "The last lines are",
        "The record shows", "One of them wrote", "My copy says", "Their note reads", "The second half begins",
        "The old page says",
    ),
    "validation": ("The paper says", "Next comes:", "On the back:"),
    "test": ("The report says", "Here is the next page:", "We found this:", "The book begins", "As it was written:"),
}  # fmt: skip
SLOT = re.compile(r"\{([A-Za-z]+)(\d*)\}")


def make(style: str) -> list[dict]:
    """The texts of a style, each with its split, an opener and what of it training never had; always the same."""
    found, seen = [], set()
    for split, size in SIZES.items():
        rng = random.Random(zlib.crc32(f"{style} {split} 0".encode()))
        new = {"train": HELD_OUT[:1], "validation": HELD_OUT[:2], "test": HELD_OUT}[split]
        for kind in [new[len(new) * i // size] for i in range(size)]:
            words = "train" if kind == "combinations" else split
            while (text := write(style, words, rng, new_patterns=kind == "patterns")) in seen:
                pass
            seen.add(text)
            found.append({"split": split, "opener": rng.choice(OPENERS[split]), "text": text, "held_out": kind})
    return found


def write(style: str, split: str, rng: random.Random, new_patterns: bool = False) -> str:
    """One text with the words of a split."""
    made = STYLES[style]
    same = dict(zip(made["same"], rng.choice(of_split(made["pairs"], split)), strict=True))
    used, sentences = set(), []
    for parts in made["new_sentences" if new_patterns else "sentences"]:
        sentence = fill("".join(rng.choice(part) for part in parts), made, split, rng, dict(same), used)
        if sentence:
            first = sentence[0].upper() if made["end"] else sentence[0]
            sentences.append((first + sentence[1:] + made["end"]).replace("..", "."))  # "b.i.d." may end a sentence
    return made["start"] + " ".join(sentences)


def fill(pattern: str, made: dict, split: str, rng: random.Random, words: dict[str, str], used: set[str]) -> str:
    """The pattern with words in its slots: one name, one word; {verb} and {verb2} differ, and from those `used`."""

    def word(slot: re.Match) -> str:
        name, kind = slot[1] + slot[2], slot[1]
        if name not in words and kind in made["numbers"]:
            words[name] = str(rng.randint(*made["numbers"][kind]))
        elif name not in words:
            options = of_split(made["words"][kind], split)
            chosen = rng.choice([option for option in options if option not in used] or options)
            used.add(chosen)
            words[name] = SLOT.sub(word, chosen.replace("_", " "))
        return words[name]

    return SLOT.sub(word, pattern)


def of_split(words, split: str) -> list:
    """The words that belong to a split: of every ten the first six, the next two, or the last two."""
    places = {"train": range(6), "validation": (6, 7), "test": (8, 9)}[split]
    return [word for place, word in enumerate(words) if place % 10 in places]


if __name__ == "__main__":
    for name in STYLES:
        (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(text) + "\n" for text in make(name)), encoding="utf-8")
