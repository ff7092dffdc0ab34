"""Is each adapter a specialist? Every kept style adapter, and the bare base, scored on every style.

    python -m lorakit.chapters.one_model_many_tasks.cross            writes data/results/styles_cross.json

Bits per byte and perplexity per token on the test texts, all of them and by what of them is new to training
(`styles.style_task`). On nano, in float32: about a minute on a CPU.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch
from torch import nn

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import evaluate
from lorakit.lab.places import ADAPTERS, RESULTS
from lorakit.lab.record import versions
from lorakit.lab.tasks.styles import HELD_OUT, STYLES, style_task
from lorakit.lab.tasks.task import Task

RECORD = RESULTS / "styles_cross.json"


def style_adapters(folder: Path = ADAPTERS) -> dict[str, Path]:
    """Style → the folder of its kept adapter. Raises LoRAError where one is missing."""
    found = {style: folder / f"{style}-r4" for style in STYLES}
    missing = [str(path) for path in found.values() if not path.is_dir()]
    if missing:
        raise LoRAError(f"missing: {', '.join(missing)}; make them with python -m lorakit.chapters.results styles")
    return found


def load_styles(model: nn.Module, styles: Sequence[str] = tuple(STYLES)) -> nn.Module:
    """Load the kept adapters into `model`, each named like its style; the last one is active. Returns the model."""
    folders = style_adapters()
    for style in styles:
        lk.load_adapter(model, folders[style], name=style)
    return model


def judge(model: nn.Module, tokenizer, style: str, held_out: str | None = None, limit: int | None = None) -> dict:
    """The model as it stands on the test texts of a style: {"bits_per_byte", "perplexity" (per token)}.

    held_out   only the texts that are new in this way: "combinations", "words" or "patterns"; None: all
    limit      the first so many of these, taken from each kind alike when `held_out` is None
    """
    kinds = HELD_OUT if held_out is None else (held_out,)
    each = None if limit is None else max(1, limit // len(kinds))
    task = _task(style)
    test = [e for kind in kinds for e in [e for e in task.test if e.info["held_out"] == kind][:each]]
    if not test:
        raise LoRAError(f"held_out must be one of {', '.join(HELD_OUT)} or None, got {held_out!r}")
    found = evaluate(model, tokenizer, replace(task, test=test))
    return {"bits_per_byte": found["bits_per_byte"], "perplexity": math.exp(found["loss"])}


@cache
def _task(style: str) -> Task:
    return style_task(style, limit=1)


def cross_table(model: nn.Module, tokenizer, adapters: Sequence[str | None], limit: int | None = None) -> list[dict]:
    """A row for every adapter (None: the bare base) on every style; the active adapter is as before afterwards."""
    before, rows = lk.active_adapter(model), []
    try:
        for name in adapters:
            lk.set_adapter(model, name)
            for style in STYLES:
                rows.append({"adapter": name or "base", "style": style, **judge(model, tokenizer, style, limit=limit)})
    finally:
        lk.set_adapter(model, before)
    return rows


def recorded() -> dict:
    """The record. Raises LoRAError where it is missing."""
    if not RECORD.is_file():
        raise LoRAError(f"{RECORD} is missing: run python -m lorakit.chapters.one_model_many_tasks.cross")
    return json.loads(RECORD.read_text("utf-8"))


def record(out: Path = RECORD) -> Path:
    """Score everything and write it, rounded to four digits behind the point."""
    model, tokenizer = lk.load_base("nano", device="cpu")
    load_styles(model)
    rows = cross_table(model, tokenizer, [None, *STYLES])
    for row in rows:
        lk.set_adapter(model, None if row["adapter"] == "base" else row["adapter"])
        if row["adapter"] in ("base", row["style"]):
            row["by"] = {kind: judge(model, tokenizer, row["style"], kind)["bits_per_byte"] for kind in HELD_OUT}
    note = {
        "what": "the kept style adapters and the base on the test texts of each style; `by`: what is new in them",
        "command": "python -m lorakit.chapters.one_model_many_tasks.cross",
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = json.loads(json.dumps(rows), parse_float=lambda number: round(float(number), 4))
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in note.items())
    body = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    out.write_text(f'{{\n{head},\n"rows": [\n{body}\n]\n}}\n', encoding="utf-8")
    return out


if __name__ == "__main__":
    try:
        print(f"written: {record()}")
    except LoRAError as error:
        sys.exit(str(error))
