"""SST-2: a sentence of a film review in, whether it is positive or negative out (a GLUE task of the LoRA paper)."""

import random
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.places import data_folder
from lorakit.lab.tasks.classification import Classification
from lorakit.lab.tasks.sources import from_hub, numbered_lines
from lorakit.lab.tasks.task import Example

LABELS = ("negative", "positive")  # 0 and 1 in the files
ADVICE = (
    "SST-2 is read from the folder `sst2` under LORAKIT_DATA (train.tsv, dev.tsv and test.tsv with lines "
    "`sentence<TAB>label`, label 0 or 1), from a folder given as sst2(folder), or with a network from the Hub, for "
    "which `pip install datasets`."
)


def sst2(folder: str | Path | None = None) -> Classification:
    """The SST-2 task: is a sentence of a film review "negative" or "positive"? (Socher et al. 2013). Metric: accuracy.

    folder  with train.tsv, dev.tsv and test.tsv; None: LORAKIT_DATA/sst2, else the Hugging Face Hub.

    The files are the classic split by sentences. GLUE's version on the Hub has no public labels for its test split, so
    its validation split is used as the test (as the LoRA paper reports it), and 1,000 training examples are set aside
    for validation; `note` says so. Raises LoRAError.
    """
    place = data_folder("sst2", folder, ADVICE)
    if place:
        train, validation, test = (_read(place / f"{name}.tsv") for name in ("train", "dev", "test"))
        note = f"SST-2's split by sentences. Reported on the test split: {len(test)} sentences."
    else:
        splits = from_hub("SST-2", "stanfordnlp/sst2", ADVICE)
        labelled = ([Example(row["sentence"].strip(), LABELS[row["label"]]) for row in splits[name]]
                    for name in ("train", "validation"))  # fmt: skip
        (train, validation, test), note = without_test_labels(*labelled)
    return Classification(name="sst2", train=train, validation=validation, test=test, note=note, labels=LABELS)


def _read(file: Path) -> list[Example]:
    found = []
    for number, line in numbered_lines(file, ADVICE):
        if number == 1 and line.split("\t") == ["sentence", "label"]:  # GLUE's files have a head
            continue
        text, _, label = line.rpartition("\t")
        if label.strip() not in ("0", "1") or not text.strip():
            raise LoRAError(f"{file}, line {number}: expected `sentence<TAB>0 or 1`, got {line[:80]!r}")
        found.append(Example(text.strip(), LABELS[int(label)]))
    return found


def without_test_labels(train: list[Example], validation: list[Example]) -> tuple[list[list[Example]], str]:
    """(train, validation, test) and the note, where only `train` and `validation` have labels (GLUE)."""
    train = random.Random(0).sample(train, len(train))
    held_out = min(1000, max(1, len(train) // 10))
    note = (
        "GLUE's test labels are not public: reported on GLUE's validation split "
        f"({len(validation)} sentences), validated on {held_out} training examples that were set aside. Training "
        "examples are phrases as well as sentences."
    )
    return [train[held_out:], train[:held_out], validation], note
