"""Chapter 07's table: every way to adapt the base with its accuracy from the sweeps and its costs as measured."""

import numpy as np
import pandas as pd

from lorakit.chapters.compare import reported
from lorakit.lab import records
from lorakit.lab.kinds import KINDS, costs

# By task: its sweeps, the second with LoRA and full fine-tuning on as many steps; their batch size; the metric that is
# shown; what it is multiplied by.
TASKS = {
    "text_to_sql": (("rivals", "students", "rank_text_to_sql"), 32, "execution", 100),
    "python": (("rivals_python", "rank_python"), 16, "bits_per_byte", 1),
}
SAME = ["base", "method", "size", "hidden", "r", "alpha", "targets", "use_rslora", "steps"]


def recorded(task: str = "text_to_sql") -> pd.DataFrame:
    """The recorded runs of KINDS on a task; see `of_kinds`."""
    return of_kinds(pd.concat([records.load(name) for name in TASKS[task][0]]), task)


def of_kinds(runs: pd.DataFrame, task: str = "text_to_sql") -> pd.DataFrame:
    """Of the runs of sweeps those that are one of KINDS, in its order, on a task: a row each.

    Columns: key, lr, seed, validation and test (percent right, or bits per byte), and `best`: whether the run has the
    learning rate that validation chose for its kind (`compare.reported`).
    """
    _, batch_size, metric, factor = TASKS[task]
    kinds = pd.DataFrame(
        [{"key": key} | {name: getattr(kind.run, name) for name in SAME} for key, kind in KINDS.items()]
    )
    kinds["targets"] = kinds["targets"].map("+".join)
    runs = runs[(runs["task"] == task) & (runs["batch_size"] == batch_size)]
    runs = kinds.merge(runs.fillna({"size": 0, "hidden": 0}), on=SAME)  # two fields that old records lack
    runs["best"] = runs["lr"] == runs["key"].map(reported(runs, ["key"]).groupby("key")["lr"].first())
    for split in ("validation", "test"):
        runs[split] = factor * runs[f"{split}_{metric}"]
    return runs[["key", "lr", "seed", "validation", "test", "best"]]


def scores(runs: pd.DataFrame) -> pd.DataFrame:
    """By key: the chosen rate `lr`, how many `seeds` it has, and over them validation and test.

    A score's name is its mean's column; _low and _high are its range, _std its standard deviation (n - 1).
    """
    best = runs[runs["best"]].groupby("key", sort=False)
    table = best.agg(lr=("lr", "first"), seeds=("seed", "count"))
    for split in ("validation", "test"):
        columns = [split, f"{split}_low", f"{split}_high", f"{split}_std"]
        table[columns] = best[split].agg(["mean", "min", "max", "std"])
    return table


def rivals_table(runs: pd.DataFrame | None = None, found: dict | None = None) -> pd.DataFrame:
    """By key the `scores` of text-to-SQL and the `costs`, from the records; kinds that lack either are left out.

    One column more, `beside`: whether all seeds lie "above" or "below" LoRA's on test, or they are "level".
    """
    table = scores(recorded() if runs is None else runs).join(costs(found), how="inner")
    lora = table.loc["lora"]
    apart = [table["test_low"] > lora["test_high"], table["test_high"] < lora["test_low"]]
    table["beside"] = np.select(apart, ["above", "below"], "level")
    return table


def percent(row: pd.Series, split: str) -> str:
    """A row's mean and range over seeds: "78.2 (77.4–78.6)"; a single seed is said to be one."""
    many = f"({row[f'{split}_low']:.1f}–{row[f'{split}_high']:.1f})"
    return f"{row[split]:.1f} {many if row['seeds'] > 1 else '(1 seed)'}"


def page(table: pd.DataFrame) -> pd.DataFrame:
    """The table as the chapter shows it: rounded, by the methods' names."""
    shown = pd.DataFrame(index=table.index)
    shown["trained"] = table["trained"].map("{:,}".format) + table["share"].map(" ({:.3g}\u00a0%)".format)
    shown["valid. %"] = table["validation"].round(1)
    shown["test % (seeds)"] = [percent(row, "test") for _, row in table.iterrows()]
    shown["step, MB"] = table["memory"].round().astype(int)
    shown[["prompt", "token"]] = table[["prefill", "decode"]].round(2)
    shown[["context", "base", "merges", "mixes"]] = table[["context", "base", "merges", "mixes"]]
    return shown.set_index(table["method"].rename(None))


def measured_on(found: dict) -> str:
    """What the page's costs are, their noise, and the device that they were measured on."""
    noise, merged = found["noise"], found["merged"]
    return (
        f"step: memory at its peak, {found['rows_in_step']} questions\n"
        f"prompt: time to read {found['length']} tokens, over the base's; noise ± {noise['prefill']:.1%}; "
        f"LoRA once merged {merged['prefill'][0]:.2f}\n"
        f"token: time to write one, over the base's; noise ± {noise['decode']:.1%}; "
        f"LoRA once merged {merged['decode'][0]:.2f}\n"
        f"device: {found['device']}, threads: {found['threads']}, {found['date']}"
    )
