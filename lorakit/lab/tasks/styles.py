"""Law, medicine, code: three styles of text, written by the project from templates and word lists of its own."""

from lorakit.lab.places import DATA
from lorakit.lab.tasks.sources import bundled
from lorakit.lab.tasks.task import Example, Task

STYLES = ("law", "medicine", "code")
FOLDER = DATA / "tasks" / "styles"  # made by data/make/styles
SIZES = {"train": 2400, "validation": 200, "test": 300}
HELD_OUT = ("combinations", "words", "patterns")  # what is new in a text: ever farther from training


def style_task(style: str) -> Task:
    """2,400 / 200 / 300 texts of a style, each behind a neutral opener that all styles share.

    Every text says in info["held_out"] what of it training never had: "combinations" (only the text as a whole: its
    words and patterns are those of training), "words" (new words in known patterns), "patterns" (new words in new
    patterns, made of the style's own phrases). The test has a third of each, validation a half of the first two with
    new words of its own. Openers are divided among the splits too. Raises LoRAError for a style that does not exist.
    """
    splits: dict[str, list[Example]] = {split: [] for split in SIZES}
    for row in bundled(FOLDER / f"{style}.jsonl", "data.make.styles.write"):
        splits[row["split"]].append(Example(row["opener"], row["text"], {"held_out": row["held_out"]}))
    note = "bits per byte of generated texts: a third new combinations, a third new words, a third new patterns"
    return Task(name=style, metric="bits_per_byte", scorer=None, note=note, **splits)
