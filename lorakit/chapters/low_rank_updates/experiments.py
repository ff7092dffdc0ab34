"""The recorded sweeps of chapter 02: how few directions, how few dimensions an update needs."""

from dataclasses import replace

from lorakit.chapters.experiment import ALL, Experiment, full, lora, nearest, seeds, steps, tuned
from lorakit.lab import records
from lorakit.lab.sweep import Run

DIMENSIONS = (1, 16, 64, 256, 1024, 16384)


def subspace(d: int, step: float) -> Run:
    """`step` is about how far Adam moves the weights in one step, whatever d: lr = step / √d."""
    return Run(method="subspace", d=d, lr=float(f"{step / d**0.5:.3g}"), steps=steps(100))


def intrinsic(rows: list[dict]) -> list[Run]:
    """Three steps at three sizes; every d then has the one that was best at the nearest of them."""
    grid = [subspace(d, step) for d in (16, 1024, 65536) for step in (1, 3, 10)]
    done = [row for row in rows if Run.of(row) in set(grid) and "metrics" in row]
    if len(done) < len(grid):
        return grid
    rates = records.best_lr(records.frame(done), ["d"], "validation_execution")
    best = {d: float(f"{lr * d**0.5:.2g}") for d, lr in rates.items()}
    chosen = [subspace(d, best[nearest(d, best)]) for d in DIMENSIONS]
    return list(dict.fromkeys([*grid, *(replace(run, seed=seed) for seed in seeds() for run in chosen)]))


def nano_early() -> list[Run]:
    """Rank × placement, and full fine-tuning; three times the steps, since there is more to learn."""
    more = {"base": "nano-early", "steps": steps(300)}
    return [lora(8, 1e-2, **more), lora(8, 1e-2, ALL, **more), lora(64, 1e-2, ALL, **more), full(1e-3, **more)]


def truncation() -> list[Run]:
    """Full fine-tuning whose ΔW is taken apart afterwards, at the rates that `rank_text_to_sql` and `nano_early` chose;
    the spectra, which are large, once for each base.
    """
    both = ("truncation", "spectra")
    every = [full(3e-5, seed=seed, measure=both if seed == 0 else ("truncation",)) for seed in seeds()]
    return [*every, full(1e-3, base="nano-early", steps=steps(300), measure=both)]


EXPERIMENTS = [
    Experiment("truncation", "full fine-tuning, its ΔW cut to rank k", lambda rows: truncation()),
    Experiment("intrinsic_dimension", "training in a random subspace of d dimensions", intrinsic),
    Experiment(
        "nano_early",
        "a base that has not learnt what the task builds on",
        lambda rows: tuned(nano_early(), rows, report=3),
    ),
]
