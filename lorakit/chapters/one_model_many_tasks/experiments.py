"""The recorded sweep of chapter 10: one adapter a style."""

from lorakit.chapters.experiment import Experiment, at_best_lr, lora, over_seeds, steps
from lorakit.lab.sweep import Run


def grid() -> list[Run]:
    """On the MLP, which learns a new domain better than attention does (see matrices_python); alpha = 2 r."""
    more = {"alpha": 8, "steps": steps(200), "batch_size": 16}
    return [lora(4, lr, ("mlp",), task=style, **more) for lr in (3e-3, 1e-2) for style in ("law", "medicine", "code")]


def final(rows: list[dict]) -> list[Run]:
    return over_seeds(at_best_lr(rows, ["task"]))


def name(run: Run) -> str | None:
    """Seed 1 is kept: the grid, which runs before the rate is chosen, has seed 0 alone."""
    return f"{run.task}-r{run.r}" if run.seed == 1 else None


EXPERIMENTS = [Experiment("styles", "three styles on one base: law, medicine, code", grid, final, name)]
