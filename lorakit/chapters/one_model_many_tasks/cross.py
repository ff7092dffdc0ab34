"""Is each adapter a specialist? Every kept style adapter, and the bare base, scored on every style.

    python -m lorakit.chapters.one_model_many_tasks.cross            writes data/results/styles_cross.json

Bits per byte and perplexity per token on the test texts, all of them and by what of them is new to training
(`styles.style_task`). On nano, in float32: about a minute on a CPU.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pandas as pd
from torch import nn

import lorakit as lk
from lorakit.lab import record
from lorakit.lab.evaluate import evaluate
from lorakit.lab.places import ADAPTERS, RESULTS
from lorakit.lab.tasks.styles import HELD_OUT, STYLES, style_task

RECORD = RESULTS / "styles_cross.json"
FOLDERS = {style: ADAPTERS / f"{style}-r4" for style in STYLES}  # of the kept adapters

style_texts = cache(style_task)  # three files of 2,900 texts, asked for again and again


def judge(model: nn.Module, tokenizer, style: str, held_out: str | None = None, limit: int | None = None) -> dict:
    """The model as it stands on the test texts of a style: {"bits_per_byte", "perplexity" (per token)}.

    held_out   only the texts that are new in this way: "combinations", "words" or "patterns"; None: all
    limit      the first so many of these, taken from each kind alike when `held_out` is None
    """
    task, kinds = style_texts(style), HELD_OUT if held_out is None else (held_out,)
    each = None if limit is None else max(1, limit // len(kinds))
    test = [example for kind in kinds for example in [e for e in task.test if e.info["held_out"] == kind][:each]]
    found = evaluate(model, tokenizer, replace(task, test=test))
    return {"bits_per_byte": found["bits_per_byte"], "perplexity": math.exp(found["loss"])}


def cross_table(model: nn.Module, tokenizer, adapters: Sequence[str | None], limit: int | None = None) -> pd.DataFrame:
    """Bits per byte of every adapter (None: the base), a row each, on the texts of every style, a column each."""
    scores = {}
    for name in adapters:
        with lk.using(model, name):
            scores[name or "base"] = {s: judge(model, tokenizer, s, limit=limit)["bits_per_byte"] for s in STYLES}
    return pd.DataFrame.from_dict(scores, orient="index")


def recorded() -> pd.DataFrame:
    """A row for every adapter on every style: bits_per_byte and perplexity on all test texts of the style.

    For the base and the style's own adapter also the bits per byte by what is new in the texts: a column for each of
    HELD_OUT.
    """
    rows = record.read(RECORD)["rows"]
    return pd.DataFrame([{**row, **row.pop("by", {})} for row in rows])


def main() -> None:
    """Score everything and write it."""
    model, tokenizer = lk.load_base("nano", device="cpu")
    for style, folder in FOLDERS.items():
        lk.load_adapter(model, folder, name=style)
    rows = []
    for name in (None, *STYLES):
        with lk.using(model, name):
            for style in STYLES:
                row = {"adapter": name or "base", "style": style, **judge(model, tokenizer, style)}
                if name in (None, style):
                    row["by"] = {kind: judge(model, tokenizer, style, kind)["bits_per_byte"] for kind in HELD_OUT}
                rows.append(row)
    what = "the kept style adapters and the base on the test texts of each style; `by`: what is new in them"
    command = "python -m lorakit.chapters.one_model_many_tasks.cross"
    record.write(RECORD, {"what": what, "rows": rows}, command)
    print(f"written: {RECORD}")


if __name__ == "__main__":
    main()
