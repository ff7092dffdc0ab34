"""The recorded sweeps of chapter 02: how few directions, how few dimensions an update needs."""

from lorakit.chapters.experiment import (
    METRIC,
    Experiment,
    full,
    lora,
    measured_full,
    nearest,
    over_seeds,
    seeds,
    steps,
)
from lorakit.lab import records
from lorakit.lab.sweep import Run

DIMENSIONS = (1, 16, 64, 256, 1024, 16384)


def subspace(d: int, step: float) -> Run:
    """`step` is about how far Adam moves the weights in one step, whatever d: lr = step / √d."""
    return Run(method="subspace", d=d, lr=float(f"{step / d**0.5:.3g}"), steps=steps(100))


def intrinsic_grid() -> list[Run]:
    return [subspace(d, step) for d in (16, 1024, 65536) for step in (1, 3, 10)]


def intrinsic_final(rows: list[dict]) -> list[Run]:
    """Every d with the step that was best at the nearest d of the grid; full fine-tuning is in rank_text_to_sql."""
    rates = records.best_lr(records.frame(rows), ["d"], METRIC["text_to_sql"])
    best = {d: float(f"{lr * d**0.5:.2g}") for d, lr in rates.items()}
    return over_seeds(subspace(d, best[nearest(d, best)]) for d in DIMENSIONS)


def nano_early() -> list[Run]:
    """At the rates that nano_early_600_steps.json tried; three times the steps, since there is more to learn."""
    more = {"base": "nano-early", "steps": steps(300)}
    measured = {0: ("truncation", "spectra")}
    return [
        *over_seeds([lora(8, 1e-2, **more)]),
        *(full(1e-3, seed=seed, measure=measured.get(seed, ()), **more) for seed in seeds()),
        lora(64, 1e-2, **more),
    ]


def truncation() -> list[Run]:
    return [*measured_full(), *(run for run in nano_early() if run.measure)]


EXPERIMENTS = [
    Experiment("truncation", "full fine-tuning, its ΔW cut to rank k", truncation),
    Experiment("intrinsic_dimension", "training in a random subspace of d dimensions", intrinsic_grid, intrinsic_final),
    Experiment("nano_early", "a base that has not learnt what the task builds on", nano_early),
]
