"""Fill the templates: texts in a style, and the three tasks made of them."""

import random
import re
import zlib

from lorakit.core.errors import LoRAError
from lorakit.lab.styles import code as code_style
from lorakit.lab.styles import law as law_style
from lorakit.lab.styles import medicine as medicine_style
from lorakit.lab.styles.openers import OPENERS
from lorakit.lab.task import Example, Task

STYLES = {"law": law_style, "medicine": medicine_style, "code": code_style}
SIZES = {"train": 2400, "validation": 200, "test": 300}
HELD_OUT = ("combinations", "words", "patterns")  # what is new in a text: ever farther from training
SLOT = re.compile(r"\{([A-Za-z]+)(\d*)\}")


def law(limit: int | None = None, seed: int = 0) -> Task:
    """Clauses of contracts, judged by "bits_per_byte"; see `style_task`."""
    return style_task("law", limit, seed)


def medicine(limit: int | None = None, seed: int = 0) -> Task:
    """Clinical notes, judged by "bits_per_byte"; see `style_task`."""
    return style_task("medicine", limit, seed)


def code(limit: int | None = None, seed: int = 0) -> Task:
    """Small Python functions, judged by "bits_per_byte"; see `style_task`."""
    return style_task("code", limit, seed)


def style_task(style: str, limit: int | None = None, seed: int = 0) -> Task:
    """2,400 / 200 / 300 texts of a style, each behind a neutral opener that all styles share.

    Every text says in info["held_out"] what of it training never had: "combinations" (only the text as a whole: its
    words and patterns are those of training), "words" (new words in known patterns), "patterns" (new words in new
    patterns, made of the style's own phrases). The test has a third of each, validation a half of the first two with
    new words of its own. Openers are divided among the splits too. `limit`: the first so many training texts.
    """
    splits, seen = {}, set()
    for split, size in SIZES.items():
        rng = random.Random(zlib.crc32(f"{style} {split} {seed}".encode()))
        new = {"train": HELD_OUT[:1], "validation": HELD_OUT[:2], "test": HELD_OUT}[split]
        kinds = [new[len(new) * i // size] for i in range(size)]
        splits[split] = []
        for kind in kinds:
            words = "train" if kind == "combinations" else split
            while (text := write(style, words, rng, new_patterns=kind == "patterns")) in seen:
                pass
            seen.add(text)
            info = {"bytes": len(text.encode()), "held_out": kind}
            splits[split].append(Example(rng.choice(OPENERS[split]), text, info))
    splits["train"] = splits["train"][:limit]
    note = "bits per byte of generated texts: a third new combinations, a third new words, a third new patterns"
    return Task(name=style, metric="bits_per_byte", scorer=None, note=note, **splits)


def write(style: str, split: str, rng: random.Random, new_patterns: bool = False) -> str:
    """One text with the words of a split. Raises LoRAError for a style or a split that does not exist."""
    for what, value, known in (("style", style, STYLES), ("split", split, SIZES)):
        if value not in known:
            raise LoRAError(f"{what} must be one of {', '.join(known)}, got {value!r}")
    made = STYLES[style]
    same = made.begin(rng, of_split(made.PAIRS, split))
    used, sentences = set(), []
    for parts in made.NEW_SENTENCES if new_patterns else made.SENTENCES:
        sentence = fill("".join(rng.choice(part) for part in parts), made, split, rng, dict(same), used)
        if sentence:
            first = sentence[0].upper() if made.END else sentence[0]
            sentences.append((first + sentence[1:] + made.END).replace("..", "."))  # "b.i.d." may end a sentence
    return made.START + " ".join(sentences)


def fill(pattern: str, made, split: str, rng: random.Random, words: dict[str, str], used: set[str]) -> str:
    """The pattern with words in its slots: one name, one word; {verb} and {verb2} differ, and from those `used`."""

    def word(slot: re.Match) -> str:
        name, kind = slot[1] + slot[2], slot[1]
        if name not in words and kind in made.NUMBERS:
            words[name] = str(rng.randint(*made.NUMBERS[kind]))
        elif name not in words:
            options = of_split(made.WORDS[kind], split)
            chosen = rng.choice([option for option in options if option not in used] or options)
            used.add(chosen)
            words[name] = SLOT.sub(word, chosen.replace("_", " "))
        return words[name]

    return SLOT.sub(word, pattern)


def of_split(words, split: str) -> list:
    """The words that belong to a split: of every ten the first six, the next two, or the last two."""
    places = {"train": range(6), "validation": (6, 7), "test": (8, 9)}[split]
    return [word for place, word in enumerate(words) if place % 10 in places]
