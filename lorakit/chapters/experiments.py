"""The course's sweeps, declared as data: which runs make the recorded results of which chapter.

An experiment has a grid (one seed: learning rates are chosen there, on validation) and then the runs that are
reported, over three seeds, at what the grid found. LORAKIT_BUDGET scales the number of steps and of seeds.
"""

from dataclasses import replace

from lorakit.chapters.experiment import METRIC, Experiment, full, lora, over_seeds, seeds, steps
from lorakit.chapters.experiments_real import REAL
from lorakit.lab.budget import by_budget
from lorakit.lab.old_records import best_lr, select, summarise
from lorakit.lab.sweep import Run

RANKS = (1, 2, 4, 8, 64)  # Hu et al. 2021, Table 6
RATES = {"text_to_sql": (3e-4, 1e-3, 3e-3, 1e-2), "python": (3e-3, 1e-2, 3e-2, 1e-1)}
FULL_RATES = {"text_to_sql": (2e-4, 5e-4, 1e-3), "python": (5e-4, 1e-3, 2e-3, 4e-3)}
# Targets whose adapters hold the same number of parameters: 40,960 at width 256 and 4 layers (all of them together:
# 36,864 at r = 2, no whole rank comes nearer): (targets, r). Hu et al. 2021, Table 5, and the MLP, which it left out.
MATRICES = (
    (("q",), 20), (("k",), 20), (("v",), 20), (("o",), 20), (("q", "k"), 10), (("q", "v"), 10),
    (("q", "k", "v", "o"), 5), (("mlp",), 4), (("q", "k", "v", "o", "mlp"), 2),
)  # fmt: skip


def rank_grid(task: str, batch_size: int, ranks=RANKS) -> list[Run]:
    """Ranks and full fine-tuning at every learning rate, one seed."""
    more = {"task": task, "batch_size": batch_size}
    return [lora(r, lr, **more) for lr in RATES[task] for r in ranks] + [full(lr, **more) for lr in FULL_RATES[task]]


def rank_final(rows: list[dict]) -> list[Run]:
    """Each rank at its own best learning rate and at the one that is best for all of them together; full at its own.

    A rank that the grid left out takes the rate of its nearest neighbour there.
    """
    task, batch_size = rows[0]["run"]["task"], rows[0]["run"]["batch_size"]
    more = {"task": task, "batch_size": batch_size}
    found = {r: lr for (r,), lr in best_lr(select(rows, method="lora"), ("r",), METRIC[task]).items()}
    own = {r: found[nearest(r, found)] for r in RANKS}
    best_full = best_lr(select(rows, method="full"), ("method",), METRIC[task])["full",]
    runs = [lora(r, lr, **more) for r, lr in own.items()] + [full(best_full, **more)]
    return over_seeds(dict.fromkeys([*runs, *(lora(r, shared_lr(rows), **more) for r in RANKS)]))


def nearest(wanted: int, known) -> int:
    """The one of `known` that `wanted` is the smallest factor away from."""
    return min(known, key=lambda one: max(one, wanted) / min(one, wanted))


def shared_lr(rows: list[dict]) -> float:
    """The one learning rate that is best for all ranks of the grid together, on validation at seed 0."""
    task = rows[0]["run"]["task"]
    grid = select(rows, method="lora", seed=0)
    whole = max(s.n for s in summarise(grid, ("lr",), METRIC[task]))  # final runs add more at some of the rates
    rates = {s.key[0] for s in summarise(grid, ("lr",), METRIC[task]) if s.n == whole}
    return best_lr([row for row in grid if row["run"]["lr"] in rates], ("method",), METRIC[task])["lora",]


def matrices(task: str, batch_size: int, rates, classroom: int = 100) -> list[Run]:
    """Every choice of targets at every rate, one seed; alpha = 2 r, so that all are scaled alike."""
    more = {"task": task, "batch_size": batch_size, "steps": steps(classroom)}
    return [replace(lora(r, lr, targets, **more), alpha=2 * r) for lr in rates for targets, r in MATRICES]


def matrices_final(rows: list[dict]) -> list[Run]:
    """Each choice of targets at its own best rate."""
    task = rows[0]["run"]["task"]
    found = best_lr(rows, ("targets",), METRIC[task])
    return over_seeds([run for row in rows if found[(run := Run.of(row)).targets,] == run.lr])


def alpha_lr() -> list[Run]:
    """alpha and learning rate each over a factor of 64, r = 8: seven diagonals of equal alpha × learning rate."""
    return [
        replace(lora(8, lr), alpha=alpha, steps=steps(60))
        for lr in (6.25e-4, 2.5e-3, 1e-2, 4e-2)
        for alpha in (1, 4, 16, 64)
    ]


def rslora() -> list[Run]:
    """alpha / r against alpha / √r at ranks up to the width, all else equal; on Python source, where ranks differ."""
    more = {"task": "python", "batch_size": 8, "steps": steps(60)}
    return over_seeds([lora(r, 1e-2, use_rslora=use, **more) for r in (8, 64, 256) for use in (False, True)])


DIMENSIONS = (1, 16, 64, 256, 1024, 16384)


def subspace(d: int, step: float) -> Run:
    """`step` is about how far Adam moves the weights in one step, whatever d: lr = step / √d."""
    return Run(method="subspace", d=d, lr=float(f"{step / d**0.5:.3g}"), steps=steps(100))


def intrinsic_grid() -> list[Run]:
    return [subspace(d, step) for d in (16, 1024, 65536) for step in (1, 3, 10)]


def intrinsic_final(rows: list[dict]) -> list[Run]:
    """Every d with the step that was best at the nearest d of the grid; full fine-tuning is in rank_text_to_sql."""
    found = {d: lr * d**0.5 for (d,), lr in best_lr(rows, ("d",), METRIC["text_to_sql"]).items()}
    return over_seeds([subspace(d, float(f"{found[nearest(d, found)]:.2g}")) for d in DIMENSIONS])


BOTH = ("truncation", "spectra")


def nano_early() -> list[Run]:
    """At the rates that nano_early_600_steps.json tried; three times the steps, since there is more to learn."""
    more = {"base": "nano-early", "steps": steps(300)}
    return [
        *over_seeds([lora(8, 1e-2, **more)]),
        *(full(1e-3, seed=seed, measure=() if seed else BOTH, **more) for seed in seeds()),
        lora(64, 1e-2, **more),
    ]


def full_runs() -> list[Run]:
    """Full fine-tuning, with curves, whose ΔW is taken apart afterwards; the spectra once."""
    return [
        full(5e-4, steps=steps(200), eval_every=steps(40), seed=seed, measure=BOTH[:1] if seed else BOTH)
        for seed in seeds()
    ]


def truncation() -> list[Run]:
    return [*full_runs(), *(run for run in nano_early() if run.measure)]


def fine_tune() -> list[Run]:
    return [*full_runs(), *over_seeds([lora(8, 3e-3, steps=steps(200), eval_every=steps(40))])]


def e2e() -> list[Run]:
    more = {"task": "e2e", "steps": steps(100)}
    return [run for lr, fast in ((5e-4, 3e-3), (1e-3, 1e-2)) for run in (full(lr, **more), lora(8, fast, **more))]


def e2e_final(rows: list[dict]) -> list[Run]:
    found = best_lr(rows, ("method",), "validation.loss")
    more = {"task": "e2e", "steps": steps(100)}
    return over_seeds([full(found["full",], **more), lora(8, found["lora",], **more)])


def bases() -> list[Run]:
    """The untrained bases, as runs with learning rate 0: what a gain is measured from."""
    asked = ({"task": "python", "batch_size": 16}, {"task": "text_to_sql"}, {"base": "nano-early"})
    return [full(0.0, steps=1, **more) for more in asked]


def kept() -> list[Run]:
    """The adapters that chapter 08 looks into: r = 8 against r = 64, and r = 64 from two seeds."""
    return [
        lora(r, lr, seed=seed, task=task, batch_size=batch_size, steps=steps(200))
        for task, batch_size, lr in (("text_to_sql", 32, 3e-3), ("python", 16, 1e-2))
        for r, seed in ((8, 0), (64, 0), (64, 1))
    ]


def kept_name(run: Run) -> str:
    task = "sql" if run.task == "text_to_sql" else run.task
    return f"{task}-r{run.r}-seed{run.seed}"


# Each rival at about the 32,768 parameters that LoRA r = 8 trains on q and v (width 256, 4 blocks), where its size is
# free; BitFit, the last block and a student have the sizes they have. With the learning rates that are tried.
RIVALS = {
    ("bitfit", 0, 0): (1e-3, 3e-3, 1e-2, 3e-2),
    ("last_block", 0, 0): (3e-4, 1e-3, 3e-3),
    ("houlsby", 8, 0): (1e-3, 3e-3, 1e-2, 3e-2),
    ("pfeiffer", 16, 0): (1e-3, 3e-3, 1e-2, 3e-2),
    ("prefix", 16, 0): (1e-2, 3e-2, 1e-1, 3e-1),
    ("prefix", 16, 256): (1e-3, 3e-3, 1e-2, 3e-2),
    ("distill", 2, 0): (5e-4, 1e-3, 2e-3),
}
RIVALS_PYTHON = {
    ("bitfit", 0, 0): (1e-2, 3e-2, 1e-1),
    ("last_block", 0, 0): (1e-3, 3e-3, 1e-2),
    ("houlsby", 8, 0): (3e-3, 1e-2, 3e-2),
    ("pfeiffer", 16, 0): (3e-3, 1e-2, 3e-2),
    ("prefix", 16, 0): (3e-2, 1e-1, 3e-1),
    ("prefix", 16, 256): (3e-3, 1e-2, 3e-2),
}


def rivals() -> list[Run]:
    """All with as many steps; the student, which has lost half of its blocks, also with ten times as many."""
    longer = [Run(method="distill", size=2, lr=lr, steps=steps(1000)) for lr in (1e-3, 2e-3)]
    return longer + [
        Run(method=method, size=size, hidden=hidden, lr=lr, steps=steps(100))
        for (method, size, hidden), rates in RIVALS.items()
        for lr in rates
    ]


def rivals_python() -> list[Run]:
    """The same on the domain that the base has never seen, but for the student: a teacher of it is missing."""
    more = {"task": "python", "batch_size": 16, "steps": steps(100)}
    return [
        Run(method=method, size=size, hidden=hidden, lr=lr, **more)
        for (method, size, hidden), rates in RIVALS_PYTHON.items()
        for lr in rates
    ]


def rivals_final(rows: list[dict]) -> list[Run]:
    """Each at its own best rate; prefix tuning, which is said to be unstable, with two more seeds."""
    by = ("method", "size", "hidden", "steps")
    found = best_lr(rows, by, METRIC[rows[0]["run"]["task"]])
    grid = dict.fromkeys(Run.of(row) for row in rows if not row["run"]["seed"])
    best = [run for run in grid if found[tuple(getattr(run, name) for name in by)] == run.lr]
    more = [replace(run, seed=seed) for seed in (3, 4) for run in best if run.method == "prefix"]
    return over_seeds(best) + by_budget([], more, more)


STYLES = ("law", "medicine", "code")


def styles() -> list[Run]:
    """One adapter a style, on the MLP, which learns a new domain better than attention does (matrices_python)."""
    return [
        Run(task=style, r=4, alpha=8, targets=("mlp",), lr=lr, steps=steps(200), batch_size=16)
        for lr in (3e-3, 1e-2)
        for style in STYLES
    ]


def styles_final(rows: list[dict]) -> list[Run]:
    found = best_lr(rows, ("task",), "validation.bits_per_byte")
    return over_seeds([run for run in styles() if found[run.task,] == run.lr])


def style_name(run: Run) -> str | None:
    """Seed 1 is kept: the grid, which runs before the rate is chosen, has seed 0 alone."""
    return f"{run.task}-r{run.r}" if run.seed == 1 else None


def tickets() -> list[Run]:
    """Which learning rate for the case of chapter 11, at 200 steps."""
    more = {"task": "ticket_triage", "batch_size": 16, "steps": steps(200)}
    by_lora = [replace(lora(4, lr, ("mlp",), **more), alpha=8) for lr in (3e-3, 1e-2, 2e-2)]
    return by_lora + [full(lr, **more) for lr in (3e-4, 1e-3, 2e-3)]


def tickets_final(rows: list[dict]) -> list[Run]:
    """LoRA at four lengths of training, full fine-tuning at one, each at its own rate."""
    found = best_lr(rows, ("method",), METRIC["ticket_triage"])
    best = {run.method: run for run in map(Run.of, rows) if found[run.method,] == run.lr}
    lengths = [replace(best["lora"], steps=steps(n)) for n in (100, 200, 400, 800)]
    return over_seeds([*lengths, replace(best["full"], steps=steps(400))])


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("bases", "06", "the bases before any training", bases),
        Experiment("rank_text_to_sql", "06", "rank on a task that the base can almost do",
                   lambda: rank_grid("text_to_sql", 32), rank_final),
        Experiment("adapters", "08", "the adapters in data/adapters", kept, keep=kept_name),
        Experiment("truncation", "02", "full fine-tuning, its ΔW cut to rank k", truncation),
        Experiment("fine_tune", "05", "LoRA and full fine-tuning, curves", fine_tune),
        Experiment("rank_python", "06", "rank on a domain that the base has never seen",
                   lambda: rank_grid("python", 16, (1, 8, 64)), rank_final),
        Experiment("intrinsic_dimension", "02", "training in a random subspace of d dimensions",
                   intrinsic_grid, intrinsic_final),
        Experiment("alpha_lr", "06", "alpha × learning rate at r = 8", alpha_lr),
        Experiment("nano_early", "02", "a base that has not learnt what the task builds on", nano_early),
        Experiment("matrices_python", "06", "which matrices, on the domain that the base has never seen",
                   lambda: matrices("python", 8, (1e-2, 3e-2), 60), matrices_final),
        Experiment("rslora", "06", "alpha / r against alpha / √r", rslora),
        Experiment("matrices_text_to_sql", "06", "which matrices, at equal numbers of parameters",
                   lambda: matrices("text_to_sql", 32, (3e-3,)), matrices_final),
        Experiment("rivals", "07", "other ways to adapt the base, text-to-SQL (LoRA and full: rank_text_to_sql)",
                   rivals, rivals_final),
        Experiment("rivals_python", "07", "the same on the domain that the base has never seen",
                   rivals_python, rivals_final),
        Experiment("styles", "10", "three styles on one base: law, medicine, code", styles, styles_final, style_name),
        Experiment("tickets", "11", "triage of support tickets, LoRA r = 4 on the MLP", tickets, tickets_final),
        Experiment("e2e", "05", "LoRA and full fine-tuning on E2E (needs LORAKIT_DATA or a network)", e2e, e2e_final),
    )
} | REAL  # fmt: skip
