"""How many of an adapter's directions does its task need? The kept adapters, cut to their strongest k and scored.

    python -m lorakit.chapters.inside_delta_w.truncation            writes data/results/adapter_truncation.json

The adapters of rank 64 in data/adapters are cut projection by projection (`study.at_rank`) and scored on the
test split.
"""

import pandas as pd

import lorakit as lk
from lorakit.chapters.inside_delta_w.experiments import kept, name_of
from lorakit.lab.evaluate import evaluate, mean_loss
from lorakit.lab.places import ADAPTERS, RESULTS
from lorakit.lab.record import read, write
from lorakit.lab.tasks.python_source import python_source
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.study.at_rank import adapter_at_rank

RECORD = RESULTS / "adapter_truncation.json"
TASKS = {"sql": text_to_sql, "python": python_source}
LARGE = [name_of(run) for run in kept() if run.r == 64]
KEPT = (0, 1, 2, 4, 8, 64)


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


def recorded() -> pd.DataFrame:
    """A row for each large adapter and k: adapter, task ("sql", "python"), k, questions, and the task's metrics."""
    rows = pd.DataFrame(read(RECORD)["rows"])
    return rows.assign(task=rows["adapter"].str.split("-").str[0])


def recovered(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    """The share of the gain over the base that the strongest k directions bring: adapters of a task × k, 0 to 1.

    1 is what all directions bring. Of right answers for "sql", of bits per byte for "python".
    """
    metric = {"sql": "execution", "python": "bits_per_byte"}[task]
    scores = rows[rows["task"] == task].pivot(index="adapter", columns="k", values=metric)
    base, whole = scores.iloc[:, 0], scores.iloc[:, -1]
    return scores.sub(base, axis=0).div(whole - base, axis=0)


if __name__ == "__main__":
    rows = [row for name in LARGE for row in score_at_ranks(name, KEPT, train_loss=True)]
    what = "kept adapters cut to the k strongest directions of each ΔW, scored on the test split"
    write(RECORD, {"what": what, "rows": rows}, "python -m lorakit.chapters.inside_delta_w.truncation")
