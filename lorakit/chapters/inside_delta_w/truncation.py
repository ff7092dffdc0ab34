"""How many of an adapter's directions does its task need? The kept adapters, cut to their strongest k and scored.

    python -m lorakit.chapters.inside_delta_w.truncation            writes data/results/adapter_truncation.json

The adapters of rank 64 in data/adapters are cut projection by projection (`study.at_rank`) and scored on the
test split. A row that is recorded already is not done again.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab.evaluate import evaluate, mean_loss
from lorakit.lab.places import ADAPTERS, RESULTS
from lorakit.lab.record import versions
from lorakit.lab.tasks.python_source import python_source
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.study.at_rank import adapter_at_rank

RECORD = RESULTS / "adapter_truncation.json"
TASKS = {"sql": text_to_sql, "python": python_source}
KEPT = (0, 1, 2, 4, 8, 64)


def kept_adapters(folder: Path = ADAPTERS) -> list[str]:
    """The adapters of rank 64 in data/adapters, by name. Raises LoRAError where there are none."""
    names = [path.name for path in sorted(folder.glob("*-r64-seed*")) if path.is_dir()]
    if not names:
        raise LoRAError(
            f"there are no adapters in {folder}: make them with python -m lorakit.chapters.results adapters"
        )
    return names


def rank_of(name: str) -> int:
    """The rank in an adapter's name: 64 for "sql-r64-seed0"."""
    return int(name.split("-")[1].removeprefix("r"))


def score_at_ranks(name: str, ranks, limit: int | None = None, train_loss: bool = False) -> list[dict]:
    """Rows {"adapter", "k", and the task's metrics} of a kept adapter cut to each k, on the test split's first `limit`.

    k = 0 is the bare base, k = r (and above) the adapter as it was trained. `train_loss` adds the loss over the first
    500 training examples: where it is far below the test's, the adapter knows the examples rather than the task.
    """
    task = TASKS[name.split("-")[0]]()
    model, tokenizer = lk.load_base("nano")
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")  # quicker for short rows, as in lab.sweep
    lk.load_adapter(model, ADAPTERS / name, name=name)
    rows = []
    for k in ranks:
        with adapter_at_rank(model, k):
            found = evaluate(model, tokenizer, task, "test", limit=limit, loss=True)
            if train_loss:
                found["train_loss"] = mean_loss(model, tokenizer, task.train[:500])
        metrics = {metric: round(value, 5) for metric, value in found.items() if metric != "answers"}
        rows.append({"adapter": name, "k": k, "questions": len(task.test[:limit]), **metrics})
    return rows


def recorded() -> list[dict]:
    """The recorded rows. Raises LoRAError where the record is missing."""
    if not RECORD.is_file():
        raise LoRAError(f"{RECORD} is missing: run python -m lorakit.chapters.inside_delta_w.truncation")
    return json.loads(RECORD.read_text("utf-8"))["rows"]


def recovered(rows: list[dict], task: str, k: int) -> list[float]:
    """The share of the gain over the base that the strongest k directions bring, for each adapter of a task.

    1 is what all directions bring. Of right answers for "sql", of bits per byte for "python".
    """
    metric = {"sql": "execution", "python": "bits_per_byte"}[task]
    found = {(row["adapter"], row["k"]): row[metric] for row in rows if row["adapter"].startswith(f"{task}-")}
    shares = []
    for name in sorted({name for name, _ in found}):
        base, whole = found[name, 0], found[name, rank_of(name)]
        shares.append((found[name, k] - base) / (whole - base))
    return shares


def record(out: Path = RECORD) -> Path:
    """Score every kept adapter at every k up to its rank that is not in `out` yet."""
    rows = json.loads(out.read_text("utf-8"))["rows"] if out.is_file() else []
    done = {(row["adapter"], row["k"]) for row in rows}
    for name in kept_adapters():
        for k in KEPT:
            if k <= rank_of(name) and (name, k) not in done:
                base = [
                    row for row in rows if k == row["k"] == 0 and row["adapter"].split("-")[0] == name.split("-")[0]
                ]
                # Without any direction every adapter is the bare base, which is slow: it never ends an answer.
                rows += [{**base[0], "adapter": name}] if base else score_at_ranks(name, [k], train_loss=True)
                _write(out, rows)
                print(json.dumps(rows[-1]), flush=True)
    return out


def _write(out: Path, rows: list[dict]) -> None:
    note = {
        "what": "kept adapters cut to the k strongest directions of each ΔW, scored on the test split",
        "command": "python -m lorakit.chapters.inside_delta_w.truncation",
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in note.items())
    body = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    out.write_text(f'{{\n{head},\n"rows": [\n{body}\n]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    try:
        print(f"written: {record()}")
    except LoRAError as error:
        sys.exit(str(error))
