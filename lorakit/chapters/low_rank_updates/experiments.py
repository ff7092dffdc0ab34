"""The recorded sweeps of chapter 02: how few directions, how few dimensions an update needs."""

from lorakit.chapters.experiment import ALL, Experiment, full, lora, seeds, steps, tuned
from lorakit.lab.sweep import Run

# d → where the search for its learning rate begins.
DIMENSIONS = {16: 3.0, 64: 1.0, 256: 0.1, 1024: 0.03}


def subspaces(rows: list[dict]) -> list[Run]:
    """A random subspace of each size, at its own rate."""
    settings = [Run(method="subspace", d=d, lr=lr, steps=steps(100)) for d, lr in DIMENSIONS.items()]
    return tuned(settings, rows, report=3)


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
    Experiment("intrinsic_dimension", "training in a random subspace of d dimensions", subspaces),
    Experiment(
        "nano_early",
        "a base that has not learnt what the task builds on",
        lambda rows: tuned(nano_early(), rows, report=3),
    ),
]
