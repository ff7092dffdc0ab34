"""The E2E NLG Challenge: a restaurant's attributes in, one sentence about it out (the LoRA paper's GPT-2 task)."""

import os
import random
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.hub import hub_answers, why_not
from lorakit.lab.places import data_folder
from lorakit.lab.tasks.task import Example, Task

HUB_ID = "tuetschek/e2e_nlg"
ADVICE = (
    "E2E is read from the folder `e2e` under LORAKIT_DATA (files valid.txt and test.txt, and train.txt if you have it, "
    "with lines `name : Blue Spice | area : riverside||A place called Blue Spice .`, as in microsoft/LoRA), "
    "from a folder given as e2e(folder), or with a network from the Hub, for which `pip install datasets`."
)


def e2e(folder: str | Path | None = None, *, limit: int | None = None, seed: int = 0) -> Task:
    """The E2E task: write a sentence that says what the attributes say (Novikova et al. 2017; CC BY-SA 4.0).

    folder  with train.txt (optional), valid.txt and test.txt; None: LORAKIT_DATA/e2e, else the Hugging Face Hub.
    limit   at most so many meaning representations in each split, drawn with `seed`: for a quick look.

    Every reference is a training example of its own. In validation and test there is one example per meaning
    representation, with all of its references in `info["references"]`. Where no train.txt is at hand, training is
    on nine tenths of the validation split's meaning representations and validation on the rest; `note` says so.
    The score is sacrebleu's corpus BLEU (0..100) against all references. Raises LoRAError.
    """
    place = data_folder("e2e", folder, ADVICE)
    if place is not None:
        groups = {name: _read(place / f"{name}.txt") for name in ("train", "valid", "test")}
        for name in ("valid", "test"):
            if groups[name] is None:
                raise LoRAError(f"there is no {place / f'{name}.txt'}. {ADVICE}")
    else:
        groups = _from_hub()
    shuffle = random.Random(seed).sample
    groups = {name: found and shuffle(sorted(found.items()), len(found)) for name, found in groups.items()}
    note = "Trained on E2E's training split."
    if groups["train"] is None:
        held_out = max(1, len(groups["valid"]) // 10)
        groups["train"], groups["valid"] = groups["valid"][held_out:], groups["valid"][:held_out]
        note = (
            "E2E's training split was not at hand: trained on nine tenths of its validation split, validated on the "
            "rest. Scores are not comparable with the paper's, whose training set is nine times larger."
        )
    groups = {name: found[:limit] for name, found in groups.items()}
    return Task(
        name="e2e",
        train=[Example(_prompt(mr), f" {text}", {"mr": mr}) for mr, texts in groups["train"] for text in texts],
        validation=[_grouped(mr, texts) for mr, texts in groups["valid"]],
        test=[_grouped(mr, texts) for mr, texts in groups["test"]],
        metric="bleu",
        scorer=bleu,
        max_new_tokens=96,
        note=f"{note} Reported on the test split: {len(groups['test'])} meaning representations.",
    )


def bleu(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """Corpus BLEU (0..100, case-sensitive, 13a tokens) against all references, and the share answered at all."""
    try:
        import sacrebleu
    except ImportError as error:
        raise LoRAError("scoring E2E needs sacrebleu: `pip install sacrebleu`") from error
    references = [example.info["references"] for example in examples]
    most = max(len(texts) for texts in references)
    # sacrebleu wants streams of equal length; None means that this example has no further reference.
    streams = [[texts[number] if number < len(texts) else None for texts in references] for number in range(most)]
    score = sacrebleu.corpus_bleu(answers, streams, force=True).score  # force: E2E's text is spaced out on purpose
    return {"bleu": score, "answered": sum(bool(answer) for answer in answers) / len(answers)}


def _prompt(meaning: str) -> str:
    return f"attributes: {meaning}\nsentence:"


def _grouped(meaning: str, texts: list[str]) -> Example:
    return Example(_prompt(meaning), f" {texts[0]}", {"mr": meaning, "references": texts})


def _read(file: Path) -> dict[str, list[str]] | None:
    """Meaning representation -> its references, or None where there is no such file."""
    if not file.is_file():
        return None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        meaning, bar, text = line.partition("||")
        if not bar or not text.strip():
            raise LoRAError(f"{file}, line {number}: expected `attributes||sentence`, got {line[:80]!r}")
        pairs = (pair.partition(" : ") for pair in meaning.split(" | "))
        meaning = ", ".join(f"{key.strip()}[{value.strip()}]" for key, _, value in pairs)
        found.setdefault(meaning, []).append(text.strip())
    if not found:
        raise LoRAError(f"{file} is empty. {ADVICE}")
    return found


def _from_hub() -> dict[str, dict[str, list[str]]]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        missing = f"LORAKIT_DATA is {os.environ.get('LORAKIT_DATA')!r} and the package datasets is not installed"
        raise LoRAError(f"the E2E data is not here: {missing}. {ADVICE}") from error
    if not hub_answers():
        raise LoRAError(f"the E2E data is not here. {why_not()} {ADVICE}")
    groups: dict[str, dict[str, list[str]]] = {"train": {}, "valid": {}, "test": {}}
    try:
        # The Hub's own conversion to parquet: the data set itself is a script, which datasets no longer runs.
        splits = load_dataset(HUB_ID, revision="refs/convert/parquet")
        for name, split in (("train", "train"), ("valid", "validation"), ("test", "test")):
            for row in splits[split]:
                groups[name].setdefault(row["meaning_representation"], []).append(row["human_reference"])
    except Exception as error:  # the Hub's client raises many kinds: a lost network, a moved data set, a full disk
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LoRAError(f"the E2E data could not be fetched from the Hub ({reason}). {ADVICE}") from error
    return groups
