"""The recorded sweep of chapter 08: the adapters that it looks into."""

from lorakit.chapters.experiment import Experiment, lora, steps
from lorakit.lab.sweep import Run


def kept() -> list[Run]:
    """r = 8 against r = 64, and r = 64 from two seeds."""
    return [
        lora(r, lr, seed=seed, task=task, batch_size=batch_size, steps=steps(200))
        for task, batch_size, lr in (("text_to_sql", 32, 3e-3), ("python", 16, 1e-2))
        for r, seed in ((8, 0), (64, 0), (64, 1))
    ]


def name_of(run: Run) -> str:
    task = "sql" if run.task == "text_to_sql" else run.task
    return f"{task}-r{run.r}-seed{run.seed}"


EXPERIMENTS = [Experiment("adapters", "the adapters in data/adapters", lambda rows: kept(), keep=name_of)]
