"""The recorded sweep of chapter 10: one adapter a style."""

from lorakit.chapters.experiment import Experiment, lora, steps, tuned
from lorakit.lab.sweep import Run


def styles() -> list[Run]:
    """On the MLP, which learns a new domain better than attention does (see matrices_python)."""
    more = {"steps": steps(200), "batch_size": 16}
    return [lora(4, 1e-2, ("mlp",), task=style, **more) for style in ("law", "medicine", "code")]


def name(run: Run) -> str | None:
    """Seed 2 is kept: the search for the rate has seeds 0 and 1."""
    return f"{run.task}-r{run.r}" if run.seed == 2 else None


EXPERIMENTS = [
    Experiment("styles", "three styles on one base: law, medicine, code",
               lambda rows: tuned(styles(), rows, report=3), name),
]  # fmt: skip
