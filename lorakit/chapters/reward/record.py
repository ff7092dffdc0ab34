"""The recorded runs of chapter 13, each with its own learning rate: half a decade apart, worse ones on both sides.

    python -m lorakit.chapters.reward.record             writes data/results/reward.jsonl, and goes on where it stopped

About a minute and a half a run on one core. Two seeds choose by the validation questions, three report.
"""

import time
from functools import cache

import pandas as pd
import torch
from tqdm.auto import tqdm

import lorakit as lk
from lorakit.chapters.experiment import CHOOSE, NOISE, open_rates
from lorakit.chapters.reward.reinforce import reinforce
from lorakit.chapters.reward.settings import prepare
from lorakit.lab import json_lines
from lorakit.lab.evaluate import evaluate
from lorakit.lab.places import RESULTS
from lorakit.lab.record import about
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.text_to_sql import run_sql, same_result

RECORD = RESULTS / "reward.jsonl"
SETTINGS = {"r = 1": 3e-3, "r = 64": 3e-3, "full": 1e-4, "v = 16": 3e-2}  # where each search begins
STEPS, SEEDS = 16, 3
METRIC = "validation_execution"

task = cache(TASKS["text_to_sql"])


def right_rows(answer: str, example) -> float:
    """1 where the query gives the rows that the right one gives."""
    return float(same_result(answer, example))


def any_rows(answer: str, example) -> float:
    """1 where the query runs and gives any row at all: a reward that is easier to write down."""
    try:
        return float(len(run_sql(answer, example.info)) > 0)
    except Exception:
        return 0.0


REWARDS = {"right rows": right_rows, "any rows": any_rows}


def run(setting: str, lr: float, seed: int, reward: str = "right rows", steps: int = STEPS, scored=None) -> dict:
    """One run on nano: its rewards step by step, and how well it answers afterwards, greedily."""
    model, tokenizer = lk.load_base("nano", device="cpu")
    prepare(model, setting, seed)
    started = time.perf_counter()
    found = reinforce(model, tokenizer, task().train, REWARDS[reward], steps=steps, lr=lr, seed=seed)
    seconds = time.perf_counter() - started
    scores = {split: evaluate(model, tokenizer, task(), split, limit=scored) for split in ("validation", "test")}
    answers = scores["test"]["answers"]
    right = [same_result(answer, asked) for answer, asked in zip(answers, task().test, strict=False)]
    return {
        "task": "text_to_sql",
        "setting": setting, "lr": lr, "seed": seed, "reward": reward, "steps": steps,
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "rewarded": found, "seconds": round(seconds, 1),
        **{f"{split}_execution": scores[split]["execution"] for split in scores},
        "right": "".join(str(int(one)) for one in right), "answers": answers[:8], **about(),
    }  # fmt: skip


def wanted(rows: list[dict]) -> list[dict]:
    """The runs that belong to the record, seen those that are done; it is asked again until it wants nothing new."""
    cost = {(row["setting"], row["lr"], row["seed"]): -row[METRIC] for row in rows if row["reward"] == "right rows"}
    todo = [{"setting": "r = 1", "lr": 3e-3, "seed": seed, "reward": "any rows"} for seed in range(SEEDS)]
    for setting, start in SETTINGS.items():

        def mean(lr: float, setting=setting) -> float | None:
            costs = [cost[setting, lr, seed] for seed in range(CHOOSE) if (setting, lr, seed) in cost]
            return sum(costs) / CHOOSE if len(costs) == CHOOSE else None

        rates, best = open_rates(start, mean, NOISE[METRIC])
        tried = [(lr, seed) for lr in rates for seed in range(SEEDS if lr == best else CHOOSE)]
        todo += [{"setting": setting, "lr": lr, "seed": seed, "reward": "right rows"} for lr, seed in tried]
    return todo


def remaining(rows: list[dict]) -> list[dict]:
    return [one for one in wanted(rows) if not any(one.items() <= row.items() for row in rows)]


def recorded() -> pd.DataFrame:
    """The recorded runs: setting, lr, seed, reward, "rewarded" (steps, questions), test_execution, trainable …"""
    return pd.DataFrame(json_lines.read(RECORD))


def main() -> None:
    torch.set_num_threads(1)
    with tqdm(desc="reward") as bar:
        while todo := remaining(json_lines.read(RECORD)):
            bar.set_postfix_str(str(list(todo[0].values())))
            json_lines.append(RECORD, run(**todo[0]))
            bar.update()


if __name__ == "__main__":
    main()
