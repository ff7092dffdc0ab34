"""The recorded sweeps of chapter 07: every rival at its own learning rate, on two tasks; and LoRA on E2E."""

from dataclasses import replace

from lorakit.chapters.experiment import ALL, Experiment, full, lora, search, seeds, steps, tuned
from lorakit.lab.kinds import KINDS
from lorakit.lab.sweep import Run

# Where the search for each one's learning rate begins.
SQL = {
    "bitfit": 1e-2, "last_block": 1e-3, "houlsby": 3e-3, "pfeiffer": 3e-3, "prefix": 1e-1, "prefix_mlp": 3e-3,
}  # fmt: skip
# The domain that the base has never seen: without the student, since there is no teacher of it.
PYTHON = {
    "bitfit": 1e-1, "last_block": 1e-2, "houlsby": 3e-2, "pfeiffer": 3e-2, "prefix": 3e-1, "prefix_mlp": 3e-3,
}  # fmt: skip


def runs(rates: dict[str, float], **more) -> list[Run]:
    """Every kind, at the rate at which its search begins."""
    found = {name: KINDS[name].run for name in rates}
    return [replace(run, lr=rates[name], steps=steps(run.steps), **more) for name, run in found.items()]


def students(rows: list[dict]) -> list[Run]:
    """The student, which has lost half of its blocks and learns ten times as long; then the same in 100 steps.

    Its rate is searched where it learns: after 100 steps it answers nothing, whatever the rate.
    """
    long, short = runs({"distill_long": 1e-3, "distill": 1e-3})
    wanted, rate = tuned([long], rows, report=3), search(long, rows)[1]
    return wanted if rate is None else wanted + [replace(short, lr=rate, seed=seed) for seed in seeds()]


def e2e() -> list[Run]:
    more = {"task": "e2e"}
    return [full(1e-3, **more), lora(8, 3e-2, **more), lora(8, 1e-2, ALL, **more), lora(64, 1e-2, ALL, **more)]


EXPERIMENTS = [
    Experiment("rivals_python", "other ways to adapt the base, on the domain that it has never seen",
               lambda rows: tuned(runs(PYTHON, task="python", batch_size=16), rows)),
    Experiment("rivals", "the same on text-to-SQL (LoRA and full: rank_text_to_sql)",
               lambda rows: tuned(runs(SQL), rows)),
    Experiment("students", "distillation into half of the blocks, on text-to-SQL", students),
    Experiment("e2e", "LoRA and full fine-tuning on E2E (needs LORAKIT_DATA or a network)",
               lambda rows: tuned(e2e(), rows, report=3)),
]  # fmt: skip
