"""The E2E NLG Challenge: a restaurant's attributes in, one sentence about it out (the LoRA paper's GPT-2 task)."""

import random
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.places import data_folder
from lorakit.lab.tasks.sources import from_hub, numbered_lines
from lorakit.lab.tasks.task import Example, Task

SPLITS = {"train": "train", "valid": "validation", "test": "test"}  # a file's name → the split's name on the Hub
ADVICE = (
    "E2E is read from the folder `e2e` under LORAKIT_DATA (files valid.txt and test.txt, and train.txt if you have it, "
    "with lines `name : Blue Spice | area : riverside||A place called Blue Spice .`, as in microsoft/LoRA), or with a "
    "network from the Hub, for which `pip install datasets`."
)
NO_TRAIN = (
    "E2E's training split was not at hand: trained on nine tenths of its validation split, validated on the rest. "
    "Scores are not comparable with the paper's, whose training set is nine times larger."
)


def e2e() -> Task:
    """The E2E task: write a sentence that says what the attributes say (Novikova et al. 2017; CC BY-SA 4.0).

    It is read from LORAKIT_DATA/e2e (train.txt, which may be absent, valid.txt, test.txt), else the Hugging Face Hub.

    Every reference is a training example of its own. In validation and test there is one example per meaning
    representation, with all of its references in `info["references"]`. Where no train.txt is at hand, training is
    on nine tenths of the validation split's meaning representations and validation on the rest; `note` says so.
    The score is sacrebleu's corpus BLEU (0..100) against all references. Raises LoRAError.
    """
    place = data_folder("e2e")
    found: dict[str, dict[str, list[str]]] = {}  # split → meaning representation → its references
    for split, meaning, text in _from_folder(place) if place else _from_hub():
        found.setdefault(split, {}).setdefault(meaning, []).append(text)
    shuffle = random.Random(0).sample
    groups = {name: shuffle(sorted(found[name].items()), len(found[name])) for name in SPLITS if name in found}
    note = "Trained on E2E's training split."
    if "train" not in groups:
        held_out = max(1, len(groups["valid"]) // 10)
        groups["train"], groups["valid"] = groups["valid"][held_out:], groups["valid"][:held_out]
        note = NO_TRAIN
    train, valid, test = (groups[name] for name in SPLITS)
    return Task(
        name="e2e",
        train=[Example(_prompt(mr), f" {text}", {"mr": mr}) for mr, texts in train for text in texts],
        validation=[_grouped(mr, texts) for mr, texts in valid],
        test=[_grouped(mr, texts) for mr, texts in test],
        metric="bleu",
        scorer=bleu,
        max_new_tokens=96,
        note=f"{note} Reported on the test split: {len(test)} meaning representations.",
    )


def bleu(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """Corpus BLEU (0..100, case-sensitive, 13a tokens) against all references, and the share answered at all."""
    try:
        import sacrebleu
    except ImportError as error:
        raise LoRAError("scoring E2E needs sacrebleu: `pip install sacrebleu`") from error
    references = [example.info["references"] for example in examples]
    # sacrebleu wants streams of equal length; None means that this example has no further reference.
    streams = list(zip_longest(*references))
    score = sacrebleu.corpus_bleu(answers, streams, force=True).score  # force: E2E's text is spaced out on purpose
    return {"bleu": score, "answered": sum(bool(answer) for answer in answers) / len(answers)}


def _prompt(meaning: str) -> str:
    return f"attributes: {meaning}\nsentence:"


def _grouped(meaning: str, texts: list[str]) -> Example:
    return Example(_prompt(meaning), f" {texts[0]}", {"mr": meaning, "references": texts})


def _from_folder(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(split, meaning representation, reference) of every line."""
    for name in SPLITS:
        file = folder / f"{name}.txt"
        if name == "train" and not file.is_file():
            continue
        for number, line in numbered_lines(file, ADVICE):
            meaning, _, text = line.partition("||")
            if not text.strip():
                raise LoRAError(f"{file}, line {number}: expected `attributes||sentence`, got {line[:80]!r}")
            pairs = (pair.partition(" : ") for pair in meaning.split(" | "))
            yield name, ", ".join(f"{key.strip()}[{value.strip()}]" for key, _, value in pairs), text.strip()


def _from_hub() -> Iterator[tuple[str, str, str]]:
    # The Hub's own conversion to parquet: the data set itself is a script, which datasets no longer runs.
    splits = from_hub("E2E", "tuetschek/e2e_nlg", ADVICE, revision="refs/convert/parquet")
    for name, split in SPLITS.items():
        yield from ((name, row["meaning_representation"], row["human_reference"]) for row in splits[split])
