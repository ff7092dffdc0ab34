"""The recorded sweeps of chapter 07: every rival at its own learning rate, on two tasks."""

from dataclasses import replace

from lorakit.chapters.experiment import Experiment, at_best_lr, over_seeds, steps
from lorakit.lab.budget import by_budget
from lorakit.lab.kinds import KINDS
from lorakit.lab.sweep import Run

# Learning rates that are tried. The student, which has lost half of its blocks, also learns ten times as long.
SQL = {
    "distill_long": (1e-3, 2e-3),
    "bitfit": (1e-3, 3e-3, 1e-2, 3e-2),
    "last_block": (3e-4, 1e-3, 3e-3),
    "houlsby": (1e-3, 3e-3, 1e-2, 3e-2),
    "pfeiffer": (1e-3, 3e-3, 1e-2, 3e-2),
    "prefix": (1e-2, 3e-2, 1e-1, 3e-1),
    "prefix_mlp": (1e-3, 3e-3, 1e-2, 3e-2),
    "distill": (5e-4, 1e-3, 2e-3),
}
# The domain that the base has never seen: without the student, since there is no teacher of it.
PYTHON = {
    "bitfit": (1e-2, 3e-2, 1e-1),
    "last_block": (1e-3, 3e-3, 1e-2),
    "houlsby": (3e-3, 1e-2, 3e-2),
    "pfeiffer": (3e-3, 1e-2, 3e-2),
    "prefix": (3e-2, 1e-1, 3e-1),
    "prefix_mlp": (3e-3, 1e-2, 3e-2),
}


def grid(rates: dict[str, tuple[float, ...]], **more) -> list[Run]:
    """Every kind at each of its rates, one seed."""
    runs = {name: KINDS[name].run for name in rates}
    return [replace(run, lr=lr, steps=steps(run.steps), **more) for name, run in runs.items() for lr in rates[name]]


def final(rows: list[dict]) -> list[Run]:
    """Each at its own best rate; prefix tuning, which is said to be unstable, with two more seeds."""
    best = at_best_lr(rows, ["method", "size", "hidden", "steps"])
    more = [replace(run, seed=seed) for seed in (3, 4) for run in best if run.method == "prefix" and not run.seed]
    return over_seeds(best) + by_budget([], more, more)


EXPERIMENTS = [
    Experiment("rivals", "other ways to adapt the base, text-to-SQL (LoRA and full: rank_text_to_sql)",
               lambda: grid(SQL), final),
    Experiment("rivals_python", "the same on the domain that the base has never seen",
               lambda: grid(PYTHON, task="python", batch_size=16), final),
]  # fmt: skip
