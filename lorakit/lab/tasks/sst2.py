"""SST-2: a sentence of a film review in, whether it is positive or negative out (a GLUE task of the LoRA paper)."""

from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.places import data_folder
from lorakit.lab.tasks.classification import Classification
from lorakit.lab.tasks.sources import from_hub, numbered_lines
from lorakit.lab.tasks.task import Example

LABELS = ("negative", "positive")  # 0 and 1 in the files
ADVICE = (
    "SST-2 is read from the folder `sst2` under LORAKIT_DATA (train.tsv, dev.tsv and test.tsv with lines "
    "`sentence<TAB>label`, label 0 or 1), or with a network from the Hub, for which `pip install datasets`."
)


def sst2() -> Classification:
    """The SST-2 task: is a sentence of a film review "negative" or "positive"? (Socher et al. 2013). Metric: accuracy.

    It is read from LORAKIT_DATA/sst2 (train.tsv, dev.tsv, test.tsv), else the Hugging Face Hub; both are the classic
    split by sentences: 6,920 / 872 / 1,821. (GLUE's has no public labels for its test; the LoRA paper reports its
    validation split.) Raises LoRAError.
    """
    place = data_folder("sst2")
    if place:
        train, validation, test = (_read(place / f"{name}.tsv") for name in ("train", "dev", "test"))
    else:
        splits = from_hub("SST-2", "SetFit/sst2", ADVICE)
        train, validation, test = (
            [Example(row["text"].strip(), LABELS[row["label"]]) for row in splits[name]]
            for name in ("train", "validation", "test")
        )
    note = f"SST-2's split by sentences. Reported on the test split: {len(test)} sentences."
    return Classification(name="sst2", train=train, validation=validation, test=test, note=note, labels=LABELS)


def _read(file: Path) -> list[Example]:
    found = []
    for number, line in numbered_lines(file, ADVICE):
        text, _, label = line.rpartition("\t")
        if label.strip() not in ("0", "1") or not text.strip():
            raise LoRAError(f"{file}, line {number}: expected `sentence<TAB>0 or 1`, got {line[:80]!r}")
        found.append(Example(text.strip(), LABELS[int(label)]))
    return found
